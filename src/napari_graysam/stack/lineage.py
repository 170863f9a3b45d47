"""Splits and merges: where an object becomes several, or several become one.

Written for splits; a merge is a split with the planes in the other order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Overlaps

# A part lies with more than half of its pixels in the whole, so it is a part of one object only,
# and makes up at least a fifth of it, so that a speck beside an object is no division.
INSIDE = 0.5
SHARE = 0.2


def note_parts(
    overlaps: Overlaps, start: int, before: NDArray[np.int64], parent: NDArray[np.int64]
) -> None:
    """Note what the objects of B that have no parent yet can be a part of.

    Parameters
    ----------
    overlaps
        Of the objects of two planes, A and B.
    start
        Position of the first object of A in the list of those of all planes.
    before
        Partners of the objects of B, int64 (n_b,); -1 for none. An object that has a partner
        is a part of that one or of none.
    parent
        Positions of the objects that they are a part of, int64 (n_b,); changed in place.
    """
    a, b = overlaps.a, overlaps.b
    inside = overlaps.pixels > INSIDE * overlaps.areas_b[b]
    large = overlaps.pixels >= SHARE * overlaps.areas_a[a]
    free = (parent[b] < 0) & ((before[b] < 0) | (before[b] == start + a))
    part = inside & large & free
    parent[b[part]] = start + a[part]


def cut(
    after: NDArray[np.int64], before: NDArray[np.int64], parent: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Find the objects that have several parts, and cut the link to the one they went on as.

    Parameters
    ----------
    after, before
        Links of all objects, int64 (N,); -1 for none. Changed in place.
    parent
        What each can be a part of, int64 (N,); -1 for none.

    Returns
    -------
    ndarray
        Whole and part, int64 (k, 2), ascending.
    """
    part = np.flatnonzero((parent >= 0) & ((before < 0) | (before == parent)))
    whole = parent[part]
    # A whole that goes on as something that is no part of it has not become its parts.
    goes_on = after[whole] >= 0
    gone = ~goes_on | (parent[after[whole]] == whole)
    part, whole = part[gone], whole[gone]
    several = np.bincount(whole, minlength=after.size)[whole] > 1
    part, whole = part[several], whole[several]
    before[part] = -1
    after[whole] = -1
    order = np.lexsort((part, whole))
    return np.stack([whole[order], part[order]], axis=1)
