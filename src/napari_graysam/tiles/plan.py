"""What a run in tiles will be: its tiles, halo and points."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from napari_graysam.fingerprint import Fingerprint, Inputs, digest_of, versions
from napari_graysam.model.identity import identify
from napari_graysam.progress import Progress, renamed
from napari_graysam.recipe import (
    MODEL_STAGES,
    Recipe,
    for_image,
    objects_notes,
)
from napari_graysam.select.pins import is_of
from napari_graysam.source.pyramid import Pyramid
from napari_graysam.tiles.decided import Decided, decided_by_tile, is_inside
from napari_graysam.tiles.extent import HALO, LEAST_HALO, halo_by_diameter
from napari_graysam.tiles.grid import SMALLEST_CORE, TileGrid
from napari_graysam.tiles.image import LargeImage, open_large, region_digest
from napari_graysam.tiles.pieces import BORDER
from napari_graysam.tiles.points import count_points
from napari_graysam.tiles.tile import recipe_of_tile, segment_tile
from napari_graysam.tiles.view import LargeView, fit_large

LONGEST = 95
"""Percentile of the lengths of a trial's objects that counts as the longest."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that decides a run, before any tile is done.

    Attributes
    ----------
    view
        The image, measured and fitted.
    recipe
        As asked for, with what follows from the size of the objects.
    grid
        The tiles.
    fingerprint
        Of the result.
    base, digest
        Of what decides the tiles, without and with the halo: equal where a run can go on.
    asked
        Of what decides the candidates, without the halo: equal where they can be used again.
    decided
        What the recipe says of single masks, for the tiles that it concerns, by their names.
    notes
        What the user should know.
    """

    view: LargeView
    recipe: Recipe
    grid: TileGrid
    fingerprint: Fingerprint
    base: str
    digest: str
    asked: str
    decided: dict[str, Decided]
    notes: tuple[str, ...]

    @property
    def image(self) -> LargeImage:
        """The image."""
        return self.view.image

    @property
    def points(self) -> int:
        """About how many points the model is asked."""
        return count_points(self.grid.shape, self.grid.size, self.recipe.generator)


def prepare(
    pyramid: Pyramid,
    recipe: Recipe,
    *,
    pixel_size: tuple[float, float] | None = None,
    halo_of: Callable[[str, str], int | None] = lambda base, asked: None,
) -> Generator[Progress, None, Prepared]:
    """Measure an image, fit its preprocessing and find the halo; nothing is written.

    Parameters
    ----------
    pyramid
        The image.
    recipe
        Of the whole run.
    pixel_size
        As of `open_large`.
    halo_of
        Given ``base`` and ``asked`` of the result, returns the halo that an earlier run found by
        a trial.

    Raises
    ------
    GraysamError
        If the image or the recipe does not allow it.
    """
    notes: list[str] = []
    size = recipe.tiles.size
    if recipe.tiles.halo is not None:
        # Refused before an image is read that may take hours.
        TileGrid((size, size), size, recipe.tiles.halo)
    region, inside = recipe.image.region, ""
    if region is not None:
        shape = pyramid.plane(recipe.image, recipe.tiles.level).shape
        inside = yield from region_digest(region, shape)
    image = yield from open_large(pyramid, recipe, pixel_size=pixel_size)
    notes += _pin_notes(recipe, image)
    diameter = recipe.image.object_diameter
    square = (min(size, max(image.shape)),) * 2
    notes += objects_notes(recipe, square)
    recipe = for_image(recipe, square)
    view = yield from fit_large(image, recipe, size)
    inputs = Inputs(
        image=image.digest,
        region=inside,
        model=identify(recipe.model),
        versions=versions(),
    )
    of_tiles = Fingerprint.of(recipe_of_tile(recipe), inputs)
    base = digest_of(of_tiles.digest, size, recipe.tiles.level)
    asked = digest_of(of_tiles.stages[MODEL_STAGES[-1]], size, recipe.tiles.level)
    halo = recipe.tiles.halo
    if halo is None and diameter is not None:
        halo = halo_by_diameter(diameter, size)
        notes.append(f"halo of {halo} pixels, by the objects' diameter")
    if halo is None:
        halo = halo_of(base, asked)
        if halo is None:
            halo = yield from renamed(_by_trial(view, recipe), "trial")
        notes.append(f"halo of {halo} pixels, by a trial in the middle of the image")
    grid = TileGrid(image.shape, size, halo)
    digest = digest_of(base, halo)
    notes += [*image.record["notes"], *view.notes]
    fingerprint = Fingerprint.of(recipe, inputs)
    decided = decided_by_tile(recipe, grid, image.record["digest"])
    return Prepared(view, recipe, grid, fingerprint, base, digest, asked, decided, tuple(notes))


def _pin_notes(recipe: Recipe, image: LargeImage) -> list[str]:
    """Say which entries of ``labels.pinned`` and ``labels.keep`` do nothing."""
    pins = recipe.labels.pinned
    own = [pin for pin in pins if is_of(pin, image.shape, image.record["digest"])]
    outside = [entry for entry in recipe.labels.keep if not is_inside(entry, image.shape)]
    notes = []
    if len(own) < len(pins):
        notes.append(
            f"{len(pins) - len(own)} of {len(pins)} entries in labels.pinned are of other images"
        )
    if outside:
        notes.append(
            f"{len(outside)} of {len(recipe.labels.keep)} entries in labels.keep name points "
            "outside of the image"
        )
    return notes


def _by_trial(view: LargeView, recipe: Recipe) -> Generator[Progress, None, int]:
    """Segment the tile in the middle, and return a halo for its longest objects."""
    size = recipe.tiles.size
    grid = TileGrid(view.image.shape, size, 0)
    pieces = yield from segment_tile(view, recipe, grid.middle(), size)
    whole = pieces.cut % BORDER == 0
    if recipe.labels.max_area is not None:
        whole &= pieces.area <= recipe.labels.max_area
    lengths = (pieces.box[:, 2:] - pieces.box[:, :2]).max(axis=1)[whole]
    longest = float(np.percentile(lengths, LONGEST)) if lengths.size else size / 8
    most = max(LEAST_HALO, min(size // 4, (size - SMALLEST_CORE) // 2))
    return int(min(max(LEAST_HALO, math.ceil(HALO * longest)), most))
