"""Which mask lies inside which, and the choice of whole objects or parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.mask import Mask

CONTAINED = 0.9


def shared_pixels(one: Mask, other: Mask) -> int:
    """Count the pixels that two masks of one image have in common."""
    x0, y0 = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    x1, y1 = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    if x0 >= x1 or y0 >= y1:
        return 0
    return int(np.count_nonzero(_window(one, x0, y0, x1, y1) & _window(other, x0, y0, x1, y1)))


def _window(mask: Mask, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    """View the bits of a mask inside a box that lies within its own."""
    left, top = mask.box[:2]
    return mask.bits[y0 - top : y1 - top, x0 - left : x1 - left]


def nest(masks: Sequence[Mask], contained: float = CONTAINED) -> tuple[Mask, ...]:
    """Set each mask's parent and depth.

    The parent is the smallest mask of larger area that holds at least the fraction
    ``contained`` of this one's pixels; among equally small ones the first in the list. Masks
    of equal area never contain each other. The depth counts the parents up to the outermost.

    Parameters
    ----------
    masks
        Masks of one image, in any order, which is kept.
    contained
        Fraction in (0, 1]; below 1 so that a part may stick out by a few pixels.

    Notes
    -----
    Bits are compared only where the boxes allow containment, from the smallest candidate on.
    """
    boxes = np.array([mask.box for mask in masks], dtype=np.int64).reshape(-1, 4)
    areas = np.array([mask.area for mask in masks], dtype=np.int64)
    by_area = np.argsort(areas, kind="stable")
    sorted_areas = areas[by_area]
    parents = np.full(len(masks), -1, dtype=np.intp)
    for child in by_area[sorted_areas > 0]:
        larger = by_area[np.searchsorted(sorted_areas, areas[child], side="right") :]
        for candidate in _containers(child, larger, boxes, areas, contained):
            if shared_pixels(masks[child], masks[candidate]) >= contained * areas[child]:
                parents[child] = candidate
                break
    return place(masks, parents)


def place(masks: Sequence[Mask], parents: NDArray[np.intp]) -> tuple[Mask, ...]:
    """Return masks with the given parents, and the depths that follow from them.

    Parameters
    ----------
    masks
        Masks of one image.
    parents
        intp (N,); of each mask, the index of its parent in the list, or -1.
    """
    depths = np.zeros(len(masks), dtype=np.intp)
    ancestors = parents
    while (inside := ancestors >= 0).any():
        depths += inside
        ancestors = np.where(inside, parents[ancestors], -1)
    return tuple(
        mask.placed(parent, depth)
        for mask, parent, depth in zip(masks, parents.tolist(), depths.tolist(), strict=True)
    )


def _containers(
    child: np.intp,
    larger: NDArray[np.intp],
    boxes: NDArray[np.int64],
    areas: NDArray[np.int64],
    contained: float,
) -> NDArray[np.intp]:
    """List those of the larger masks whose box could hold enough of a mask, in their order."""
    low = np.maximum(boxes[larger, :2], boxes[child, :2])
    high = np.minimum(boxes[larger, 2:], boxes[child, 2:])
    sides = np.maximum(high - low, 0)
    possible: NDArray[np.intp] = larger[sides[:, 0] * sides[:, 1] >= contained * areas[child]]
    return possible


def at_level(masks: Sequence[Mask], level: Literal["all", "whole", "parts"]) -> tuple[Mask, ...]:
    """Keep the masks of one nesting level, in their order.

    Parameters
    ----------
    masks
        Masks with parent and depth, as `nest` returns them.
    level
        ``"all"`` keeps every mask; ``"whole"`` those that no other contains; ``"parts"`` those
        that contain no other, so an object without parts stays as its own only part. Masks
        that the recipe keeps stay at every level.

    Returns
    -------
    tuple of Mask
        As from `keep`: ``depth`` still tells how deep a part lay in the full hierarchy.
    """
    return tuple(masks) if level == "all" else keep(masks, of_level(masks, level))


def of_level(masks: Sequence[Mask], level: Literal["all", "whole", "parts"]) -> list[int]:
    """List the indices of the masks that `at_level` keeps."""
    containers = {mask.parent for mask in masks}
    return [
        index
        for index, mask in enumerate(masks)
        if level == "all"
        or mask.pinned
        or (mask.parent < 0 if level == "whole" else index not in containers)
    ]


def keep(masks: Sequence[Mask], indices: Iterable[int]) -> tuple[Mask, ...]:
    """Keep some masks and point each parent at the nearest kept ancestor, or at none (-1).

    Parameters
    ----------
    masks
        Masks whose ``parent`` indexes this list.
    indices
        Positions to keep; the result has their order.
    """
    wanted = list(indices)
    position = {old: new for new, old in enumerate(wanted)}

    def ancestor(mask: Mask) -> int:
        while mask.parent >= 0 and mask.parent not in position:
            mask = masks[mask.parent]
        return position.get(mask.parent, -1)

    return tuple(masks[old].marked(parent=ancestor(masks[old])) for old in wanted)
