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
# Across a gap parts have moved, so less is asked for; but they are clearly smaller.
INSIDE_LATER = 0.25
SHARE_LATER = 0.1
SMALLER = 0.75


def note_parts(
    overlaps: Overlaps,
    start: int,
    before: NDArray[np.int64],
    parent: NDArray[np.int64],
    *,
    gap: bool = False,
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
    gap
        There are planes between the two.
    """
    a, b = overlaps.a, overlaps.b
    whole, piece = overlaps.areas_a[a], overlaps.areas_b[b]
    part = (overlaps.pixels > INSIDE * piece) & (overlaps.pixels >= SHARE * whole)
    if gap:
        moved = (overlaps.pixels > INSIDE_LATER * piece) & (overlaps.pixels >= SHARE_LATER * whole)
        part |= moved & (piece <= SMALLER * whole)
    part &= (parent[b] < 0) & ((before[b] < 0) | (before[b] == start + a))
    # Of several wholes, the one with most of the piece is noted last.
    order = np.argsort(overlaps.pixels[part], kind="stable")
    parent[b[part][order]] = start + a[part][order]


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
