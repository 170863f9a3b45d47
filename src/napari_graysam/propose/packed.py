"""Masks of candidates as packed bits, eight columns of the image in a byte."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_graysam.errors import ProposalsError

Bits = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """The masks of candidates at one threshold, eight pixels in a byte.

    Parameters
    ----------
    mask_threshold
        Pixels above it are inside.
    packed
        uint8, what `pack` returns for one mask after another.
    box
        int64 (N, 4), ``(x0, y0, x1, y1)``, half-open; without pixels where a mask is empty.
    """

    mask_threshold: float
    packed: npt.NDArray[np.uint8]
    box: Integers

    def __post_init__(self) -> None:
        """Check that the bytes of all masks are there."""
        x0, y0, x1, y1 = self.box.T
        width = np.where(x1 > x0, (x0 % 8 + x1 - x0 + 7) // 8, 0)
        start = starts((y1 - y0) * width)
        if start[-1] != self.packed.size:
            raise ProposalsError("the masks of its candidates do not fit their boxes.")
        object.__setattr__(self, "_start", start)
        object.__setattr__(self, "_size", np.stack([y1 - y0, width], axis=1))

    @classmethod
    def of(cls, mask_threshold: float, box: Integers, masks: Iterable[Bits]) -> Self:
        """Pack masks, bool (y1 - y0, x1 - x0) each."""
        left = box[:, 0].tolist()
        parts = [pack(mask, x0).ravel() for mask, x0 in zip(masks, left, strict=True)]
        return cls(mask_threshold, joined(parts, np.uint8), box)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.packed.nbytes + self.box.nbytes

    def is_of(self, index: int, box: Box) -> bool:
        """Tell whether a box is that of a mask."""
        return tuple(self.box[index].tolist()) == box

    def rows(self, index: int) -> npt.NDArray[np.uint8]:
        """Return a mask as `pack` packs it."""
        start: Integers = self._start  # type: ignore[attr-defined]
        size: Integers = self._size  # type: ignore[attr-defined]
        return self.packed[start[index] : start[index + 1]].reshape(size[index])

    def bits(self, index: int) -> Bits:
        """Return the pixels inside a mask's box, bool (y1 - y0, x1 - x0)."""
        x0, _, x1, _ = self.box[index].tolist()
        return unpack(self.rows(index), x0, x1)


def pack(bits: Bits, x0: int) -> npt.NDArray[np.uint8]:
    """Pack rows of pixels, eight columns of the image in a byte.

    Parameters
    ----------
    bits
        bool (h, w).
    x0
        Column of the first; the first byte begins at the last column before it, or at it, whose
        number is a multiple of 8.

    Examples
    --------
    >>> pack(np.ones((1, 3), bool), 9).tolist()
    [[14]]
    >>> unpack(np.array([[14]], np.uint8), 9, 12).tolist()
    [[True, True, True]]
    """
    start = x0 % 8 if bits.shape[1] else 0
    loose = np.zeros((bits.shape[0], start + bits.shape[1]), bool)
    loose[:, start:] = bits
    return np.packbits(loose, axis=1, bitorder="little")


def unpack(packed: npt.NDArray[np.uint8], x0: int, x1: int) -> Bits:
    """Return the pixels of the columns from x0 to before x1 that `pack` packed."""
    if packed.size == 0:
        return np.zeros((packed.shape[0], x1 - x0), bool)
    start = x0 % 8
    loose = np.unpackbits(packed, axis=1, count=start + x1 - x0, bitorder="little")
    return np.ascontiguousarray(loose[:, start:]).view(np.bool_)


def half_open(box: npt.NDArray[np.int32], area: Integers) -> Integers:
    """Return boxes with the ends after their last pixels, int64 (N, 4); equal where empty."""
    ends = np.where(area[:, None] > 0, box[:, 2:] + 1, box[:, :2])
    return np.concatenate([box[:, :2], ends], axis=1).astype(np.int64)


def join_masks(parts: Sequence[PackedMasks | None]) -> PackedMasks | None:
    """Join masks at one threshold; None where some are not at hand, or at another."""
    known = [one for one in parts if one is not None]
    if len(known) < len(parts) or len({one.mask_threshold for one in known}) != 1:
        return None
    packed = np.concatenate([one.packed for one in known])
    box = np.concatenate([one.box for one in known])
    return PackedMasks(known[0].mask_threshold, packed, box)


def starts(sizes: Integers) -> Integers:
    """Return where each of many parts starts in one row of all, int64 (N + 1,)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def joined(parts: Sequence[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Join parts, of which there may be none."""
    return np.concatenate([np.empty(0, dtype), *parts])
