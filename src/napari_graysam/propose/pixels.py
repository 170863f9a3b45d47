"""The pixels of one mask, enlarged only where it can be, and decided as torch would.

OpenCV and matrix products interpolate several times as fast as torch, between the same logits
with nearly the same weights. Pixels whose value lies so close to a threshold that the difference
could decide are computed again in double precision with torch's weights; those that not even
that decides, one in many millions, torch is asked for. All others are on the same side with all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from napari_graysam.propose.enlarge import (
    BLOCK,
    Axis,
    Enlargement,
    Floats,
    Indices,
    Question,
    ask,
    interpolate,
)

Bits = npt.NDArray[np.bool_]
# First column and row, and those after the last.
Box = tuple[int, int, int, int]

# Bound, relative to the largest logit, of what two orders of single-precision arithmetic differ.
_ROUNDING = 1e-6
# OpenCV enlarges masks of up to so many pixels whole, where they fill so much of the image.
_WHOLE, _SHARE = 2**22, 0.3
# Pixels enlarged together elsewhere, and computed again together.
_AT_ONCE, _AGAIN = 2**21, 2**16


class Strip(NamedTuple):
    """Some rows of an enlarged mask.

    Attributes
    ----------
    logits, enlargement
        As of `Pixels`.
    values
        float32 (h, w).
    corner
        ``(x, y)`` of the first.
    error
        Bound of the distance from torch's values.
    """

    logits: Floats
    enlargement: Enlargement
    values: Floats
    corner: tuple[int, int]
    error: float

    def above(self, threshold: float) -> tuple[Bits, list[Question]]:
        """Return which pixels surely lie above a threshold, bool (h, w), and which torch knows."""
        margin = self.error + _ROUNDING * abs(threshold)
        inside: Bits = self.values > np.float32(threshold + margin)
        maybe = self.values > np.float32(threshold - margin)
        if count(maybe) == count(inside):
            return inside, []
        unsure = []
        close = np.flatnonzero(maybe ^ inside)
        for start in range(0, len(close), _AGAIN):
            some = close[start : start + _AGAIN]
            value, error = interpolate(self._question(some), self.enlargement)
            distance = value - np.float32(threshold)
            inside.flat[some] = distance > error
            unsure.append(some[np.abs(distance) <= error])
        index = np.concatenate(unsure)
        return inside, [self._question(index)] if len(index) else []

    def _question(self, index: Indices) -> Question:
        """Return some pixels of the strip as those of the image."""
        y, x = np.divmod(index, self.values.shape[1])
        return Question(self.logits, y + self.corner[1], x + self.corner[0])


class Pixels(NamedTuple):
    """One mask's pixels inside a box.

    Attributes
    ----------
    logits
        float32 (h, w), finite.
    enlargement
        Of `napari_graysam.propose.enlarge.enlargement_of`.
    box
        Where to look; see `reach`.
    """

    logits: Floats
    enlargement: Enlargement
    box: Box

    def strips(self) -> Iterator[Strip]:
        """Yield the box's rows, some at a time."""
        x0, y0, x1, y1 = self.box
        down, across = self.enlargement.down, self.enlargement.across
        area, everything = (x1 - x0) * (y1 - y0), len(down) * len(across)
        if area == 0:
            return
        largest = _largest(self.logits)
        if everything > _WHOLE or area < _SHARE * everything:
            lines = max(1, _AT_ONCE // BLOCK // (x1 - x0)) * BLOCK
            for top in range(y0, y1, lines):
                values = self._window(slice(top, min(y1, top + lines)), slice(x0, x1))
                yield Strip(*self[:2], values, (x0, top), _ROUNDING * largest)
            return
        whole = cv2.resize(self.logits, (len(across), len(down)), interpolation=cv2.INTER_LINEAR)
        error = (_ROUNDING + self.enlargement.opencv) * largest
        yield Strip(*self[:2], whole[y0:y1, x0:x1], (x0, y0), error)

    def above(self, threshold: float) -> Bits:
        """Return which pixels of the box lie above a threshold, bool (y1 - y0, x1 - x0)."""
        x0, y0, x1, y1 = self.box
        strips = [strip.above(threshold) for strip in self.strips()]
        parts = [inside for inside, _ in strips] or [np.zeros((y1 - y0, x1 - x0), bool)]
        bits = parts[0] if len(parts) == 1 else np.concatenate(parts)
        questions = [question for _, some in strips for question in some]
        for (_, y, x), values in zip(questions, ask(questions, self.enlargement), strict=True):
            bits[y - y0, x - x0] = values > np.float32(threshold)
        return bits

    def _window(self, rows: slice, columns: slice) -> Floats:
        """Enlarge some rows and columns by products with their weights."""
        down, across = self.enlargement.down, self.enlargement.across
        values = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        lines = list(_blocks(down, rows))
        first, last = lines[0][1].start, lines[-1][1].stop
        for place, inputs, wide in _blocks(across, columns):
            source = self.logits[first:last, inputs] @ wide.T
            for line, needed, tall in lines:
                part = source[needed.start - first : needed.stop - first]
                np.matmul(tall, part, out=values[line, place])
        return values


def count(bits: Bits) -> int:
    """Return the number of pixels inside, in half of NumPy's time."""
    return int(cv2.countNonZero(bits.view(np.uint8))) if bits.size else 0


def reach(logits: Floats, enlargement: Enlargement, threshold: float) -> Box:
    """Return a box that holds all pixels above a threshold."""
    margin = _ROUNDING * (_largest(logits) + abs(threshold))
    possible: Bits = logits > np.float32(threshold - margin)
    rows = enlargement.down.reached(np.asarray(possible.any(axis=1)))
    columns = enlargement.across.reached(np.asarray(possible.any(axis=0)))
    return columns.start, rows.start, columns.stop, rows.stop


def _blocks(axis: Axis, pixels: slice) -> Iterator[tuple[slice, slice, Floats]]:
    """Yield where some pixels are among all asked for, the logits they need, and the weights."""
    for number in range(pixels.start // BLOCK, (pixels.stop - 1) // BLOCK + 1):
        needed, weights = axis.blocks[number]
        start, stop = max(pixels.start, number * BLOCK), min(pixels.stop, (number + 1) * BLOCK)
        place = slice(start - pixels.start, stop - pixels.start)
        yield place, needed, weights[start - number * BLOCK : stop - number * BLOCK]


def _largest(logits: Floats) -> float:
    return float(max(logits.max(initial=0), -logits.min(initial=0)))
