"""One tile: segmented as an image of its own that sees what the whole image would show."""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_graysam.files.region import region_window
from napari_graysam.fingerprint import array_digest
from napari_graysam.masks import Box, Mask
from napari_graysam.pipeline.cut import Cut
from napari_graysam.pipeline.segmenting import segment_steps
from napari_graysam.pipeline.stages import missing_note
from napari_graysam.progress import Progress
from napari_graysam.recipe import LabelOptions, PinnedMask, Recipe
from napari_graysam.results import Segmentation
from napari_graysam.tiles.decided import Decided
from napari_graysam.tiles.grid import Tile
from napari_graysam.tiles.pieces import PINNED, Pieces, cut_edges
from napari_graysam.tiles.points import points_of
from napari_graysam.tiles.regrouped import ABOUT, recorded
from napari_graysam.tiles.view import LargeView

if TYPE_CHECKING:
    from napari_graysam.propose.cache import Cache

ASKING = "encode"
"""Stage that a run from candidates that were kept has not."""
LATER = ("overlap", "level", "min_area", "max_area", "exclude_border", "filters")
"""Values of ``labels`` that are for whole objects, and wait until these are put together."""


def recipe_of_tile(recipe: Recipe) -> Recipe:
    """Return the recipe by which a tile is segmented: what concerns whole objects comes later."""
    fields = LabelOptions.model_fields
    changes: dict[str, Any] = {name: fields[name].get_default() for name in LATER}
    labels = recipe.labels.replace(**changes, keep=(), pinned=())
    return recipe.replace(labels=labels, image=recipe.image.replace(region=None))


def segment_tile(
    view: LargeView,
    recipe: Recipe,
    tile: Tile,
    size: int,
    cache: Cache | None = None,
    decided: Decided | None = None,
) -> Generator[Progress, None, Pieces]:
    """Segment one tile of a large image, yielding `Progress`; closing the generator cancels.

    Parameters
    ----------
    view
        Of `fit_large`.
    recipe
        Of the whole image, with points for one tile.
    tile
        The tile; points are asked in its core, which lie in no other.
    size
        Side of a tile, which the distance of points follows from.
    cache
        Candidates of earlier runs, so that the model is asked only where there are none.
    decided
        What the recipe says of single masks in this tile.
    """
    start = time.perf_counter()
    decided = Decided() if decided is None else decided
    # As a tile that lacks a kept mask says it, in its own pixels; and as the user knows the mask.
    lost = {missing_note(kept): missing_note(_in_image(kept, tile)) for kept in decided.keep}
    nothing = {"seconds": 0.0, "points": 0, "notes": list(lost.values())}
    region = tile.core_mask()
    if recipe.image.region is not None:
        region &= region_window(recipe.image.region, view.image.shape, tile.window)
    if not region.any():
        return Pieces.of([], about=nothing)
    of_tile = recipe_of_tile(recipe)
    points = points_of(tile, size, recipe.generator)
    cut = Cut(partial(view.of, window=tile.window), points)
    gray = view.gray(tile.window)
    if not points.crops(tile.shape, recipe.generator, region):
        return Pieces.of([], about=nothing)
    pins = decided.pins(array_digest(gray.raw), tile.shape)
    labels = of_tile.labels.replace(keep=decided.keep, pinned=pins)
    of_tile = of_tile.replace(labels=labels)
    asked = False
    steps = segment_steps(gray, of_tile, region=region, cut=cut, cache=cache)
    try:
        while True:
            step = next(steps)
            asked = asked or step.stage.endswith(ASKING)
            yield step
    except StopIteration as stop:
        result: Segmentation = stop.value
    finally:
        steps.close()
    masks = [_moved(mask, tile.origin) for mask in result.masks]
    about = {
        "seconds": time.perf_counter() - start,
        "points": result.provenance["proposals"]["points"],
        "notes": [lost.get(note, note) for note in result.notes],
        "asked": asked,
        "model": result.provenance["model"],
        "versions": result.provenance["versions"],
    }
    if result.regroupings:
        about[ABOUT] = recorded(result.regroupings, result.masks, tile.origin)
    shape = view.image.shape
    cuts = [cut_edges(mask, tile, shape) | PINNED * mask.pinned for mask in masks]
    return Pieces.of(masks, cuts, about)


def _in_image(kept: PinnedMask, tile: Tile) -> PinnedMask:
    top, left = tile.origin
    x, y = kept.point
    return kept.replace(point=(x + left, y + top))


def _moved(mask: Mask, origin: tuple[int, int]) -> Mask:
    """Return a mask of a tile in pixels of the image."""
    top, left = origin
    x, y = mask.point
    return mask.replace(
        box=_shifted(mask.box, top, left),
        crop_box=_shifted(mask.crop_box, top, left),
        point=(x + left, y + top),
        parent=-1,
        depth=0,
    )


def _shifted(box: Box, top: int, left: int) -> Box:
    x0, y0, x1, y1 = box
    return x0 + left, y0 + top, x1 + left, y1 + top
