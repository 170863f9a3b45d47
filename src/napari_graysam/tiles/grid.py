"""Which squares of an image the model sees, and which part of each belongs to it alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import RecipeError
from napari_graysam.preprocess.chain import Box

SMALLEST_CORE = 16
"""Pixels of a tile that must be left between its halos."""
ALIGNED = 64
"""Pixels to whose multiples windows begin, so that the model sees the same in any of them.

An encoder sees an image in patches, those of SAM 2 of up to 32 pixels; moved by half a patch, it
finds other outlines.
"""


@dataclass(frozen=True)
class Tile:
    """One tile.

    Attributes
    ----------
    row, column
        Its place in the grid.
    window
        Rows and columns of the image that the model sees.
    core
        Those that belong to this tile and to no other.
    """

    row: int
    column: int
    window: Box = field(hash=False)
    core: Box = field(hash=False)

    @property
    def name(self) -> str:
        """Such as ``r003c012``."""
        return f"r{self.row:03}c{self.column:03}"

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column where the window begins."""
        return self.window[0].start, self.window[1].start

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the window."""
        rows, columns = self.window
        return rows.stop - rows.start, columns.stop - columns.start

    def core_mask(self) -> NDArray[np.bool_]:
        """Return which pixels of the window are the core's, bool (h, w)."""
        mask = np.zeros(self.shape, bool)
        top, left = self.origin
        rows, columns = self.core
        mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = True
        return mask


@dataclass(frozen=True)
class TileGrid:
    """How an image is cut into tiles: windows of one size that overlap by two halos or more.

    Unless tiles are small, windows begin at multiples of `ALIGNED`, but for the last ones.

    Parameters
    ----------
    shape
        (H, W) of the image.
    size
        Side of a window; less where the image is smaller.
    halo
        Least distance of a core from the edge of its window, but for edges of the image.

    Raises
    ------
    RecipeError
        The halos leave no core.

    Examples
    --------
    >>> grid = TileGrid((100, 260), 100, 10)
    >>> [(tile.name, tile.window[1], tile.core[1]) for tile in grid]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('r000c000', slice(0, 100, None), slice(0, 90, None)),
     ('r000c001', slice(80, 180, None), slice(90, 170, None)),
     ('r000c002', slice(160, 260, None), slice(170, 260, None))]
    """

    shape: tuple[int, int]
    size: int
    halo: int

    def __post_init__(self) -> None:
        """Refuse tiles that are all halo."""
        if self.size - 2 * self.halo < SMALLEST_CORE:
            raise RecipeError(
                f"tiles.size is {self.size} and the halo {self.halo} pixels on each side, which "
                f"leaves a core of {max(0, self.size - 2 * self.halo)} pixels: at least "
                f"{SMALLEST_CORE} are needed; raise tiles.size or lower tiles.halo, or work on a "
                "coarser level with tiles.level"
            )

    @cached_property
    def spans(self) -> tuple[tuple[tuple[slice, slice], ...], ...]:
        """Window and core of every row of tiles, and of every column."""
        return tuple(tuple(_spans(length, self.size, self.halo)) for length in self.shape)

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.spans[0]) * len(self.spans[1])

    def __iter__(self) -> Iterator[Tile]:
        """Yield the tiles, row by row."""
        for row in range(len(self.spans[0])):
            for column in range(len(self.spans[1])):
                yield self.tile(row, column)

    def tile(self, row: int, column: int) -> Tile:
        """Return the tile of a place in the grid."""
        rows, columns = self.spans[0][row], self.spans[1][column]
        return Tile(row, column, (rows[0], columns[0]), (rows[1], columns[1]))

    def holding(self, x: float, y: float) -> int:
        """Return the number of the tile whose core holds a point of the image."""
        row, column = (
            max(0, sum(core.start <= place for _, core in spans) - 1)
            for spans, place in zip(self.spans, (y, x), strict=True)
        )
        return int(row * len(self.spans[1]) + column)

    def around(self, tile: Tile) -> list[Tile]:
        """Return the tiles whose window shares a pixel with a tile's, without itself."""
        return [other for other in self.seeing(tile.window) if other != tile]

    def seeing(self, place: Box) -> list[Tile]:
        """Return the tiles whose window shares a pixel with rows and columns of the image."""
        rows, columns = (
            [n for n, (window, _) in enumerate(spans) if _meet(window, own)]
            for spans, own in zip(self.spans, place, strict=True)
        )
        return [self.tile(row, column) for row in rows for column in columns]

    def middle(self) -> Tile:
        """Return the tile in the middle of the image."""
        return self.tile(len(self.spans[0]) // 2, len(self.spans[1]) // 2)

    def seams(self) -> tuple[list[int], list[int]]:
        """Return rows and columns where one core ends and the next begins."""
        rows, columns = ([core.start for _, core in spans[1:]] for spans in self.spans)
        return rows, columns


def _meet(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


def _spans(length: int, size: int, halo: int) -> Iterator[tuple[slice, slice]]:
    """Yield window and core along one axis: as few as cover it, about evenly spaced."""
    if length <= size:
        yield slice(0, length), slice(0, length)
        return
    starts = _starts(length - size, size - 2 * halo)
    bounds = [0, *((one + size + two) // 2 for one, two in pairwise(starts))]
    for start, first, last in zip(starts, bounds, [*bounds[1:], length], strict=True):
        yield slice(start, start + size), slice(first, last)


def _starts(last: int, reach: int) -> list[int]:
    """Return where windows begin, no farther apart than they reach, up to the last one."""
    if reach < 2 * ALIGNED:
        count = math.ceil(last / reach)
        return [round(n * last / count) for n in range(count + 1)]
    step = reach // ALIGNED * ALIGNED
    count = math.ceil(last / step)
    even = [n * last // count // ALIGNED * ALIGNED for n in range(count)] + [last]
    if max(two - one for one, two in pairwise(even)) <= reach:
        return even
    return [n * step for n in range(count)] + [last]
