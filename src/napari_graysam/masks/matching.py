"""Which object is which: sparse overlaps of two sets of objects, and one-to-one matching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.hierarchy import shared_pixels
from napari_graysam.masks.mask import Mask


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
    """
    boxes = np.array([m.box for m in b], dtype=np.int64).reshape(-1, 4)
    found: list[tuple[int, int, int]] = []
    for i, one in enumerate(a):
        x0, y0, x1, y1 = one.box
        meet = (boxes[:, 0] < x1) & (x0 < boxes[:, 2]) & (boxes[:, 1] < y1) & (y0 < boxes[:, 3])
        for j in np.flatnonzero(meet).tolist():
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


def match(overlaps: Overlaps, threshold: float) -> NDArray[np.intp]:
    """Pair objects one to one so that the sum of IoU is largest.

    Only pairs with an IoU of at least ``threshold`` are eligible. Above 0.5 objects of label
    images have at most one such partner; where there is a choice, it is made by the Hungarian
    method (Kuhn 1955, as `scipy.optimize.linear_sum_assignment`) within each group of objects
    that compete for each other.

    Returns
    -------
    ndarray
        Positions of the chosen pairs in ``overlaps``, ascending, intp.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    eligible = np.flatnonzero(overlaps.iou >= threshold)
    if eligible.size == 0:
        return eligible
    n_a, n = overlaps.areas_a.size, overlaps.areas_a.size + overlaps.areas_b.size
    edges = (overlaps.a[eligible], n_a + overlaps.b[eligible])
    graph = coo_array((np.ones(eligible.size, dtype=bool), edges), shape=(n, n))
    _, group = connected_components(graph, directed=False)
    of_pair = group[edges[0]]
    order = np.argsort(of_pair, kind="stable")
    cuts = np.flatnonzero(np.diff(of_pair[order])) + 1
    chosen = [_assign(overlaps, pairs) for pairs in np.split(eligible[order], cuts)]
    return np.sort(np.concatenate(chosen))


def _assign(overlaps: Overlaps, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Choose among the pairs of one group of competing objects."""
    from scipy.optimize import linear_sum_assignment

    if pairs.size == 1:
        return pairs
    rows, row = np.unique(overlaps.a[pairs], return_inverse=True)
    columns, column = np.unique(overlaps.b[pairs], return_inverse=True)
    iou = np.zeros((rows.size, columns.size))
    position = np.full(iou.shape, -1, dtype=np.intp)
    iou[row, column] = overlaps.iou[pairs]
    position[row, column] = pairs
    taken = position[linear_sum_assignment(iou, maximize=True)]
    return np.asarray(taken[taken >= 0], dtype=np.intp)
