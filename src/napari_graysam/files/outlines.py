"""Outlines of masks along pixel edges.

Coordinates are those of QuPath and ImageJ: (x, y) in pixels, (0, 0) is the upper left corner of
the first pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Ring = NDArray[np.int64]
"""(n, 2) corners (x, y) in order, the first not repeated; foreground lies to the right."""
Pieces = list[list[Ring]]
"""For each 4-connected piece its outer ring, then its holes."""

MOST_PIXELS = 2**22
"""Of masks that are traced together, on one sheet."""

WEST, EAST, NORTH, SOUTH = range(4)
# Every corner at which an outline turns: pixels (upper left, upper right, lower left, lower
# right) of which -1 stands for any; the side from which it comes, the side to which it goes,
# and the pixel (row, column offset) that it goes round.
_TURNS: tuple[tuple[tuple[int, int, int, int], int, int, tuple[int, int]], ...] = (
    ((1, 0, 0, -1), NORTH, WEST, (-1, -1)),
    ((0, 1, -1, 0), EAST, NORTH, (-1, 0)),
    ((0, -1, 1, 0), WEST, SOUTH, (0, -1)),
    ((-1, 0, 0, 1), SOUTH, EAST, (0, 0)),
    ((1, 1, 1, 0), EAST, SOUTH, (-1, -1)),
    ((1, 1, 0, 1), SOUTH, WEST, (-1, 0)),
    ((1, 0, 1, 1), NORTH, EAST, (0, -1)),
    ((0, 1, 1, 1), WEST, NORTH, (0, 0)),
)

# Pixels around a corner as one number: upper left 1, upper right 2, lower left 4, lower right 8.
_BITS = (np.arange(16)[:, None] >> np.arange(4)) & 1
_TURNS_AT = np.array(
    [((pattern == _BITS) | (np.array(pattern) < 0)).all(axis=1) for pattern, _, _, _ in _TURNS]
)
"""Whether an outline turns so at such a corner, (8, 16)."""
_TURNING = np.logical_or.reduce(_TURNS_AT)


def outlines(bits: Bits) -> Pieces:
    """Trace a mask along the edges of its pixels: `trace` for one.

    Examples
    --------
    >>> outlines(np.array([[True, True]]))[0][0].tolist()
    [[2, 1], [0, 1], [0, 0], [2, 0]]
    """
    return trace([bits])[0]


def trace(masks: Sequence[Bits]) -> list[Pieces]:
    """Trace masks along the edges of their pixels.

    Pieces that touch only at a corner are separate. Every ring is simple (it meets no corner
    twice), so that each piece is a valid polygon of the OGC's simple features.

    Parameters
    ----------
    masks
        Each bool (h, w).

    Returns
    -------
    list
        For each mask its 4-connected pieces in reading order, each its outer ring followed by
        its holes. Outer rings run clockwise as seen on screen, holes the other way round.

    Notes
    -----
    Many small masks are put one below the other, so that array operations work on all at once.
    """
    found: list[Pieces] = [[] for _ in masks]
    for together in _batches(masks):
        for number, pieces in zip(
            together, _trace_sheet([masks[i] for i in together]), strict=True
        ):
            found[number] = pieces
    return found


def _batches(masks: Sequence[Bits]) -> Iterator[list[int]]:
    """Group masks of about the same width, so that little of their sheet stays empty."""
    batch: list[int] = []
    rows = 0
    for number in sorted(range(len(masks)), key=lambda i: masks[i].shape[1]):
        height, width = masks[number].shape
        if batch and (rows + height + 1) * width > MOST_PIXELS:
            yield batch
            batch, rows = [], 0
        batch.append(number)
        rows += height + 1
    if batch:
        yield batch


def _trace_sheet(masks: Sequence[Bits]) -> list[Pieces]:
    """Trace masks that lie one below the other with an empty row between."""
    tops = np.cumsum([0, *(mask.shape[0] + 1 for mask in masks)])
    sheet = np.zeros((tops[-1], max(mask.shape[1] for mask in masks)), bool)
    for top, mask in zip(tops.tolist(), masks, strict=False):
        sheet[top : top + mask.shape[0], : mask.shape[1]] = mask
    corners, following, twins, piece = _linked_turns(sheet)
    mask_of = np.searchsorted(tops, corners[:, 1], side="right") - 1
    corners[:, 1] -= tops[mask_of]
    owner, piece_of = mask_of.tolist(), piece.tolist()
    found: list[dict[int, list[Ring]]] = [{} for _ in masks]
    for path in _rings(following.tolist(), twins.tolist()):
        found[owner[path[0]]].setdefault(piece_of[path[0]], []).append(corners[path])
    for pieces in found:
        for rings in pieces.values():
            if len(rings) > 1:
                rings.sort(key=lambda ring: twice_area(ring) < 0)
    return [[pieces[number] for number in sorted(pieces)] for pieces in found]


def _linked_turns(
    sheet: Bits,
) -> tuple[Ring, NDArray[np.intp], NDArray[np.intp], NDArray[np.int32]]:
    """List the turns of all outlines.

    Returns their corners (n, 2), the turn that follows each, the other turn at the same corner
    (-1 for none), and their piece.

    Along a row of corners, turns alternately begin and end a horizontal edge; along a column,
    a vertical one.
    """
    import cv2

    _, pieces = cv2.connectedComponents(sheet.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    padded = np.pad(sheet, 1).view(np.uint8)
    around = padded[:-1, :-1] | padded[:-1, 1:] << 1 | padded[1:, :-1] << 2 | padded[1:, 1:] << 3
    row, column = np.nonzero(_TURNING[around])
    kind = around[row, column]
    parts: list[NDArray[np.int64]] = []
    for turns, (_, arriving, leaving, (down, right)) in zip(_TURNS_AT, _TURNS, strict=True):
        here = turns[kind]
        y, x = row[here], column[here]
        sides = np.broadcast_to(np.array([arriving, leaving]), (y.size, 2))
        parts.append(np.column_stack((x, y, sides, pieces[y + down, x + right])))
    x, y, arriving, leaving, piece = np.concatenate(parts).T
    across = np.lexsort((_has(EAST, arriving, leaving), x, y))
    along = np.lexsort((_has(SOUTH, arriving, leaving), y, x))
    following = np.empty(x.size, np.intp)
    for order, horizontal in ((across, True), (along, False)):
        goes = (leaving <= EAST) == horizontal
        partner = _other_of_pair(order)
        following[goes] = partner[goes]
    twins = np.full(x.size, -1, np.intp)
    same = np.flatnonzero((np.diff(x[across]) == 0) & (np.diff(y[across]) == 0))
    twins[across[same]], twins[across[same + 1]] = across[same + 1], across[same]
    return np.column_stack((x, y)), following, twins, piece


def _other_of_pair(order: NDArray[np.intp]) -> NDArray[np.intp]:
    partner = np.empty(order.size, np.intp)
    partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    return partner


def _has(side: int, arriving: NDArray[np.int64], leaving: NDArray[np.int64]) -> Bits:
    either: Bits = (arriving == side) | (leaving == side)
    return either


def _rings(following: list[int], twins: list[int]) -> Iterator[list[int]]:
    """Follow the turns; cut off a ring of its own wherever a corner is met again."""
    seen = bytearray(len(following))
    for start in range(len(following)):
        if seen[start]:
            continue
        path: list[int] = []
        place: dict[int, int] = {}
        turn = start
        while not seen[turn]:
            seen[turn] = 1
            twin = twins[turn]
            if twin >= 0:
                if twin in place:
                    loop = path[place[twin] :]
                    del path[place[twin] :]
                    for left in loop:
                        place.pop(left, None)
                    yield loop
                place[turn] = len(path)
            path.append(turn)
            turn = following[turn]
        yield path


def twice_area(ring: NDArray[Any]) -> float:
    """Twice the area inside a ring; positive where it runs clockwise as seen on screen."""
    x, y = ring[:, 0], ring[:, 1]
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
