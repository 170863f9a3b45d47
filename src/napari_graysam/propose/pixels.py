"""The pixels of one mask, enlarged only where it can be, and decided as torch would.

OpenCV and matrix products interpolate several times as fast as torch, between the same logits
with nearly the same weights, but round differently. So pixels whose value lies so close to a
threshold that this could decide are computed again in torch's own order of operations; all
others are on the same side with both.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from napari_graysam.propose.enlarge import BLOCK, Axis, Enlargement, Floats, exactly

Bits = npt.NDArray[np.bool_]
# First column and row, and those after the last.
Box = tuple[int, int, int, int]

# Bound, relative to the values involved, of what another order of arithmetic changes.
_ROUNDING = 1e-6
# OpenCV enlarges masks of up to so many pixels whole, where they fill so much of the image.
_WHOLE, _SHARE = 2**22, 0.3
# Pixels enlarged together elsewhere, and computed again together.
_AT_ONCE, _AGAIN = 2**21, 2**16


class Strip:
    """Some rows of an enlarged mask.

    Parameters
    ----------
    pixels
        The mask.
    values
        float32 (h, w).
    corner
        ``(x, y)`` of the first.
    doubt
        Bound of the distance from torch's values.

    Attributes
    ----------
    alone
        Whether these are all rows.
    """

    def __init__(
        self, pixels: Pixels, values: Floats, corner: tuple[int, int], doubt: float
    ) -> None:
        self.corner = corner
        self.alone = len(values) == pixels.box[3] - pixels.box[1]
        self._pixels, self._values, self._doubt = pixels, values, doubt

    def above(self, threshold: float) -> Bits:
        """Return which pixels lie above a threshold, bool (h, w)."""
        margin = self._doubt + _ROUNDING * abs(threshold)
        inside: Bits = self._values > np.float32(threshold + margin)
        maybe = self._values > np.float32(threshold - margin)
        if count(maybe) > count(inside):
            left, top = self.corner
            doubtful = np.flatnonzero(maybe ^ inside)
            for start in range(0, len(doubtful), _AGAIN):
                some = doubtful[start : start + _AGAIN]
                y, x = np.divmod(some, inside.shape[1])
                again = exactly(self._pixels.logits, self._pixels.enlargement, y + top, x + left)
                inside.flat[some] = again > np.float32(threshold)
        return inside


class Pixels:
    """One mask's pixels inside a box.

    Parameters
    ----------
    logits
        float32 (h, w), finite.
    enlargement
        Of `napari_graysam.propose.enlarge.enlargement_of`.
    box
        Where to look; see `reach`.
    """

    def __init__(self, logits: Floats, enlargement: Enlargement, box: Box) -> None:
        self.logits, self.enlargement, self.box = logits, enlargement, box
        self._largest = _largest(logits)

    def strips(self) -> Iterator[Strip]:
        """Yield the box's rows, some at a time."""
        x0, y0, x1, y1 = self.box
        down, across, _ = self.enlargement
        area, everything = (x1 - x0) * (y1 - y0), len(down) * len(across)
        if area == 0:
            return
        if everything > _WHOLE or area < _SHARE * everything:
            lines = max(1, _AT_ONCE // BLOCK // (x1 - x0)) * BLOCK
            for top in range(y0, y1, lines):
                rows = slice(top, min(y1, top + lines))
                values = self._window(rows, slice(x0, x1))
                yield Strip(self, values, (x0, top), _ROUNDING * self._largest)
            return
        whole = cv2.resize(self.logits, (len(across), len(down)), interpolation=cv2.INTER_LINEAR)
        doubt = _doubt(self.enlargement) * self._largest
        yield Strip(self, whole[y0:y1, x0:x1], (x0, y0), doubt)

    def above(self, threshold: float) -> Bits:
        """Return which pixels of the box lie above a threshold, bool (y1 - y0, x1 - x0)."""
        parts = [strip.above(threshold) for strip in self.strips()]
        if len(parts) == 1:
            return parts[0]
        x0, y0, x1, y1 = self.box
        return np.concatenate(parts) if parts else np.zeros((y1 - y0, x1 - x0), bool)

    def _window(self, rows: slice, columns: slice) -> Floats:
        """Enlarge some rows and columns by products with their weights."""
        down, across, _ = self.enlargement
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
    margin = _doubt(enlargement) * _largest(logits) + _ROUNDING * abs(threshold)
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


def _doubt(enlargement: Enlargement) -> float:
    """Bound how far OpenCV's pixels are from torch's, relative to the largest logit."""
    # Two neighbouring logits differ by twice the largest at most.
    return _ROUNDING + 2 * (enlargement.down.shift + enlargement.across.shift)
