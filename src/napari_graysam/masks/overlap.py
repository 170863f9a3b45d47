"""How many pixels masks, boxes and the objects of label images have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.mask import Box, Mask


def shared_pixels(one: Mask, other: Mask) -> int:
    """Count the pixels that two masks of one image have in common.

    Parameters
    ----------
    one, other
        Masks of one image; bits are compared only where their boxes meet.

    See Also
    --------
    mask_iou : The same, relative to the union.
    mask_overlaps : All pairs of two lists.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, shared_pixels
    >>> one = Mask(np.ones((4, 4), bool), (0, 0, 4, 4))
    >>> shared_pixels(one, Mask(np.ones((2, 8), bool), (2, 1, 10, 3)))
    4
    """
    x0, y0 = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    x1, y1 = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    if x0 >= x1 or y0 >= y1:
        return 0
    box = x0, y0, x1, y1
    return int(np.count_nonzero(_window(one, box) & _window(other, box)))


def _window(mask: Mask, box: Box) -> NDArray[np.bool_]:
    """View the bits of a mask inside a box that lies within its own."""
    left, top = mask.box[:2]
    return mask.bits[box[1] - top : box[3] - top, box[0] - left : box[2] - left]


def mask_iou(one: Mask, other: Mask) -> float:
    """Return the intersection over union of two masks of one image, not both empty.

    See Also
    --------
    shared_pixels : The intersection alone.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, mask_iou
    >>> one = Mask(np.ones((4, 4), bool), (0, 0, 4, 4))
    >>> mask_iou(one, Mask(np.ones((2, 4), bool), (0, 0, 4, 2)))
    0.5
    """
    shared = shared_pixels(one, other)
    return shared / (one.area + other.area - shared)


def shared_box_pixels(box: NDArray[np.integer], boxes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count the pixels that a box has in common with others: the most that masks can share.

    Parameters
    ----------
    box
        (4,), ``x0, y0, x1, y1``, half-open.
    boxes
        (N, 4), likewise.

    Returns
    -------
    ndarray
        int64 (N,).
    """
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    np.maximum(sides, 0, out=sides)
    pixels: NDArray[np.int64] = sides[:, 0] * sides[:, 1]
    return pixels


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Every pair of one object of A and one of B that share a pixel.

    Parameters
    ----------
    areas_a, areas_b
        Areas of all objects in pixels, int64 of shape (n_a,) and (n_b,).
    a, b
        Positions of the overlapping pairs' members, intp (k,), ordered by ``a``, then ``b``.
    pixels
        Shared pixels of each pair, int64 (k,), at least 1.
    """

    areas_a: NDArray[np.int64]
    areas_b: NDArray[np.int64]
    a: NDArray[np.intp]
    b: NDArray[np.intp]
    pixels: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, float64 (k,)."""
        union = self.areas_a[self.a] + self.areas_b[self.b] - self.pixels
        return np.asarray(self.pixels / union, dtype=np.float64)

    @property
    def share(self) -> NDArray[np.float64]:
        """Shared part of the smaller object of each pair, float64 (k,)."""
        smaller = np.minimum(self.areas_a[self.a], self.areas_b[self.b])
        return np.asarray(self.pixels / smaller, dtype=np.float64)

    def only(self, pairs: NDArray[np.bool_]) -> Overlaps:
        """Return only some pairs, marked in bool (k,)."""
        return replace(self, a=self.a[pairs], b=self.b[pairs], pixels=self.pixels[pairs])

    def among(self, a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Overlaps:
        """Return only the pairs of some objects, marked in bool (n_a,) and (n_b,)."""
        return self.only(a[self.a] & b[self.b])

    @property
    def exchanged(self) -> Overlaps:
        """The same pairs with A and B exchanged, in the same order."""
        return Overlaps(self.areas_b, self.areas_a, self.b, self.a, self.pixels)


def label_overlaps(
    a: NDArray[np.integer], b: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.integer], Overlaps]:
    """Overlap two label images of one shape; 0 is background.

    The images are compressed to runs along the last axis first, so the cost grows with the
    length of the outlines and not with the largest label.

    Parameters
    ----------
    a, b
        Label images of any integer dtype and the same shape.

    Returns
    -------
    ids_a, ids_b, overlaps
        The labels that occur, ascending; ``overlaps`` refers to their positions.

    See Also
    --------
    mask_overlaps : The same for masks, which may overlap within one list.
    match : Pairs the objects one to one.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import label_overlaps
    >>> a, b = np.array([[1, 1, 0, 7]]), np.array([[2, 0, 2, 2]])
    >>> ids_a, ids_b, overlaps = label_overlaps(a, b)
    >>> ids_a.tolist(), ids_b.tolist(), overlaps.pixels.tolist()
    ([1, 7], [2], [1, 1])
    """
    flat_a, flat_b = np.ravel(a), np.ravel(b)
    steps = np.flatnonzero((flat_a[1:] != flat_a[:-1]) | (flat_b[1:] != flat_b[:-1])) + 1
    starts = np.concatenate([np.zeros(min(1, flat_a.size), dtype=np.intp), steps])
    lengths = np.diff(starts, append=flat_a.size)
    ids_a, of_a = np.unique(flat_a[starts], return_inverse=True)
    ids_b, of_b = np.unique(flat_b[starts], return_inverse=True)
    pairs, of_pair = np.unique(of_a * max(1, ids_b.size) + of_b, return_inverse=True)
    counts = _total(of_pair, lengths, pairs.size)
    at_a, at_b = np.divmod(pairs, max(1, ids_b.size))
    both = (ids_a[at_a] != 0) & (ids_b[at_b] != 0)
    # 0 need not be the smallest value or occur at all, so positions are counted past it.
    object_a, object_b = ids_a != 0, ids_b != 0
    overlaps = Overlaps(
        areas_a=_total(of_a, lengths, ids_a.size)[object_a],
        areas_b=_total(of_b, lengths, ids_b.size)[object_b],
        a=(np.cumsum(object_a) - 1)[at_a[both]],
        b=(np.cumsum(object_b) - 1)[at_b[both]],
        pixels=counts[both],
    )
    return ids_a[object_a], ids_b[object_b], overlaps


def _total(group: NDArray[np.intp], weight: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """Sum integer weights per group; exact up to 2**53."""
    return np.bincount(group, weights=weight, minlength=n).astype(np.int64)


def mask_overlaps(a: Sequence[Mask], b: Sequence[Mask]) -> Overlaps:
    """Overlap two lists of masks, whose members may also overlap each other.

    Bits are compared only where boxes meet.

    Parameters
    ----------
    a, b
        Masks of one image.

    See Also
    --------
    label_overlaps : The same for label images.
    match : Pairs the masks one to one.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, mask_overlaps
    >>> one = Mask(np.ones((4, 4), bool), (0, 0, 4, 4))
    >>> other = Mask(np.ones((4, 4), bool), (0, 2, 4, 6))
    >>> mask_overlaps([one], [other, one]).iou.tolist()
    [0.3333333333333333, 1.0]
    """
    boxes = np.array([m.box for m in b], dtype=np.int64).reshape(-1, 4)
    found: list[tuple[int, int, int]] = []
    for i, one in enumerate(a):
        for j in np.flatnonzero(shared_box_pixels(np.array(one.box), boxes)).tolist():
            if pixels := shared_pixels(one, b[j]):
                found.append((i, j, pixels))
    pairs = np.array(found, dtype=np.int64).reshape(-1, 3)
    return Overlaps(
        areas_a=np.array([m.area for m in a], dtype=np.int64),
        areas_b=np.array([m.area for m in b], dtype=np.int64),
        a=pairs[:, 0].astype(np.intp),
        b=pairs[:, 1].astype(np.intp),
        pixels=pairs[:, 2],
    )
