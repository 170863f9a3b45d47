"""Masks cut from their logits only where they can be, with the pixels of the whole enlargement.

`Proposals.bits` enlarges the logits of a candidate to its whole crop. Here only the window is
computed that a mask can fill, from torch's own weights. Pixels whose value lies so close to
the cut that rounding could decide are computed again in double precision. Where even that
leaves a doubt, they are computed in the order of operations of torch's general kernel, where
a trial shows that torch uses it; else the whole candidate is enlarged by torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from napari_graysam.propose import Proposals
from napari_graysam.propose.cells import enlarge

Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

# Bounds, relative to the values involved, of what a different order of arithmetic changes.
_SINGLE = 1e-6
_LOCAL = 8 * 2.0**-24
# More doubtful pixels than this are a plateau: torch enlarges it at once.
_FEW = 512
# Random pixels that show how torch computes.
_TRIALS = 8192
# Columns enlarged together: few enough that they need few columns of the logits.
_COLUMNS = 256


class _Axis(NamedTuple):
    """How torch enlarges one axis.

    Attributes
    ----------
    weights
        float32 (out, in), two non-zeros a row at most.
    first, last
        intp (out,), the first and last input that each output depends on.
    """

    weights: Floats
    first: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]

    def inputs(self, start: int, stop: int) -> slice:
        """Return the inputs that the outputs ``start:stop`` depend on."""
        return slice(int(self.first[start]), int(self.last[stop - 1]) + 1)

    def outputs(self, reached: npt.NDArray[np.intp]) -> slice:
        """Return the outputs that depend on any input from the first to the last given."""
        return slice(
            int(np.searchsorted(self.last, reached[0])),
            int(np.searchsorted(self.first, reached[-1], side="right")),
        )


Taps = tuple[
    tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]],
    tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]],
]


class _Enlargement(NamedTuple):
    """How torch enlarges logits to a crop, and whether by its general kernel."""

    down: _Axis
    across: _Axis
    general: bool


class _Window(NamedTuple):
    """Enlarged logits of one candidate in a part of its crop."""

    rows: slice
    columns: slice
    values: Floats


class Measures(NamedTuple):
    """What is known of one candidate at a cut.

    Attributes
    ----------
    inside, around
        Pixels above the cut plus and minus the offset.
    box
        ``(x0, y0, x1, y1)`` in pixels of the image, half-open; without a pixel both ends are
        the crop's first.
    bits
        bool (y1 - y0, x1 - x0).
    """

    inside: int
    around: int
    box: tuple[int, int, int, int]
    bits: Bits


class Cutter:
    """Cuts candidates one by one.

    Parameters
    ----------
    proposals
        Of one image.
    """

    def __init__(self, proposals: Proposals) -> None:
        self._proposals = proposals
        self._group = proposals.record["masks_together"]
        self._enlargements: dict[tuple[int, int], _Enlargement] = {}

    def bits(self, index: int, cut: float, box: tuple[int, int, int, int]) -> Bits:
        """Return a mask's pixels inside a half-open box of the image, as `Proposals.bits`."""
        left, top, _, _ = self._proposals.crop_box[index].tolist()
        x0, y0, x1, y1 = box
        rows, columns = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        found = self._above(self._window(index, rows, columns), cut, index)
        return self._exact(index, cut)[rows, columns].copy() if found is None else found

    def measure(self, index: int, cut: float, offset: float) -> Measures:
        """Cut a mask, and count its pixels at the cuts that decide its stability."""
        left, top, _, _ = self._proposals.crop_box[index].tolist()
        window = self._reach(index, min(cut, cut - offset))
        cuts = (cut, cut + offset, cut - offset)
        found = [self._above(window, level, index) for level in cuts]
        levels = [
            self._exact(index, level) if bits is None else bits
            for level, bits in zip(cuts, found, strict=True)
        ]
        bits = levels[0]
        rows, columns = np.flatnonzero(bits.any(axis=1)), np.flatnonzero(bits.any(axis=0))
        inside, around = (int(np.count_nonzero(level)) for level in levels[1:])
        if rows.size == 0:
            return Measures(inside, around, (left, top, left, top), np.zeros((0, 0), bool))
        if found[0] is not None:
            top, left = top + window.rows.start, left + window.columns.start
        y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        box = (left + int(x0), top + int(y0), left + int(x1), top + int(y1))
        return Measures(inside, around, box, bits[y0:y1, x0:x1].copy())

    def _above(self, window: _Window, cut: float, index: int) -> Bits | None:
        """Tell which pixels lie above a cut; None where torch must decide."""
        values = window.values
        if values.size == 0:
            return np.zeros(values.shape, bool)
        margin = _SINGLE * (float(max(values.max(), -values.min())) + abs(cut))
        surely: Bits = values > cut + margin
        doubtful = (values > cut - margin) != surely
        count = np.count_nonzero(doubtful)
        if count > _FEW or not np.isfinite(margin):
            return None
        if count:
            y, x = np.nonzero(doubtful)
            decided = self._decide(index, y + window.rows.start, x + window.columns.start, cut)
            if decided is None:
                return None
            surely[doubtful] = decided
        return surely

    def _decide(
        self, index: int, y: npt.NDArray[np.intp], x: npt.NDArray[np.intp], cut: float
    ) -> Bits | None:
        """Decide about pixels in double precision; None where that does not suffice."""
        down, across, general = self._enlargement(index)
        logits, rows, columns = self._proposals.logits[index], _taps(down, y), _taps(across, x)
        value, weight = np.zeros(len(y)), np.zeros(len(y))
        for row, row_weight in rows:
            for column, column_weight in columns:
                share = row_weight.astype(np.float64) * column_weight
                part = share * logits[row, column]
                value += part
                weight += np.abs(part)
        if not (np.abs(value - cut) <= _LOCAL * (weight + abs(cut))).any():
            return np.asarray(value > cut)
        if not general:
            return None
        inside: Bits = (torch.from_numpy(_across_then_down(logits, rows, columns)) > cut).numpy()
        return inside

    def _exact(self, index: int, cut: float) -> Bits:
        """Cut a candidate in its whole crop."""
        x0, y0, x1, y1 = self._proposals.crop_box[index].tolist()
        logits = torch.tensor(self._proposals.logits[[index]], device=self._proposals.device)
        inside: Bits = (enlarge(logits, (y1 - y0, x1 - x0), self._group)[0] > cut).cpu().numpy()
        return inside

    def _reach(self, index: int, cut: float) -> _Window:
        """Enlarge what can lie above a cut."""
        logits = self._proposals.logits[index]
        margin = _SINGLE * (float(np.abs(logits).max(initial=0)) + abs(cut))
        above = ~(logits <= cut - margin)
        reached_rows, reached_columns = (np.flatnonzero(above.any(axis=axis)) for axis in (1, 0))
        if reached_rows.size == 0:
            return self._window(index, slice(0, 0), slice(0, 0))
        rows, columns, _ = self._enlargement(index)
        return self._window(index, rows.outputs(reached_rows), columns.outputs(reached_columns))

    def _window(self, index: int, rows: slice, columns: slice) -> _Window:
        """Enlarge a candidate's logits in a part of its crop."""
        values = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        if values.size:
            down, across, _ = self._enlargement(index)
            source = self._proposals.logits[index][down.inputs(rows.start, rows.stop)]
            tall = down.weights[rows, down.inputs(rows.start, rows.stop)] @ source
            for start in range(columns.start, columns.stop, _COLUMNS):
                stop = min(start + _COLUMNS, columns.stop)
                inputs = across.inputs(start, stop)
                np.matmul(
                    tall[:, inputs],
                    across.weights[start:stop, inputs].T,
                    out=values[:, start - columns.start : stop - columns.start],
                )
        return _Window(rows, columns, values)

    def _enlargement(self, index: int) -> _Enlargement:
        """Return how a candidate is enlarged to its crop."""
        x0, y0, x1, y1 = self._proposals.crop_box[index].tolist()
        size = (y1 - y0, x1 - x0)
        if size not in self._enlargements:
            height, width = self._proposals.logits.shape[1:]
            down = _axis(self._enlarged(np.eye(height, dtype=np.float32), (size[0], height)))
            across = _axis(self._enlarged(np.eye(width, dtype=np.float32), (width, size[1])).T)
            general = self._is_general(size, down, across)
            self._enlargements[size] = _Enlargement(down, across, general)
        return self._enlargements[size]

    def _is_general(self, size: tuple[int, int], down: _Axis, across: _Axis) -> bool:
        """Try whether the general kernel's order gives torch's very values."""
        rng = np.random.default_rng(0)
        logits = rng.normal(size=self._proposals.logits.shape[1:]).astype(np.float32)
        y, x = (rng.integers(0, side, _TRIALS) for side in size)
        # Vectors of the processor end at the right side.
        x[: _TRIALS // 4] = size[1] - 1 - x[: _TRIALS // 4] % min(16, size[1])
        true = self._enlarged(logits, size)[y, x]
        return np.array_equal(_across_then_down(logits, _taps(down, y), _taps(across, x)), true)

    def _enlarged(self, logits: Floats, size: tuple[int, int]) -> Floats:
        """Enlarge one candidate's logits, or single bright pixels, which gives torch's weights."""
        tensor = torch.tensor(logits[None], device=self._proposals.device)
        enlarged: Floats = enlarge(tensor, size, self._group)[0].cpu().numpy()
        return enlarged


def remeasure(proposals: Proposals, cutter: Cutter, cut: float, offset: float) -> Proposals:
    """Do as `rescore`, to the bit, in the windows that masks can fill.

    Parameters
    ----------
    proposals
        All candidates of an image.
    cutter
        Of them.
    cut, offset
        The new ``mask_threshold`` and ``stability_score_offset``.
    """
    count = len(proposals)
    pixels = np.zeros((2, count), np.int64)
    area, box = np.zeros(count, np.int64), np.zeros((count, 4), np.int32)
    for index in range(count):
        measures = cutter.measure(index, cut, offset)
        pixels[:, index] = measures.inside, measures.around
        area[index] = np.count_nonzero(measures.bits)
        x0, y0, x1, y1 = measures.box
        box[index] = x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)
    inside, around = torch.from_numpy(pixels)
    stability = torch.where(around > 0, inside / around, 0.0).numpy()
    changed = {"mask_threshold": cut, "stability_score_offset": offset}
    record = {
        **proposals.record,
        "generator": {**proposals.record["generator"], **changed},
    }
    return replace(proposals, stability=stability, area=area, box=box, record=record)


def _axis(weights: Floats) -> _Axis:
    """Find the inputs that each output depends on."""
    used = weights != 0
    last = weights.shape[1] - 1 - used[:, ::-1].argmax(axis=1)
    return _Axis(np.ascontiguousarray(weights), used.argmax(axis=1), last)


def _taps(axis: _Axis, at: npt.NDArray[np.intp]) -> Taps:
    """Return the two inputs of some outputs with their weights."""
    first, last = axis.first[at], axis.last[at]
    second = np.where(last > first, axis.weights[at, last], np.float32(0))
    return (first, axis.weights[at, first]), (last, second)


def _fused(one: Floats, other: Floats, more: Floats) -> Floats:
    """Multiply and add with a single rounding."""
    exact = one.astype(np.float64) * other + more
    fused: Floats = exact.astype(np.float32)
    return fused


def _across_then_down(logits: Floats, rows: Taps, columns: Taps) -> Floats:
    """Follow torch's general kernel."""
    (top, top_weight), (bottom, bottom_weight) = rows
    (left, left_weight), (right, right_weight) = columns
    above = _fused(left_weight, logits[top, left], right_weight * logits[top, right])
    below = _fused(left_weight, logits[bottom, left], right_weight * logits[bottom, right])
    return _fused(top_weight, above, bottom_weight * below)
