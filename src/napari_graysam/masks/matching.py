"""Which object is which: one-to-one matching of two sets of objects by their overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.overlap import Overlaps


def match(overlaps: Overlaps, threshold: float) -> NDArray[np.intp]:
    """Pair objects one to one so that the sum of IoU is largest.

    Only pairs with an IoU of at least ``threshold`` are eligible. Above 0.5 objects of label
    images have at most one such partner; where there is a choice, it is made by the Hungarian
    method (Kuhn 1955, as `scipy.optimize.linear_sum_assignment`) within each group of objects
    that compete for each other.

    Parameters
    ----------
    overlaps
        Of all pairs that share a pixel.
    threshold
        Smallest IoU of a pair, in [0, 1].

    Returns
    -------
    ndarray
        Positions of the chosen pairs in ``overlaps``, ascending, intp.

    See Also
    --------
    label_overlaps, mask_overlaps : Measure the overlaps.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import label_overlaps, match
    >>> truth, found = np.array([[1, 1, 1, 2, 2, 0]]), np.array([[5, 5, 5, 5, 6, 6]])
    >>> labels, others, overlaps = label_overlaps(truth, found)
    >>> pairs = match(overlaps, 0.3)
    >>> labels[overlaps.a[pairs]].tolist(), others[overlaps.b[pairs]].tolist()
    ([1, 2], [5, 6])
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
