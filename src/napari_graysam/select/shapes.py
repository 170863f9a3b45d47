"""The shapes of all candidates at one cut, after one way of cleaning: made once, kept packed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from napari_graysam.masks import Box, Mask
from napari_graysam.propose import Proposals
from napari_graysam.propose.packed import PackedMasks, pack, unpack

Bits = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]
# What a Python object with a small array costs besides its values, in bytes.
_OVERHEAD = 400

Cache = LRUCache[Any, Any]
"""Forgets what was used longest ago once its values exceed a number of bytes."""


def size_in_bytes(value: Any) -> int:
    """Return what a value with ``nbytes`` takes in a cache."""
    return int(value.nbytes) + _OVERHEAD


def recall(cache: Cache, key: Any) -> Any:
    """Return a remembered value or None; in half the time of `LRUCache.get`."""
    try:
        return cache[key]
    except (KeyError, ReferenceError):
        return None


def remember(cache: Cache, key: Any, value: Any) -> None:
    """Put a value into a cache that is still there, unless it alone exceeds the cache's size."""
    with suppress(ValueError, ReferenceError):
        cache[key] = value


class Shapes:
    """Boxes, areas and bits of candidates, made when first asked for.

    Bits are packed, eight columns of the image in a byte, so that those of any two candidates
    are compared byte by byte. They may be forgotten and made again; areas and boxes stay.

    Parameters
    ----------
    proposals
        Of one image.
    cache
        Where bits and masks are remembered; it may be a weak proxy of one.
    key
        Tells these shapes from others in the cache.
    make
        Returns a candidate's half-open box and bits; empty shapes have a box without pixels.
    packed
        Masks that are all at hand, and need not be made.
    """

    def __init__(
        self,
        proposals: Proposals,
        cache: Cache,
        key: str,
        make: Callable[[int], tuple[Box, Bits]],
        packed: PackedMasks | None = None,
    ) -> None:
        count = len(proposals)
        self.proposals = proposals
        self.key = key
        self.known = np.zeros(count, bool)
        self.area = np.zeros(count, np.int64)
        self.box = np.zeros((count, 4), np.int64)
        self._cache = cache
        self._make, self._packed = make, packed

    @property
    def nbytes(self) -> int:
        """Memory that areas and boxes take; bits are remembered by themselves."""
        return self.known.nbytes + self.area.nbytes + self.box.nbytes

    def know_all(self, area: npt.NDArray[np.int64], inclusive: npt.NDArray[np.int32]) -> None:
        """Take the areas (N,) and the boxes (N, 4), last row and column included, of all."""
        self.known[:] = True
        self.area[:] = area
        self.box[:] = inclusive
        self.box[:, 2:] = np.where(area[:, None] > 0, self.box[:, 2:] + 1, self.box[:, :2])

    def ensure(self, candidates: Iterable[int]) -> None:
        """Make the shapes whose area and box are not known yet."""
        wanted = np.fromiter(candidates, np.intp)
        for index in wanted[~self.known[wanted]].tolist():
            self.packed(index)

    def inclusive(self, candidates: Indices) -> npt.NDArray[np.int32]:
        """Return boxes with their last row and column, int32 (K, 4), as upstream's."""
        box = self.box[candidates]
        last = np.maximum(box[:, :2], box[:, 2:] - 1)
        return np.concatenate([box[:, :2], last], axis=1).astype(np.int32)

    def bits(self, index: int) -> Bits:
        """Return the bits inside the box."""
        mask = recall(self._cache, ("mask", self.key, index))
        if mask is not None:
            bits: Bits = mask.bits
            return bits
        packed = self.packed(index)
        x0, y0, x1, y1 = self.box[index].tolist()
        return unpack(packed, x0, x1) if packed.size else np.zeros((y1 - y0, x1 - x0), bool)

    def packed(self, index: int) -> npt.NDArray[np.uint8]:
        """Return the bits of the box's rows, from the last column that is a multiple of 8."""
        if self._packed is not None:
            return self._packed.rows(index)
        packed: npt.NDArray[np.uint8] | None = recall(self._cache, ("bits", self.key, index))
        if packed is None or not self.known[index]:
            box, bits = self._make(index)
            if not self.known[index]:
                self.known[index] = True
                self.box[index] = box
                self.area[index] = np.count_nonzero(bits)
            packed = pack(bits, box[0])
            remember(self._cache, ("bits", self.key, index), packed)
        return packed

    def covers(self, index: int, x: int, y: int) -> bool:
        """Tell whether a pixel of the image lies in a shape."""
        packed = self.packed(index)
        x0, y0, x1, y1 = self.box[index].tolist()
        if not (x0 <= x < x1 and y0 <= y < y1):
            return False
        return bool(packed[y - y0, x // 8 - x0 // 8] >> (x % 8) & 1)

    def mask(self, index: int, stability: float, source: str, pinned: bool) -> Mask:
        """Return a candidate as a mask without parent."""
        key = ("mask", self.key, index)
        mask: Mask | None = recall(self._cache, key)
        if mask is None:
            mask = self._new_mask(index, stability, source, pinned)
            remember(self._cache, key, mask)
        if (mask.stability, mask.source, mask.pinned) != (stability, source, pinned):
            mask = mask.marked(stability=stability, source=source, pinned=pinned)
            remember(self._cache, key, mask)
        return mask

    def mask_alone(self, index: int) -> Mask:
        """Return a candidate's box and bits as a mask that says nothing else."""
        bits = self.bits(index)
        x0, y0, x1, y1 = self.box[index].tolist()
        return Mask(bits=bits, box=(x0, y0, x1, y1))

    def _new_mask(self, index: int, stability: float, source: str, pinned: bool) -> Mask:
        bits = self.bits(index)
        x0, y0, x1, y1 = self.box[index].tolist()
        x, y = self.proposals.point[index].tolist()
        left, top, right, bottom = self.proposals.crop_box[index].tolist()
        mask = Mask(
            bits=bits,
            box=(x0, y0, x1, y1),
            predicted_iou=float(self.proposals.predicted_iou[index]),
            stability=stability,
            point=(x, y),
            crop_box=(left, top, right, bottom),
            source=source,
            pinned=pinned,
            candidates=(index,),
        )
        return mask.marked(area=int(self.area[index]))

    def shared(self, one: int, other: int) -> int:
        """Count the pixels that two candidates have in common."""
        import cv2

        ones, others = self.packed(one), self.packed(other)
        left, top, right, bottom = self.box[one].tolist()
        x0, y0, x1, y1 = self.box[other].tolist()
        first, last = max(top, y0), min(bottom, y1)
        start, stop = max(left, x0) // 8, (min(right, x1) + 7) // 8
        if first >= last or max(left, x0) >= min(right, x1):
            return 0
        common = cv2.bitwise_and(
            ones[first - top : last - top, start - left // 8 : stop - left // 8],
            others[first - y0 : last - y0, start - x0 // 8 : stop - x0 // 8],
        )
        return int(cv2.norm(common, cv2.NORM_HAMMING))
