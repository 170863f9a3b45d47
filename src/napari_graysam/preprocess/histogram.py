"""Histogram equalisation, of the whole image and tile by tile, beyond 8 bits."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from napari_graysam.preprocess.base import AMOUNT, PIXELS, BaseStep, Fitted, Image, blend
from napari_graysam.preprocess.measuring import Survey, Whole

GREYS = 65535
"""White at 16 bits."""

BINS = 256
"""Grey-value bins of a tile's histogram; between their edges the curve is linear."""

CHUNK_ROWS = 16
"""Rows looked up at once: keeps the intermediate arrays in the processor's cache."""

CLIP_ROUNDS = 24
"""Bisections for the clipping level: exact to 2**-24 of a tile's pixel count."""


class Equalize(BaseStep):
    """Spread the gray values so that all are equally frequent (whole image at once)."""

    kind: Literal["equalize"] = "equalize"
    amount: float = Field(1.0, ge=0, le=1, title="Amount", description=AMOUNT)

    def _survey(self) -> Survey:
        (levels,) = yield [lambda image, fitted: _levels(image)]
        table: list[float] = _equalizing(levels.counts()).tolist()
        return table

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Equalise the histogram at 65,536 grey levels; a constant image stays as it is.

        Assumes that the area which a grey value covers measures its importance: a large
        background takes most of the contrast. Cost: one histogram and one look-up, O(HW).
        """
        grey = _levels(image)
        table = (
            _equalizing(Whole(grey).counts())
            if fitted is None
            else fitted.values.astype(np.float32)
        )
        return blend(image, table[grey], self.amount) if table.size else image


class Clahe(BaseStep, title="CLAHE"):
    """Raise local contrast tile by tile, with a limit on how much noise is raised (CLAHE)."""

    kind: Literal["clahe"] = "clahe"
    clip_limit: float = Field(
        3.0,
        ge=1,
        le=100,
        title="Clip limit",
        description="Steepest contrast gain allowed, as a multiple of no change. 1 changes "
        "nothing; 2 to 4 brings out faint objects; higher also brings out noise.",
    )
    tile_size: int = Field(
        128,
        ge=16,
        le=4096,
        title="Tile size",
        description="Side of the square within which contrast is equalised. Two to four "
        "object diameters work well: smaller tiles follow uneven light more closely but "
        "amplify noise in empty areas.",
        json_schema_extra=PIXELS,
    )

    def _reach(self) -> int:
        return 2 * self.tile_size

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Equalise contrast tile by tile and interpolate between the tiles' grey curves.

        Method: Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems
        IV (1994), on equal tiles of about the wanted size. Histograms have 256 bins, and the
        cumulative curve is linear between bin edges, so that grey values stay continuous
        (beyond 16 bits). OpenCV's CLAHE on uint16 instead clips a histogram of 65,536 bins: an
        image that came with 256 levels loses nearly all of its histogram to the clipping and is
        returned almost unchanged. The clipping level is solved for so that the limit holds
        after the excess is spread out.

        Assumes that a tile holds objects and background. Cost: one histogram, then two table
        look-ups per pixel, O(HW); about four Gaussian blurs of sigma 2.
        """
        place = Fitted((image.shape[0], image.shape[1])) if fitted is None else fitted
        rows, columns = (
            _axis(whole, self.tile_size, start, length)
            for whole, start, length in zip(place.shape, place.origin, image.shape, strict=True)
        )
        position = image * np.float32(BINS)
        level = np.minimum(position, BINS - 1).astype(np.uint8)
        position -= level
        cells = _cells(_curves(level, rows, columns, self.clip_limit))
        return _looked_up(level, position, cells, rows, columns)


class _Axis(NamedTuple):
    """Tiles along one axis: how many, each pixel's tile, and its two neighbours' mixture."""

    tiles: int
    tile: npt.NDArray[np.intp]
    first: npt.NDArray[np.intp]
    weight: npt.NDArray[np.float32]


def _levels(image: Image) -> npt.NDArray[np.uint16]:
    levels: npt.NDArray[np.uint16] = np.rint(image * np.float32(GREYS)).astype(np.uint16)
    return levels


def _equalizing(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the curve that makes all levels equally frequent; empty if there is only one."""
    below = np.cumsum(counts)
    darkest, pixels = below[np.flatnonzero(counts)[0]], below[-1]
    if darkest == pixels:
        return np.empty(0, np.float32)
    table: npt.NDArray[np.float32] = ((below - darkest) / (pixels - darkest)).astype(np.float32)
    return table


def _axis(whole: int, tile_size: int, start: int, length: int) -> _Axis:
    """Cut `whole` pixels into equal tiles of about `tile_size`; return those of some pixels."""
    tiles = max(1, round(whole / tile_size))
    center = (np.arange(start, start + length) + 0.5) * tiles / whole
    tile = center.astype(np.intp)
    between = np.clip(center - 0.5, tile[0], tile[-1])
    first = between.astype(np.intp)
    weight = (between - first).astype(np.float32)
    return _Axis(int(tile[-1] - tile[0]) + 1, tile - tile[0], first - tile[0], weight)


def _curves(
    level: npt.NDArray[np.uint8], rows: _Axis, columns: _Axis, clip_limit: float
) -> npt.NDArray[np.float32]:
    """Return each tile's clipped cumulative curve at the bin edges, (rows, columns, 257)."""
    bounds = np.searchsorted(rows.tile, np.arange(rows.tiles + 1))
    offset = columns.tile * BINS
    histogram = np.stack(
        [
            np.bincount((level[start:stop] + offset).ravel(), minlength=columns.tiles * BINS)
            for start, stop in pairwise(bounds)
        ]
    ).reshape(-1, BINS)
    density = histogram / histogram.sum(axis=1, keepdims=True)
    curves = np.zeros((len(density), BINS + 1))
    np.cumsum(_clipped(density, clip_limit / BINS), axis=1, out=curves[:, 1:])
    return curves.reshape(rows.tiles, columns.tiles, BINS + 1).astype(np.float32)


def _clipped(density: npt.NDArray[np.float64], limit: float) -> npt.NDArray[np.float64]:
    """Clip each row and spread the excess evenly, so that no bin ends above the limit.

    The highest bin after spreading, ``level + excess(level) / BINS``, grows with the
    level, so bisection finds the highest level that respects the limit.
    """
    low = np.zeros((len(density), 1))
    high = np.full((len(density), 1), limit)
    for _ in range(CLIP_ROUNDS):
        middle = (low + high) / 2
        excess = 1 - np.minimum(density, middle).sum(axis=1, keepdims=True)
        fits = middle + excess / BINS <= limit
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    kept = np.minimum(density, low)
    spread: npt.NDArray[np.float64] = kept + (1 - kept.sum(axis=1, keepdims=True)) / BINS
    return spread


def _cells(curves: npt.NDArray[np.float32]) -> npt.NDArray[np.complex128]:
    """Pack value and slope of each tile and of its right neighbour into 16-byte entries.

    One look-up then fetches all four numbers. Shape (rows, columns * 256).
    """
    right = np.minimum(np.arange(curves.shape[1]) + 1, curves.shape[1] - 1)
    value, slope = curves[..., :-1], np.diff(curves, axis=-1)
    packed = np.stack([value, slope, value[:, right], slope[:, right]], axis=-1)
    return packed.view(np.complex128).reshape(len(curves), -1)


def _looked_up(
    level: npt.NDArray[np.uint8],
    position: Image,
    cells: npt.NDArray[np.complex128],
    rows: _Axis,
    columns: _Axis,
) -> Image:
    """Interpolate each pixel, at `position` in bin `level`, between the four nearest tiles."""
    result = np.empty_like(position)
    column_offset = columns.first * BINS
    for first in np.unique(rows.first):
        start, stop = np.searchsorted(rows.first, [first, first + 1])
        upper, lower = cells[first], cells[min(first + 1, rows.tiles - 1)]
        for top in range(start, stop, CHUNK_ROWS):
            part = slice(top, min(top + CHUNK_ROWS, stop))
            mixed = _mix(upper, lower, level[part] + column_offset, rows.weight[part])
            fraction = position[part]
            left = mixed[..., 0] + fraction * mixed[..., 1]
            right = mixed[..., 2] + fraction * mixed[..., 3]
            right -= left
            right *= columns.weight
            np.add(left, right, out=result[part])
    return result


def _mix(
    upper: npt.NDArray[np.complex128],
    lower: npt.NDArray[np.complex128],
    index: npt.NDArray[np.intp],
    weight: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Look `index` (h, W) up in two tile rows and mix them per image row; (h, W, 4)."""
    above = upper[index].view(np.float32).reshape(*index.shape, 4)
    below = lower[index].view(np.float32).reshape(*index.shape, 4)
    below -= above
    below *= weight[:, np.newaxis, np.newaxis]
    below += above
    return below
