"""Overlaps of label volumes, counted plane by plane and summed up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.overlap import Overlaps, label_overlaps

Labels: TypeAlias = NDArray[np.integer]

SLACK = 2**16
"""Rows that may be added to a table before equal ones are put together."""


@dataclass(eq=False)
class OverlapSum:
    """How many voxels the objects of two label volumes share, of which one plane is in memory.

    What is kept grows with the number of objects and of overlapping pairs, not with that of
    voxels or planes.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import OverlapSum
    >>> whole = OverlapSum()
    >>> for a, b in (([[1, 1, 0]], [[5, 0, 0]]), ([[1, 0, 2]], [[5, 5, 5]])):
    ...     plane = whole.add(np.array(a), np.array(b))
    >>> ids_a, ids_b, overlaps = whole.total()
    >>> ids_a.tolist(), overlaps.areas_a.tolist(), overlaps.pixels.tolist()
    ([1, 2], [3, 1], [2, 1])

    See Also
    --------
    label_overlaps : Of two label images.
    """

    _a: _Table = field(default_factory=lambda: _Table(1))
    _b: _Table = field(default_factory=lambda: _Table(1))
    _pairs: _Table = field(default_factory=lambda: _Table(2))

    def add(self, a: Labels, b: Labels) -> tuple[Labels, Labels, Overlaps]:
        """Count a plane of both volumes, and return its own overlaps as `label_overlaps` does."""
        ids_a, ids_b, overlaps = label_overlaps(a, b)
        self._a.add((ids_a,), overlaps.areas_a)
        self._b.add((ids_b,), overlaps.areas_b)
        self._pairs.add((ids_a[overlaps.a], ids_b[overlaps.b]), overlaps.pixels)
        return ids_a, ids_b, overlaps

    def total(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Overlaps]:
        """Return labels and overlaps of all planes so far, as `label_overlaps` does."""
        (ids_a,), areas_a = self._a.rows()
        (ids_b,), areas_b = self._b.rows()
        (of_a, of_b), pixels = self._pairs.rows()
        at_a, at_b = np.searchsorted(ids_a, of_a), np.searchsorted(ids_b, of_b)
        return ids_a, ids_b, Overlaps(areas_a, areas_b, at_a, at_b, pixels)


@dataclass(eq=False)
class _Table:
    """Counts by one or two labels; equal rows are put together now and then."""

    width: int
    _parts: list[NDArray[np.int64]] = field(default_factory=list)
    _waiting: int = 0
    _size: int = 0

    def add(self, labels: tuple[Labels, ...], counts: NDArray[np.int64]) -> None:
        part = np.stack([*(column.astype(np.int64) for column in labels), counts])
        self._parts.append(part)
        self._waiting += part.shape[1]
        if self._waiting > self._size + SLACK:
            self._merge()

    def rows(self) -> tuple[tuple[NDArray[np.int64], ...], NDArray[np.int64]]:
        """Return the columns of labels, ascending, and the counts."""
        self._merge()
        table = self._parts[0]
        return tuple(table[:-1]), table[-1]

    def _merge(self) -> None:
        empty = np.zeros((self.width + 1, 0), np.int64)
        table = np.concatenate([empty, *self._parts], axis=1)
        table = table[:, np.lexsort(table[-2::-1])]
        starts = np.ones(table.shape[1], bool)
        starts[1:] = (table[:-1, 1:] != table[:-1, :-1]).any(axis=0)
        first = np.flatnonzero(starts)
        sums = np.add.reduceat(table[-1], first) if first.size else table[-1]
        self._parts = [np.concatenate([table[:-1, first], sums[None]])]
        self._size, self._waiting = first.size, 0
