"""Which mask lies inside which, and the choice of whole objects or parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.mask import Mask
from napari_graysam.masks.overlap import shared_box_pixels, shared_pixels

Level = Literal["all", "whole", "parts"]
CONTAINED = 0.9


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

    See Also
    --------
    at_level : Keeps whole objects or parts.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, nest
    >>> cell = Mask(np.ones((9, 9), bool), (0, 0, 9, 9))
    >>> nucleus = Mask(np.ones((3, 3), bool), (3, 3, 6, 6))
    >>> [(mask.parent, mask.depth) for mask in nest([nucleus, cell])]
    [(1, 1), (-1, 0)]
    """
    boxes = np.array([mask.box for mask in masks], dtype=np.int64).reshape(-1, 4)
    areas = np.array([mask.area for mask in masks], dtype=np.int64)
    by_area = np.argsort(areas, kind="stable")
    sorted_areas = areas[by_area]
    parents = np.full(len(masks), -1, dtype=np.intp)
    for child in by_area[sorted_areas > 0]:
        larger = by_area[np.searchsorted(sorted_areas, areas[child], side="right") :]
        least = contained * areas[child]
        for candidate in larger[shared_box_pixels(boxes[child], boxes[larger]) >= least].tolist():
            if shared_pixels(masks[child], masks[candidate]) >= least:
                parents[child] = candidate
                break
    return with_parents(masks, parents)


def with_parents(masks: Sequence[Mask], parents: NDArray[np.intp]) -> tuple[Mask, ...]:
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
        mask.marked(parent=parent, depth=depth)
        for mask, parent, depth in zip(masks, parents.tolist(), depths.tolist(), strict=True)
    )


def at_level(masks: Sequence[Mask], level: Level) -> tuple[Mask, ...]:
    """Keep the masks of one nesting level, in their order.

    Parameters
    ----------
    masks
        Masks with parent and depth, as `nest` returns them.
    level
        ``"all"`` keeps every mask; ``"whole"`` those that no other contains; ``"parts"`` those
        that contain no other, so an object without parts stays as its own only part. Masks
        that the recipe pins stay at every level.

    Returns
    -------
    tuple of Mask
        As from `subset`: ``depth`` still tells how deep a part lay in the full hierarchy.

    See Also
    --------
    nest : Finds parents and depths.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, at_level, nest
    >>> cell = Mask(np.ones((9, 9), bool), (0, 0, 9, 9))
    >>> nucleus = Mask(np.ones((3, 3), bool), (3, 3, 6, 6))
    >>> [mask.area for mask in at_level(nest([nucleus, cell]), "whole")]
    [81]
    """
    return tuple(masks) if level == "all" else subset(masks, of_level(masks, level))


def of_level(masks: Sequence[Mask], level: Level) -> list[int]:
    """List the indices of the masks that `at_level` keeps."""
    containers = {mask.parent for mask in masks}
    return [
        index
        for index, mask in enumerate(masks)
        if level == "all"
        or mask.pinned
        or (mask.parent < 0 if level == "whole" else index not in containers)
    ]


def subset(masks: Sequence[Mask], indices: Iterable[int]) -> tuple[Mask, ...]:
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
