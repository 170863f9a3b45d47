"""What a run in tiles will be: its tiles, halo and points, and what it costs."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_graysam.errors import ImageError, RecipeError
from napari_graysam.fingerprint import Fingerprint, Inputs, digest_of, versions
from napari_graysam.masks import paint
from napari_graysam.model.identity import identify
from napari_graysam.profile import Profile
from napari_graysam.progress import Progress, renamed
from napari_graysam.recipe import (
    MODEL_STAGES,
    Recipe,
    SeparateObjects,
    WholeObject,
    for_image,
    objects_notes,
)
from napari_graysam.select.pins import is_of
from napari_graysam.source.pyramid import Pyramid
from napari_graysam.tiles.extent import HALO, LEAST_HALO, halo_by_diameter
from napari_graysam.tiles.grid import SMALLEST_CORE, TileGrid
from napari_graysam.tiles.image import LargeImage, open_large, region_digest
from napari_graysam.tiles.pieces import BORDER, Pieces
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
    if recipe.labels.keep:
        raise RecipeError(
            "labels.keep names masks by points and crops of an image in one piece, and this one "
            "is segmented in tiles: empty the list"
        )
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
    return Prepared(view, recipe, grid, fingerprint, base, digest, asked, tuple(notes))


def _pin_notes(recipe: Recipe, image: LargeImage) -> list[str]:
    """Say which entries of ``labels.pinned`` do nothing."""
    pins = recipe.labels.pinned
    own = [pin for pin in pins if is_of(pin, image.shape, image.record["digest"])]
    held = sum(isinstance(pin, SeparateObjects | WholeObject) for pin in own)
    notes = []
    if len(own) < len(pins):
        notes.append(
            f"{len(pins) - len(own)} of {len(pins)} entries in labels.pinned are of other images"
        )
    if held:
        notes.append(
            f"{held} entries in labels.pinned, apart and whole, do nothing in tiles, each of which "
            "is merged and split by itself"
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


@dataclass(frozen=True)
class Estimate:
    """What a run will cost.

    Attributes
    ----------
    tiles, points
        How many.
    seconds
        Time of all tiles with one worker.
    memory
        Bytes of one worker.
    disk
        Bytes of labels and of what is kept to go on with.
    sample
        What the timed tile was: name, seconds and objects.
    """

    tiles: int
    points: int
    seconds: float
    memory: int
    disk: int
    sample: dict[str, Any]


def estimate(prepared: Prepared) -> Generator[Progress, None, Estimate]:
    """Time one tile in the middle of the image, yielding `Progress`; nothing is written.

    Raises
    ------
    ImageError
        If no point lies in any tile.
    """
    grid = prepared.grid
    tile = grid.middle()
    # The first tile also loads the model.
    with Profile() as costs:
        for _ in range(2):
            steps = segment_tile(prepared.view, prepared.recipe, tile, grid.size)
            pieces = yield from renamed(costs.follow(steps), "sample")
    seconds = float(pieces.about["seconds"])
    if not seconds and prepared.recipe.image.region is not None:
        raise ImageError(
            "the tile in the middle of the image lies outside of image.region: nothing can be "
            "timed; run without --plan"
        )
    points = prepared.points
    share = points / max(1, int(pieces.about["points"])) if seconds else 0.0
    memory = max((cost.peak for cost in costs.stages.values()), default=0)
    labels = _label_bytes(pieces, prepared)
    kept = 2 * (pieces.runs.nbytes + 100 * len(pieces))
    sample = {"tile": tile.name, "seconds": round(seconds, 2), "objects": len(pieces)}
    disk = labels + round(kept * share)
    return Estimate(len(grid), points, seconds * share, memory, disk, sample)


def _label_bytes(pieces: Pieces, prepared: Prepared) -> int:
    """Return about what the label image takes, from what the sample's takes."""
    tile = prepared.grid.middle()
    top, left = tile.origin
    masks = [pieces.mask(number) for number in range(len(pieces))]
    moved = []
    for mask in masks:
        x0, y0, x1, y1 = mask.box
        moved.append(mask.replace(box=(x0 - left, y0 - top, x1 - left, y1 - top)))
    labels = paint(moved, tile.shape)
    packed = len(zlib.compress(labels.tobytes(), 1))
    rows, columns = prepared.grid.shape
    # A third more for the lower levels.
    return round(packed / labels.size * rows * columns * 4 / 3)
