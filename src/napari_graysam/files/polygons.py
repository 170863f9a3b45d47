"""The pixels inside outlines.

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

FURTHEST = 2**31
"""Coordinates beyond this are damage, not places in an image."""
FILL_BYTES = 4
"""For each pixel of an object's box while it is filled: its bits, a copy, and the crossings."""
MOST_CROSSINGS = 2**20
"""Edges times the rows that they cross, looked at together."""


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
