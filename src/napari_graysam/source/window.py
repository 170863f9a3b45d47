"""Windows: which gray values become 0 and 1, measured once and applied to plane after plane."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.recipe import ImageOptions, Percentiles
from napari_graysam.source.axes import Layout, sample, strides

MOST_SAMPLES = 2**24
"""Percentiles look at no more pixels than this."""
BLOCK = 2**16

Number = int | float


class WindowStatistics(NamedTuple):
    """What a window of percentiles takes from an image or a stack.

    Attributes
    ----------
    low, high
        The percentiles, rounded outwards to values that occur.
    """

    low: Number
    high: Number


class Applied(NamedTuple):
    """A plane in a window: (H, W) float32 in [0, 1], and how many pixels lie beside it."""

    pixels: NDArray[np.float32]
    below: int
    above: int


def measure(
    array: Any, layout: Layout, options: ImageOptions, window: Percentiles
) -> WindowStatistics | None:
    """Measure the finite pixels of all planes; None where there are none among those looked at.

    Parameters
    ----------
    array, layout, options
        The image, what its axes mean, and which channel or conversion to gray is wanted.
    window
        The percentiles.
    """
    values = native(sample(array, layout, options, MOST_SAMPLES))
    finite = finite_mask(values)
    values = values.ravel() if finite is None else values[finite]
    if not values.size:
        return None
    return percentiles(values, window)


def subsampled(layout: Layout) -> bool:
    """Tell whether `measure` looks at evenly spaced pixels only."""
    return max(strides(layout, MOST_SAMPLES)) > 1


def percentiles(values: NDArray[Any], window: Percentiles) -> WindowStatistics:
    """Return percentiles of values, which are put in another order."""
    first = int(np.floor(window.low / 100 * (values.size - 1)))
    last = int(np.ceil(window.high / 100 * (values.size - 1)))
    values.partition((first, last))
    return WindowStatistics(values[first].item(), values[last].item())


def as_array(array: Any) -> Any:
    """Return something with shape, dtype and slicing, whose dtype holds real numbers.

    Of a masked array, of NumPy or dask, the masked pixels are NaN.
    """
    if not isinstance(getattr(array, "dtype", None), np.dtype):
        try:
            array = np.asarray(array)
        except ValueError as error:
            raise ImageError(f"{type(array).__name__} is no image: {error}") from error
    if array.dtype.kind not in "biuf":
        raise ImageError(
            f"An image of type {array.dtype} cannot be segmented; expected integers, floats or "
            f"bool. Of complex numbers, pass the magnitude."
        )
    if isinstance(array, np.ma.MaskedArray):
        return _filled(array) if np.ma.is_masked(array) else array.data
    if isinstance(getattr(array, "_meta", None), np.ma.MaskedArray):
        return array.map_blocks(_filled, dtype=_with_nan(array.dtype))
    return array


def _filled(masked: NDArray[Any]) -> NDArray[Any]:
    """Return a masked array's values as floats, NaN where they are masked."""
    filled: NDArray[Any] = np.ma.filled(masked.astype(_with_nan(masked.dtype)), np.nan)
    return filled


def _with_nan(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float type that holds a type's values, as far as one does."""
    if dtype.kind == "f":
        return dtype
    return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)


def native(raw: NDArray[Any]) -> NDArray[Any]:
    """Copy into native byte order and C order, in a type that arithmetic can use."""
    widened = {"bool": np.uint8, "float16": np.float32}.get(raw.dtype.name)
    if raw.dtype.kind == "f" and raw.dtype.itemsize > 8:
        widened = np.float64
    return np.array(raw, dtype=widened or raw.dtype.newbyteorder("="), order="C", subok=False)


def finite_mask(raw: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Tell which pixels are finite; None where all are."""
    if raw.dtype.kind != "f":
        return None
    finite = np.isfinite(raw)
    return None if finite.all() else finite


def given_window(
    options: ImageOptions,
    dtype: np.dtype[Any],
    contrast_limits: tuple[float, float] | None,
    least: Number,
    most: Number,
) -> tuple[Number, Number]:
    """Return the ends of a window that does not depend on the image's values."""
    window = options.window
    if window.kind == "limits" and contrast_limits is None:
        raise ImageError(
            "image.window.kind=limits needs the contrast limits of a layer, and none were "
            "given; choose percentiles, dtype or explicit."
        )
    limits = (window.low, window.high) if window.kind == "explicit" else contrast_limits
    if window.kind != "dtype" and limits is not None:
        low, high = (float(limit) for limit in limits)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ImageError(f"A window's ends must be finite and rise; got {low:g} to {high:g}.")
        return low, high
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if least < 0 or most > 1:
        raise ImageError(
            f"image.window.kind=dtype takes {dtype} values from 0 to 1, but these go from "
            f"{least:g} to {most:g}; choose percentiles or explicit."
        )
    return 0, 1


def apply_window(
    raw: NDArray[Any], valid: NDArray[np.bool_] | None, low: Number, high: Number
) -> Applied:
    """Clip to the window and scale to [0, 1]; also count the pixels below and above it."""
    pixels = np.zeros(raw.shape, np.float32)
    base = int(raw.min()) if raw.dtype.kind in "iu" and raw.dtype.itemsize == 8 else 0
    start, stop = float(low - base), float(high - base)
    # The span of the largest floats overflows; a quarter of it does not.
    scale = 4.0 if stop - start == np.inf else 1.0
    below = above = 0
    for rows in _blocks(raw.shape):
        block = _exact(raw[rows], base)
        if valid is not None:
            block[~valid[rows]] = start
        below += int(np.count_nonzero(block < start))
        above += int(np.count_nonzero(block > stop))
        if start < stop:
            np.clip(block, start, stop, out=block)
            block /= scale
            block -= start / scale
            block /= stop / scale - start / scale
            pixels[rows] = block
    return Applied(pixels, below, above)


def _exact(block: NDArray[Any], base: int) -> NDArray[np.float64]:
    """Return ``block - base`` in float64; exact where the difference is below 2**53."""
    if base == 0:
        return block.astype(np.float64)
    # Two's complement: the difference is right modulo 2**64 for either sign.
    return (block.astype(np.uint64) - np.uint64(base % 2**64)).astype(np.float64)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    rows = max(1, BLOCK // shape[1])
    for start in range(0, shape[0], rows):
        yield slice(start, start + rows)
