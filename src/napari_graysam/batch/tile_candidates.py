"""What a tile of a finished image kept of its candidates, read back without the model."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from napari_graysam.batch.tile_work import Candidates
from napari_graysam.errors import OutputError
from napari_graysam.files.region import region_window
from napari_graysam.fingerprint import array_digest
from napari_graysam.limits import reading
from napari_graysam.masks import Mask
from napari_graysam.pipeline import ScoreFloors, live_steps
from napari_graysam.pipeline.cut import Cut
from napari_graysam.progress import Progress
from napari_graysam.propose.cache import FOLDER_BUDGET
from napari_graysam.recipe import Recipe
from napari_graysam.results import LiveSegmentation
from napari_graysam.source.pyramid import Pyramid
from napari_graysam.tiles.decided import Decided, decided_by_tile
from napari_graysam.tiles.folder import CANDIDATES
from napari_graysam.tiles.grid import Tile
from napari_graysam.tiles.image import LargeImage
from napari_graysam.tiles.kept import KeptObjects
from napari_graysam.tiles.points import points_of
from napari_graysam.tiles.tile import recipe_of_tile
from napari_graysam.tiles.view import LargeView, fit_large
from napari_graysam.tiles.write import ENDINGS

_ASKS = ("load", "download", "verify", "encode")
"""Stages that only a run with the model has."""


@dataclass(frozen=True, eq=False)
class FinishedImage:
    """A large image whose labels are written, with what its run knew of it.

    Attributes
    ----------
    folder, name
        Where the results are, and how their names begin.
    recipe
        That it was segmented by.
    view
        What the model saw.
    objects
        The objects.
    """

    folder: Path
    name: str
    recipe: Recipe
    view: LargeView
    objects: KeptObjects

    @property
    def candidates(self) -> Candidates:
        """Where the candidates of its tiles are kept."""
        path = self.folder / f"{self.name}.tiles" / CANDIDATES
        return Candidates(path if path.is_dir() else None, FOLDER_BUDGET, False)


@dataclass(frozen=True, eq=False)
class TileCandidates:
    """The candidates of one tile, and what the tile's recipe makes of them.

    Attributes
    ----------
    tile, live
        The tile, and the selection in its pixels.
    recipe
        Of the tile.
    masks
        The tile's objects, in pixels of the image.
    """

    tile: Tile
    live: LiveSegmentation
    recipe: Recipe
    masks: tuple[Mask, ...]


def open_finished(
    pyramid: Pyramid, folder: Path, name: str
) -> Generator[Progress, None, FinishedImage]:
    """Read back what a run knew; of the image, only what preprocessing is fitted to is read.

    Parameters
    ----------
    pyramid
        The image.
    folder, name
        Of the results.

    Raises
    ------
    GraysamError
        If results are missing or damaged.
    """
    objects = KeptObjects.of(folder / f"{name}.tiles")
    path = folder / f"{name}.{ENDINGS['provenance']}"
    with reading(path, "the provenance of a result", OutputError):
        record: dict[str, Any] = json.loads(path.read_bytes())["image"]
        low, high = record["window"]["low"], record["window"]["high"]
    of_run = Recipe.from_file(folder / f"{name}.{ENDINGS['recipe']}")
    options = of_run.image
    if options.axes is None and pyramid.axes is not None:
        options = options.replace(axes=pyramid.axes)
    image = LargeImage(pyramid, of_run.replace(image=options), low, high, record)
    view = yield from fit_large(image, of_run, objects.grid.size)
    return FinishedImage(folder, name, of_run, view, objects)


def tile_candidates(
    image: FinishedImage, tile: Tile
) -> Generator[Progress, None, TileCandidates | None]:
    """Select again what a tile kept; None where it kept no candidates. No model is asked.

    Refinement, the second look and asking about neighbours need the model, and are left out.
    """
    cache = image.candidates.open(image.recipe)
    of_tile = recipe_of_tile(image.recipe).with_values(
        {"refine": False, "second_look.rounds": 0, "labels.merging.ask": False}
    )
    region = tile.core_mask()
    if image.recipe.image.region is not None:
        area = image.recipe.image.region
        region &= region_window(area, image.view.image.shape, tile.window)
    points = points_of(tile, image.objects.grid.size, image.recipe.generator)
    if cache is None or not region.any():
        return None
    gray = image.view.gray(tile.window)
    digest = image.view.image.record["digest"]
    decided = decided_by_tile(image.recipe, image.objects.grid, digest).get(tile.name, Decided())
    pins = decided.pins(array_digest(gray.raw), tile.shape)
    labels = of_tile.labels.replace(keep=decided.keep, pinned=pins)
    of_tile = of_tile.replace(labels=labels)
    steps = live_steps(
        gray,
        of_tile,
        region=region,
        score_floors=ScoreFloors(1.0, 1.0),  # The recipe's own are lower.
        cache=cache,
        cut=Cut(partial(image.view.of, window=tile.window), points),
    )
    try:
        while True:
            step = next(steps)
            if step.stage.rpartition(" ")[2] in _ASKS:
                return None
            yield step
    except StopIteration as stop:
        live: LiveSegmentation = stop.value
    finally:
        steps.close()
    masks = tuple(_in_image(mask, tile) for mask in live.result.masks)
    return TileCandidates(tile, live, of_tile, masks)


def _in_image(mask: Mask, tile: Tile) -> Mask:
    (top, left), (x0, y0, x1, y1) = tile.origin, mask.box
    return mask.replace(box=(x0 + left, y0 + top, x1 + left, y1 + top))
