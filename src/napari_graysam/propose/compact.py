"""Candidates in little room: logits only where they can matter.

Outside of its mask and a rim, a candidate's logits say no more than that they are low. Kept down
to a level, they give the same masks at every threshold above it, in a hundredth of the room where
objects are small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_graysam.errors import ProposalsError
from napari_graysam.propose.packed import Bits, Integers, PackedMasks, joined, starts

Floats = npt.NDArray[np.float32]

_AT_ONCE = 64
_RIM = 1
"""Logits around those above the level, between which and these pixels are interpolated."""


@dataclass(frozen=True, eq=False)
class LogitWindows:
    """Logits (N, h, w) of which those above a level are kept, and their neighbours.

    An index gives float32 arrays as that of an array does; the level stands for what is not kept.

    Parameters
    ----------
    side
        ``(h, w)``.
    level
        What is not kept is no higher.
    window
        int32 (N, 4), ``(x0, y0, x1, y1)``, half-open, in logits.
    values
        float32, the windows' values one after the other, row by row.

    Examples
    --------
    >>> logits = np.full((1, 8, 8), -9, np.float32)
    >>> logits[0, 2, 3] = 4
    >>> windows = LogitWindows.of(logits, -2.0)
    >>> windows.window.tolist(), windows.values.size, windows[0].max().item()
    ([[2, 1, 5, 4]], 9, 4.0)
    """

    side: tuple[int, int]
    level: float
    window: npt.NDArray[np.int32]
    values: Floats

    def __post_init__(self) -> None:
        """Check that the windows lie in the logits, and that all values are there."""
        height, width = self.side
        x0, y0, x1, y1 = self.window.astype(np.int64).T
        inside = (x0 >= 0) & (y0 >= 0) & (x0 <= x1) & (y0 <= y1) & (x1 <= width) & (y1 <= height)
        start = starts((x1 - x0) * (y1 - y0))
        if not inside.all() or start[-1] != self.values.size:
            raise ProposalsError("the windows of its logits do not fit their values.")
        object.__setattr__(self, "_start", start)

    @classmethod
    def of(cls, logits: Floats, level: float) -> Self:
        """Keep logits (N, h, w) that are above a level, and their neighbours."""
        count, height, width = logits.shape
        window = np.zeros((count, 4), np.int32)
        parts: list[Floats] = []
        for first in range(0, count, _AT_ONCE):
            above = logits[first : first + _AT_ONCE] > np.float32(level)
            x0, x1 = _ends(np.asarray(above.any(axis=1)), width)
            y0, y1 = _ends(np.asarray(above.any(axis=2)), height)
            window[first : first + _AT_ONCE] = np.stack([x0, y0, x1, y1], axis=1)
        for one, (left, top, right, bottom) in zip(logits, window.tolist(), strict=True):
            parts.append(one[top:bottom, left:right].ravel())
        return cls((height, width), level, window, joined(parts, np.float32))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Join windows of logits of one size; the highest level counts."""
        window = np.concatenate([one.window for one in parts])
        values = np.concatenate([one.values for one in parts])
        return cls(parts[0].side, max(one.level for one in parts), window, values)

    def take(self, numbers: Integers) -> Self:
        """Return the windows of some candidates, in the order of their numbers."""
        start: Integers = self._start  # type: ignore[attr-defined]
        window = self.window[numbers]
        values = np.empty(int((start[numbers + 1] - start[numbers]).sum()), np.float32)
        end = 0
        for number in numbers.tolist():
            own = self.values[start[number] : start[number + 1]]
            values[end : end + own.size] = own
            end += own.size
        return type(self)(self.side, self.level, window, values)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(N, h, w)``, of all logits."""
        return (len(self.window), *self.side)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """float32."""
        return np.dtype(np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.values.nbytes + self.window.nbytes

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.window)

    def __getitem__(self, index: Any) -> Floats:
        """Return logits (h, w) of one candidate; (K, h, w) of a slice, numbers or a mask."""
        if isinstance(index, int | np.integer):
            return self._fill(range(len(self))[index], np.empty(self.side, np.float32))
        numbers = np.arange(len(self))[index]
        found = np.empty((len(numbers), *self.side), np.float32)
        for number, place in zip(numbers.tolist(), found, strict=True):
            self._fill(number, place)
        return found

    def _fill(self, number: int, place: Floats) -> Floats:
        start: Integers = self._start  # type: ignore[attr-defined]
        x0, y0, x1, y1 = self.window[number].tolist()
        values = self.values[start[number] : start[number + 1]]
        place.fill(self.level)
        place[y0:y1, x0:x1] = values.reshape(y1 - y0, x1 - x0)
        return place


def join_logits(parts: Sequence[Floats | LogitWindows]) -> Floats | LogitWindows:
    """Join the logits of several candidates; all are windows where one of them is."""
    levels = [one.level for one in parts if isinstance(one, LogitWindows)]
    if not levels:
        return np.concatenate([one for one in parts if isinstance(one, np.ndarray)])
    windows = [
        one if isinstance(one, LogitWindows) else LogitWindows.of(one, max(levels)) for one in parts
    ]
    return LogitWindows.concat(windows)


def packed_arrays(
    logits: Floats | LogitWindows, masks: PackedMasks | None
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Return what a file holds of logits and masks: arrays by name, and plain data."""
    if not isinstance(logits, LogitWindows):
        return {"logits": logits}, {}
    arrays: dict[str, npt.NDArray[Any]] = {"window": logits.window, "values": logits.values}
    about: dict[str, Any] = {"side": list(logits.side), "level": logits.level}
    if masks is not None:
        arrays["masks"], about["masks_at"] = masks.packed, masks.mask_threshold
    return arrays, about


def unpacked_logits(
    arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]
) -> Floats | LogitWindows:
    """Return the logits of what `packed_arrays` returned.

    Raises
    ------
    ProposalsError
        If the windows contradict their values.
    """
    if "window" not in arrays:
        return arrays["logits"]
    height, width = (int(side) for side in about["side"])
    window = arrays["window"].astype(np.int32, casting="safe")
    values = arrays["values"].astype(np.float32, casting="safe", copy=False)
    return LogitWindows((height, width), float(about["level"]), window, values)


def unpacked_masks(
    arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any], box: Integers
) -> PackedMasks | None:
    """Return the masks of what `packed_arrays` returned, if there are any.

    Parameters
    ----------
    arrays, about
        What the file holds.
    box
        Of `half_open`.

    Raises
    ------
    ProposalsError
        If the masks contradict their boxes.
    """
    if "masks" not in arrays:
        return None
    packed = arrays["masks"].astype(np.uint8, casting="safe", copy=False)
    return PackedMasks(float(about["masks_at"]), packed, box)


def _ends(line: Bits, length: int) -> tuple[Integers, Integers]:
    """Return for lines, bool (K, length), where what is True begins and ends, with a rim."""
    some = line.any(axis=1)
    first = np.maximum(line.argmax(axis=1) - _RIM, 0)
    last = np.minimum(length - line[:, ::-1].argmax(axis=1) + _RIM, length)
    return np.where(some, first, 0), np.where(some, last, 0)
