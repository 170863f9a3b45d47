"""The shapes of all candidates at one cut, after one way of cleaning: made once, kept packed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import Mask
from napari_graysam.propose import Proposals
from napari_graysam.select.store import Store

Box = tuple[int, int, int, int]
Bits = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]
# What a Python object with a small array costs besides its values, in bytes.
_OVERHEAD = 400


class Shapes:
    """Boxes, areas and bits of candidates, made when first asked for.

    Bits are packed, eight columns of the image in a byte, so that those of any two candidates
    are compared byte by byte. They may be forgotten and made again; areas and boxes stay.

    Parameters
    ----------
    proposals
        Of one image.
    store
        Where bits and masks are remembered.
    key
        Tells these shapes from others in the store.
    make
        Returns a candidate's half-open box and bits; empty shapes have a box without pixels.
    """

    def __init__(
        self,
        proposals: Proposals,
        store: Store,
        key: tuple[Hashable, ...],
        make: Callable[[int], tuple[Box, Bits]],
    ) -> None:
        count = len(proposals)
        self.proposals = proposals
        self.key = key
        self.known = np.zeros(count, bool)
        self.area = np.zeros(count, np.int64)
        self.box = np.zeros((count, 4), np.int64)
        self._store = store
        self._make = make

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
        mask = self._store.get((self.key, "mask", index))
        if mask is not None:
            bits: Bits = mask.bits
            return bits
        packed = self.packed(index)
        x0, y0, x1, y1 = self.box[index].tolist()
        if packed.size == 0:
            return np.zeros((y1 - y0, x1 - x0), bool)
        start = x0 % 8
        loose = np.unpackbits(packed, axis=1, count=start + x1 - x0, bitorder="little")
        return np.ascontiguousarray(loose[:, start:]).view(np.bool_)

    def packed(self, index: int) -> npt.NDArray[np.uint8]:
        """Return the bits of the box's rows, from the last column that is a multiple of 8."""
        packed: npt.NDArray[np.uint8] | None = self._store.get((self.key, "bits", index))
        if packed is None or not self.known[index]:
            box, bits = self._make(index)
            if not self.known[index]:
                self.known[index] = True
                self.box[index] = box
                self.area[index] = np.count_nonzero(bits)
            start = box[0] % 8
            loose = np.zeros((bits.shape[0], start + bits.shape[1]), bool)
            loose[:, start:] = bits
            packed = np.packbits(loose, axis=1, bitorder="little")
            self._store.put((self.key, "bits", index), packed, packed.nbytes + _OVERHEAD)
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
        key = (self.key, "mask", index)
        mask: Mask | None = self._store.get(key)
        if mask is None:
            mask = self._new_mask(index, stability, source, pinned)
            self._store.put(key, mask, mask.bits.nbytes + 2 * _OVERHEAD)
        if (mask.stability, mask.source, mask.pinned) != (stability, source, pinned):
            mask = mask.marked(stability=stability, source=source, pinned=pinned)
            self._store.put(key, mask, mask.bits.nbytes + 2 * _OVERHEAD)
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
