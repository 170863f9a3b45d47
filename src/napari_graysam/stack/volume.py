"""The label images of a stack's planes in one array that is filled as they come."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import label_overlaps, match

LARGEST = 2**30
"""Bytes from which a volume is a file that is mapped into memory."""
SAME = 0.5
"""An object of a plane that comes again keeps its number if they overlap by this IoU."""

Plane = NDArray[np.uint32]


class LabelVolume:
    """Label images of planes in one array, and each as it came, which takes little memory.

    Until they are linked, every object of every plane has a number of its own; one that comes
    again with other outlines keeps it. Threads may share it.

    Parameters
    ----------
    count
        Of planes.
    shape
        (H, W) of each.
    path
        Of a file for a volume of more than `LARGEST` bytes; None keeps any in memory.

    Attributes
    ----------
    ids
        uint32 (count, H, W): the numbers. A plane that has not come is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.stack.volume import LabelVolume
    >>> volume = LabelVolume(3, (1, 4))
    >>> volume.put(1, np.array([[1, 1, 0, 2]], np.uint32))
    >>> volume.put(0, np.array([[0, 1, 1, 0]], np.uint32))
    >>> volume.ids.tolist()
    [[[0, 3, 3, 0]], [[1, 1, 0, 2]], [[0, 0, 0, 0]]]
    >>> volume.positions, volume[1].tolist()
    ((0, 1), [[1, 1, 0, 2]])
    """

    def __init__(self, count: int, shape: tuple[int, int], path: Path | None = None) -> None:
        self._size, self._path, self._parted = (count, *shape), path, 0
        self.ids = self._blank()
        self._came: dict[int, bytes] = {}
        self._largest = 0
        self._lock = RLock()

    def _blank(self) -> Plane:
        if self._path is None or 4 * int(np.prod(self._size)) <= LARGEST:
            return np.zeros(self._size, np.uint32)
        path = self._path.with_stem(f"{self._path.stem}-{self._parted}")
        return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint32, shape=self._size)

    def part(self) -> None:
        """Leave the array to whoever shows it, and go on with a blank one.

        Planes as they came stay; linking shows them again.
        """
        with self._lock:
            self._parted += 1
            self.ids = self._blank()

    @property
    def positions(self) -> tuple[int, ...]:
        """The planes that have come, ascending."""
        return tuple(sorted(self._came))

    def __getitem__(self, position: int) -> Plane:
        """Return a plane as it came, uint32 (H, W)."""
        packed = zlib.decompress(self._came[position])
        return np.frombuffer(packed, np.uint32).reshape(self._size[1:])

    def put(self, position: int, labels: Plane) -> None:
        """Take the label image of a plane, (H, W), in place of the one that is there."""
        packed = zlib.compress(np.ascontiguousarray(labels, np.uint32).tobytes(), 1)
        with self._lock:
            if self._came.get(position) == packed:
                return
            table = self._numbers(position, labels)
            self._came[position] = packed
            self.ids[position] = table[labels]

    def write(self, position: int, ids: Plane) -> None:
        """Show numbers in a plane, (H, W): those of linked objects."""
        with self._lock:
            self.ids[position] = ids
            self._largest = max(self._largest, int(ids.max(initial=0)))

    def discard(self, position: int) -> None:
        """Empty a plane."""
        with self._lock:
            if self._came.pop(position, None) is not None:
                self.ids[position] = 0

    def _numbers(self, position: int, labels: Plane) -> NDArray[np.uint32]:
        """Return the number of each label of a plane: that of the object it was, or a new one."""
        count = int(labels.max(initial=0))
        table = np.zeros(count + 1, np.uint32)
        table[1:] = np.arange(self._largest + 1, self._largest + count + 1)
        if position in self._came and count:
            before, after, overlaps = label_overlaps(self.ids[position], labels)
            pairs = match(overlaps, SAME)
            table[after[overlaps.b[pairs]]] = before[overlaps.a[pairs]]
        self._largest = max(self._largest, int(table.max(initial=0)))
        return table


class Chosen(Sequence[Plane]):
    """Planes of a volume as they came, read when they are asked for."""

    def __init__(self, volume: LabelVolume, positions: Sequence[int]) -> None:
        self._volume, self.positions = volume, tuple(positions)

    def __len__(self) -> int:
        """Return the number of planes."""
        return len(self.positions)

    @overload
    def __getitem__(self, number: int) -> Plane: ...
    @overload
    def __getitem__(self, number: slice) -> list[Plane]: ...
    def __getitem__(self, number: int | slice) -> Plane | list[Plane]:
        """Unpack a plane, or some."""
        if isinstance(number, slice):
            return [self._volume[position] for position in self.positions[number]]
        return self._volume[self.positions[number]]


class Span(NamedTuple):
    """Neighbouring planes: their places among all that were asked for, from ``first`` on."""

    first: int
    positions: tuple[int, ...]


def spans(wanted: Sequence[int], there: Sequence[int]) -> list[Span]:
    """Return what is there of the wanted planes, cut where one is missing.

    Examples
    --------
    >>> spans([0, 2, 4, 6, 8], [0, 2, 6, 8])
    [Span(first=0, positions=(0, 2)), Span(first=3, positions=(6, 8))]
    """
    found: list[list[int]] = []
    known, open_ = set(there), False
    starts: list[int] = []
    for place, position in enumerate(wanted):
        if position in known:
            if not open_:
                found.append([])
                starts.append(place)
            found[-1].append(position)
        open_ = position in known
    return [Span(start, tuple(some)) for start, some in zip(starts, found, strict=True)]
