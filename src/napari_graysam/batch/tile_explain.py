"""Why a pixel of a large image has the object that it has, or none: by what its tile kept."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_graysam.batch.tile_candidates import FinishedImage, TileCandidates, tile_candidates
from napari_graysam.masks import Mask, mask_iou, shared_pixels, touches_border
from napari_graysam.progress import Progress
from napari_graysam.recipe import LabelOptions
from napari_graysam.select.explanation import Explanation
from napari_graysam.select.pins import SAME
from napari_graysam.tiles.grid import Tile

PART = 0.9
"""Of a tile's object: how much of it lies in the object of the image that it is a piece of."""
_OBJECT = re.compile(r"\bobject (\d+)")


@dataclass(frozen=True, eq=False)
class TileAnswer:
    """What became of the candidates at a pixel.

    Attributes
    ----------
    found
        The candidates of the tile.
    explanations
        As `Selector.explain` gives them, with the labels of the whole image.
    later
        Candidates that are objects of the tile, and were dropped when tiles were put together.
    seen
        Label at the pixel, 0 for none.
    """

    found: TileCandidates
    explanations: tuple[Explanation, ...]
    later: frozenset[int]
    seen: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is to be said, in sentences."""
        if not self.seen or any(one.label == self.seen for one in self.explanations):
            return ()
        return (
            f"Object {self.seen}, which is seen here, comes from a neighbouring tile, or was "
            "joined, drawn anew or added later.",
        )


def tile_at(image: FinishedImage, pixel: tuple[int, int]) -> Tile:
    """Return the tile whose core holds a pixel ``(x, y)``."""
    grid = image.objects.grid
    return grid.tile(*divmod(grid.holding(*pixel), len(grid.spans[1])))


def explain_pixel(
    image: FinishedImage,
    labels: Any,
    pixel: tuple[int, int],
    known: TileCandidates | None = None,
) -> Generator[Progress, None, TileAnswer | None]:
    """Explain a pixel of an image in tiles; None where its tile kept no candidates.

    Parameters
    ----------
    image
        Of `open_finished`.
    labels
        The written labels (H, W); those near the pixel are read.
    pixel
        ``(x, y)`` in pixels of the labels.
    known
        What an earlier call found, which is used again for the same tile.
    """
    tile, (x, y) = tile_at(image, pixel), pixel
    found = known
    if found is None or found.tile.name != tile.name:
        found = yield from tile_candidates(image, tile)
    if found is None:
        return None
    (top, left), result = tile.origin, found.live.result
    said = found.live.selector.explain(
        x - left, y - top, result.recipe.generator, result.recipe.labels, result.masks,
        result.regroupings,
    )  # fmt: skip
    window = np.asarray(labels[tile.window])
    tiles = {one.label for one in said if one.label} | {one.by for one in said if one.by}
    whole = {label: _whole(image, found.masks[label - 1], window, tile) for label in tiles}
    explanations, later = [], set()
    for one in said:
        if one.label is not None and not whole[one.label]:
            later.add(one.candidate)
            mask = found.masks[one.label - 1]
            one = replace(one, **_dropped(mask, image.recipe.labels, image.objects.grid.shape))
        else:
            label = None if one.label is None else whole[one.label]
            one = replace(one, label=label, text=_renamed(one.text, whole))
        explanations.append(one)
    seen = int(window[y - top, x - left])
    return TileAnswer(found, tuple(explanations), frozenset(later), seen)


def _whole(image: FinishedImage, mask: Mask, window: Any, tile: Tile) -> int:
    """Return the label of the object of the image that a tile's object became; 0 for none."""
    (top, left), (x0, y0, x1, y1) = tile.origin, mask.box
    under = window[y0 - top : y1 - top, x0 - left : x1 - left][mask.bits]
    labels = np.unique(under[under > 0]).tolist()
    best, most = 0, 0.0
    for label, other in zip(labels, image.objects.masks(labels), strict=True):
        iou = mask_iou(mask, other)
        piece = shared_pixels(mask, other) >= PART * mask.area and other.area > mask.area
        same = max(iou, SAME if piece and _cut(mask, tile, image) else 0.0)
        if same >= SAME and same > most:
            best, most = label, same
    return best


def _cut(mask: Mask, tile: Tile, image: FinishedImage) -> bool:
    """Whether a tile's object may go on in another tile."""
    (rows, columns), (x0, y0, x1, y1) = tile.window, mask.box
    height, width = image.objects.grid.shape
    return bool(
        (x0 <= columns.start > 0) or (y0 <= rows.start > 0)
        or (x1 >= columns.stop < width) or (y1 >= rows.stop < height)
    )  # fmt: skip


def _dropped(mask: Mask, labels: LabelOptions, shape: tuple[int, int]) -> dict[str, Any]:
    """Say why an object of a tile is none of the image."""
    area, said = mask.area, {"label": None, "by": None, "by_candidate": None}
    if area < labels.min_area:
        text = f"area {area:,} px², smaller than {labels.min_area:,}"
        return said | {"reason": "min_area", "text": text, "value": area, "limit": labels.min_area,
                       "parameter": "labels.min_area", "relaxed": area}  # fmt: skip
    if labels.max_area is not None and area > labels.max_area:
        text = f"area {area:,} px², larger than {labels.max_area:,}"
        return said | {"reason": "max_area", "text": text, "value": area, "limit": labels.max_area,
                       "parameter": "labels.max_area", "relaxed": area}  # fmt: skip
    if labels.exclude_border and touches_border(mask, shape):
        return said | {"reason": "border", "text": "touches the border of the image",
                       "parameter": "labels.exclude_border", "relaxed": False}  # fmt: skip
    text = (
        "an object of its tile, dropped when the tiles were put together: a neighbouring tile has "
        "it or holds it, or nesting, a filter or a pin says so"
    )
    return said | {"reason": "duplicate", "text": text, "parameter": None, "relaxed": None}


def _renamed(text: str, whole: dict[int, int]) -> str:
    """Put the image's numbers of objects in place of the tile's."""

    def name(found: re.Match[str]) -> str:
        label = whole.get(int(found[1]), 0)
        return f"object {label}" if label else "another object of its tile"

    return _OBJECT.sub(name, text)
