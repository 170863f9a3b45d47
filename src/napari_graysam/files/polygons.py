"""Outlines of masks along pixel edges, and the pixels inside outlines.

Coordinates are those of QuPath and ImageJ: (x, y) in pixels, (0, 0) is the upper left corner of
the first pixel, so that its centre is at (0.5, 0.5). A pixel is inside where its centre is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import LabelsError
from napari_graysam.limits import check_memory
from napari_graysam.masks import Mask

Ring = NDArray[np.int64]
"""(n, 2) corners (x, y) in order, the first not repeated; foreground lies to the right."""

FURTHEST = 2**31
"""Coordinates beyond this are damage, not places in an image."""
FILL_BYTES = 4
"""For each pixel of an object's box while it is filled: its bits, a copy, and the crossings."""
MOST_CROSSINGS = 2**20
"""Edges times the rows that they cross, looked at together."""

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


def outlines(bits: NDArray[np.bool_]) -> list[list[Ring]]:
    """Trace a mask along the edges of its pixels.

    Pieces that touch only at a corner are separate. Every ring is simple (it meets no corner
    twice), so that each piece is a valid polygon of the OGC's simple features.

    Parameters
    ----------
    bits
        bool (h, w).

    Returns
    -------
    list
        For each 4-connected piece, in reading order, its outer ring followed by its holes.
        Outer rings run clockwise as seen on screen, holes the other way round.
    """
    import cv2

    if not bits.any():
        return []
    _, pieces = cv2.connectedComponents(
        np.ascontiguousarray(bits).view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    corners, following, piece = _linked_turns(bits, pieces)
    found: dict[int, list[Ring]] = {}
    for number, ring in _rings(corners, following, piece):
        found.setdefault(number, []).append(ring)
    for rings in found.values():
        rings.sort(key=lambda ring: twice_area(ring) < 0)
    return [found[number] for number in sorted(found)]


def _linked_turns(
    bits: NDArray[np.bool_], pieces: NDArray[np.int32]
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """List the turns of all outlines: their corner, the turn that follows, and their piece.

    Along a row of corners, turns alternately begin and end a horizontal edge; along a column,
    a vertical one.
    """
    padded = np.pad(bits, 1).astype(np.int8)
    around = (padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:])
    parts: list[NDArray[np.int64]] = []
    for pattern, arriving, leaving, (down, right) in _TURNS:
        here = np.ones(around[0].shape, bool)
        for pixels, wanted in zip(around, pattern, strict=True):
            if wanted >= 0:
                here &= pixels == wanted
        y, x = np.nonzero(here)
        sides = np.broadcast_to(np.array([arriving, leaving]), (y.size, 2))
        parts.append(np.column_stack((x, y, sides, pieces[y + down, x + right])))
    x, y, arriving, leaving, piece = np.concatenate(parts).T
    across = np.lexsort((_has(EAST, arriving, leaving), x, y))
    along = np.lexsort((_has(SOUTH, arriving, leaving), y, x))
    following = np.empty(x.size, np.int64)
    for order, horizontal in ((across, True), (along, False)):
        first, second = order[::2], order[1::2]
        partner = np.empty(x.size, np.int64)
        partner[first], partner[second] = second, first
        goes = (leaving <= EAST) == horizontal
        following[goes] = partner[goes]
    corners = list(zip(x.tolist(), y.tolist(), strict=True))
    return corners, following.tolist(), piece.tolist()


def _has(side: int, arriving: NDArray[np.int64], leaving: NDArray[np.int64]) -> NDArray[np.bool_]:
    either: NDArray[np.bool_] = (arriving == side) | (leaving == side)
    return either


def _rings(
    corners: list[tuple[int, int]], following: list[int], piece: list[int]
) -> Iterator[tuple[int, Ring]]:
    """Follow the turns; cut off a ring of its own wherever a corner is met again."""
    seen = [False] * len(corners)
    for start in range(len(corners)):
        if seen[start]:
            continue
        path: list[tuple[int, int]] = []
        place: dict[tuple[int, int], int] = {}
        turn = start
        while not seen[turn]:
            seen[turn] = True
            corner = corners[turn]
            if corner in place:
                loop = path[place[corner] :]
                del path[place[corner] :]
                for left in loop:
                    del place[left]
                yield piece[start], np.array(loop)
            place[corner] = len(path)
            path.append(corner)
            turn = following[turn]
        yield piece[start], np.array(path)


def twice_area(ring: NDArray[Any]) -> float:
    """Twice the area inside a ring; positive where it runs clockwise as seen on screen."""
    x, y = ring[:, 0], ring[:, 1]
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


def check_rings(polygons: Sequence[Sequence[Any]]) -> list[list[NDArray[np.float64]]]:
    """Return polygons with their rings as arrays of positions.

    Parameters
    ----------
    polygons
        Each a list of rings, each a list of positions (x, y).

    Raises
    ------
    LabelsError
        A ring is no list of finite positions (x, y).

    Examples
    --------
    >>> check_rings([[[[0, 0], [2, 0], [0, 2]]]])[0][0].shape
    (3, 2)
    """
    return [[_checked(ring) for ring in polygon] for polygon in polygons]


def extent(
    polygons: Sequence[Sequence[NDArray[np.float64]]], size: tuple[int, int] | None = None
) -> tuple[int, int, int, int]:
    """Return the pixels that polygons may cover, ``(x0, y0, x1, y1)``, half-open.

    Parameters
    ----------
    polygons
        As `check_rings` returns them.
    size
        (H, W) of the image, whose edge is not crossed; the upper and left one never is.

    Examples
    --------
    >>> extent(check_rings([[[[0.5, 1], [20, 1], [0.5, 3]]]]), (9, 9))
    (0, 1, 9, 3)
    """
    every = [ring for polygon in polygons for ring in polygon]
    if not every:
        return (0, 0, 0, 0)
    most = np.array([FURTHEST, FURTHEST] if size is None else size[::-1])
    low = np.clip(np.floor(np.min([ring.min(axis=0) for ring in every], axis=0)), 0, most)
    high = np.clip(np.ceil(np.max([ring.max(axis=0) for ring in every], axis=0)), low, most)
    (x0, y0), (x1, y1) = low.astype(int).tolist(), high.astype(int).tolist()
    return x0, y0, x1, y1


def fill(
    polygons: Sequence[Sequence[NDArray[Any]]], size: tuple[int, int] | None = None
) -> Mask | None:
    """Find the pixels whose centre lies inside polygons.

    Parameters
    ----------
    polygons
        Each a list of rings (n, 2) of real coordinates (x, y): an outer one and holes in any
        direction. What an even number of a polygon's rings encloses is outside of it; polygons
        are united. Pixels left of x = 0 and above y = 0 are left out.
    size
        (H, W) of the image; pixels outside of it are left out.

    Returns
    -------
    Mask or None
        None where no pixel's centre is inside.

    Raises
    ------
    LabelsError
        A ring is no list of finite positions (x, y).
    ImageError
        The mask does not fit into memory.

    Examples
    --------
    >>> import numpy as np
    >>> mask = fill([[np.array([[1, 1], [4, 1], [4, 3], [1, 3]])]])
    >>> mask.box, mask.area
    ((1, 1, 4, 3), 6)
    """
    rings = check_rings(polygons)
    x0, y0, x1, y1 = extent(rings, size)
    shape = y1 - y0, x1 - x0
    check_memory(FILL_BYTES * shape[0] * shape[1], f"An object of {shape[0]} × {shape[1]} pixels")
    bits = np.zeros(shape, bool)
    for polygon in rings:
        bits |= _inside(polygon, (x0, y0), shape)
    mask = Mask(bits, (x0, y0, x1, y1)).with_bits(bits)
    return mask if mask.area else None


def _checked(ring: Any) -> NDArray[np.float64]:
    try:
        points = np.asarray(ring, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] < 2 or not len(points):
        raise LabelsError("An outline must be a list of positions (x, y).")
    points = points[:, :2]
    if not (np.abs(points) < FURTHEST).all():
        raise LabelsError(f"An outline has a position that is not finite or beyond {FURTHEST}.")
    return points


def _inside(
    rings: Sequence[NDArray[np.float64]], origin: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Count along each row of pixel centres how many edges lie to the left (even-odd rule)."""
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), np.uint8)
    for ring in rings:
        begin = ring - origin - 0.5
        end = np.roll(begin, -1, axis=0)
        top, bottom = np.minimum(begin[:, 1], end[:, 1]), np.maximum(begin[:, 1], end[:, 1])
        first = np.clip(np.ceil(top), 0, rows).astype(np.int64)
        count = np.clip(np.ceil(bottom), 0, rows).astype(np.int64) - first
        for some in _together(count):
            edge = some.start + np.repeat(np.arange(some.stop - some.start), count[some])
            within = np.repeat(np.cumsum(count[some]) - count[some], count[some])
            row = np.arange(edge.size) - within + first[edge]
            (x, y), (dx, dy) = begin[edge].T, (end - begin)[edge].T
            column = np.clip(np.ceil(x + (row - y) * dx / dy), 0, columns).astype(np.int64)
            np.add.at(crossings.reshape(-1), row * (columns + 1) + column, 1)
    crossings &= 1
    np.bitwise_xor.accumulate(crossings, axis=1, out=crossings)
    return crossings[:, :-1].view(bool)


def _together(count: NDArray[np.int64]) -> Iterator[slice]:
    """Split edges so that few enough rows are crossed at once, however long all edges are."""
    block = np.cumsum(count) // MOST_CROSSINGS
    ends = [*(np.flatnonzero(np.diff(block)) + 1).tolist(), len(count)]
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        yield slice(start, stop)
