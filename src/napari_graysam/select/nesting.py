"""Which mask lies inside which, and the choice of whole objects or parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_graysam.select.masks import Mask

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
    parents = np.full(len(masks), -1, dtype=np.intp)
    depths = np.zeros(len(masks), dtype=np.intp)
    for child in by_area[areas[by_area] > 0]:
        for candidate in _containers(child, boxes, areas, by_area, contained):
            if shared_pixels(masks[child], masks[candidate]) >= contained * areas[child]:
                parents[child] = candidate
                break
    for child in by_area[::-1]:
        if parents[child] >= 0:
            depths[child] = depths[parents[child]] + 1
    return tuple(
        mask.replace(parent=int(parent), depth=int(depth))
        for mask, parent, depth in zip(masks, parents, depths, strict=True)
    )


def _containers(
    child: np.intp,
    boxes: NDArray[np.int64],
    areas: NDArray[np.int64],
    by_area: NDArray[np.intp],
    contained: float,
) -> NDArray[np.intp]:
    """List the larger masks whose box could hold enough of a mask, smallest first."""
    larger = by_area[np.searchsorted(areas[by_area], areas[child], side="right") :]
    low = np.maximum(boxes[larger, :2], boxes[child, :2])
    high = np.minimum(boxes[larger, 2:], boxes[child, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    possible: NDArray[np.intp] = larger[common >= contained * areas[child]]
    return possible


def at_level(masks: Sequence[Mask], level: Literal["all", "whole", "parts"]) -> tuple[Mask, ...]:
    """Keep the masks of one nesting level, in their order.

    Parameters
    ----------
    masks
        Masks with parent and depth, as `nest` returns them.
    level
        ``"all"`` keeps every mask; ``"whole"`` those that no other contains; ``"parts"`` those
        that contain no other, so an object without parts stays as its own only part.

    Returns
    -------
    tuple of Mask
        As from `keep`: ``depth`` still tells how deep a part lay in the full hierarchy.
    """
    if level == "all":
        return tuple(masks)
    if level == "whole":
        return keep(masks, (i for i, mask in enumerate(masks) if mask.parent < 0))
    containers = {mask.parent for mask in masks}
    return keep(masks, (i for i in range(len(masks)) if i not in containers))


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

    return tuple(masks[old].replace(parent=ancestor(masks[old])) for old in wanted)
