"""Any array → one grayscale plane in [0, 1], and a record of how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.limits import available_memory
from napari_graysam.recipe import ImageOptions, Percentiles
from napari_graysam.source.axes import Layout, has_alpha, resolve, sample, strides, take

BYTES_PER_PIXEL = 40
"""Peak need of the pipeline outside the model: the original, three float32 images of a
preprocessing step, two RGB views, two label images and the boolean masks between them."""
LARGEST_SIDE = 32767
"""OpenCV stores pixel coordinates of several filters in signed 16 bits."""
MOST_SAMPLES = 2**24
"""Percentiles look at no more pixels than this."""
BLOCK = 2**16

Number = int | float


@dataclass(frozen=True, eq=False)
class GrayImage:
    """One grayscale plane.

    Attributes
    ----------
    pixels
        (H, W) float32 in [0, 1], C-contiguous; pixels that were not finite are 0.
    raw
        (H, W) original values in native byte order, for measurements: the type that came, but
        bool as uint8, float16 as float32, and a mean or luminance of colours as float.
    valid
        (H, W) bool, False where the original was NaN or infinite; None if that is nowhere.
    record
        What was done, in JSON's types: ``shape``, ``dtype``, ``axes``, ``plane``, ``channel``,
        ``gray``, ``window`` (kind, low, high), ``clipped_low`` and ``clipped_high`` (fractions
        of the finite pixels), ``non_finite`` (pixels), ``constant``, ``subsampled``, and
        ``notes``, sentences for the user about what changed the result.
    """

    pixels: NDArray[np.float32]
    raw: NDArray[Any]
    valid: NDArray[np.bool_] | None
    record: dict[str, Any]


def to_gray(
    array: Any,
    options: ImageOptions | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> GrayImage:
    """Convert anything that holds an image into one grayscale plane in [0, 1].

    Values below the window become 0, values above it 1, and NaN and infinities 0. Percentiles
    are taken over the finite pixels of the whole image or stack; the window's ends are values
    that occur in it. Of more than `MOST_SAMPLES` pixels, evenly spaced ones are looked at.

    Parameters
    ----------
    array
        Integers, floats or bool of any width and byte order, with axes as ``options.axes`` says;
        NumPy, memory-mapped or dask array, or a nested sequence. Of a lazy array only the chosen
        plane is computed, and what percentiles need.
    options
        Window, axes, plane, channel and conversion of colours; defaults if omitted.
    contrast_limits
        The layer's limits, used if ``options.window.kind`` is ``"limits"``.

    Raises
    ------
    ImageError
        The array is no image of real numbers, has no pixels or no finite ones, is ambiguous or
        too large, or the options do not fit it.
    """
    options = ImageOptions() if options is None else options
    array = _as_array(array)
    layout = resolve(tuple(array.shape), options)
    check_size(layout.plane_shape)
    raw = _native(take(array, layout, options))
    valid = _finite_mask(raw)
    record: dict[str, Any] = {
        "shape": list(layout.shape),
        "dtype": np.dtype(array.dtype).name,
        "axes": layout.axes,
        "plane": options.plane,
        "channel": options.channel,
        "gray": _conversion(layout, options),
        "non_finite": 0 if valid is None else int(raw.size - np.count_nonzero(valid)),
        "subsampled": False,
        "notes": [],
    }
    _note_losses(record, layout, options)
    finite = raw if valid is None else raw[valid]
    if finite.size == 0:
        raise ImageError("Every pixel is NaN or infinite; there is nothing to segment.")
    least, most = finite.min().item(), finite.max().item()
    record["constant"] = least == most
    if options.window.kind == "percentiles":
        values = _window_values(array, raw, layout, options)
        low, high = _percentiles(values, options.window)
        record["subsampled"] = max(strides(layout, MOST_SAMPLES)) > 1
    else:
        low, high = _given_window(options, np.dtype(array.dtype), contrast_limits, least, most)
    if low == high and least < most:
        low, high = least, most
        record["notes"].append(
            "The window's percentiles coincide; the plane's full range was used instead."
        )
    record["window"] = {"kind": options.window.kind, "low": low, "high": high}
    pixels, below, above = _map(raw, valid, low, high)
    record["clipped_low"], record["clipped_high"] = below / finite.size, above / finite.size
    if low == high:
        record["notes"].append(f"Every pixel has the same value, {low:g}; the view is all black.")
    return GrayImage(pixels, raw, valid, record)


def check_size(shape: tuple[int, int]) -> None:
    """Refuse an image for which the memory of this machine does not suffice.

    Parameters
    ----------
    shape
        Rows and columns.

    Raises
    ------
    ImageError
        A side is longer than `LARGEST_SIDE`, or `BYTES_PER_PIXEL` for each pixel exceed the
        memory that is available now.
    """
    rows, columns = shape
    pixels, available = rows * columns, available_memory()
    most = available // BYTES_PER_PIXEL
    advice = "Crop it, downscale it, or cut it into tiles and segment each."
    if max(shape) > LARGEST_SIDE:
        raise ImageError(
            f"An image of {rows} × {columns} pixels has a side longer than {LARGEST_SIDE}. {advice}"
        )
    if pixels > most:
        raise ImageError(
            f"An image of {rows} × {columns} = {pixels:,} pixels needs about "
            f"{pixels * BYTES_PER_PIXEL / 2**30:.1f} GiB of memory; {available / 2**30:.1f} GiB "
            f"are free, enough for {most:,} pixels. {advice}"
        )


def _as_array(array: Any) -> Any:
    """Return something with shape, dtype and slicing, whose dtype holds real numbers."""
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
    return array


def _native(raw: NDArray[Any]) -> NDArray[Any]:
    """Copy into native byte order and C order, in a type that arithmetic can use."""
    widened = {"bool": np.uint8, "float16": np.float32}.get(raw.dtype.name)
    if raw.dtype.kind == "f" and raw.dtype.itemsize > 8:
        widened = np.float64
    return np.array(raw, dtype=widened or raw.dtype.newbyteorder("="), order="C", subok=False)


def _finite_mask(raw: NDArray[Any]) -> NDArray[np.bool_] | None:
    if raw.dtype.kind != "f":
        return None
    finite = np.isfinite(raw)
    return None if finite.all() else finite


def _note_losses(record: dict[str, Any], layout: Layout, options: ImageOptions) -> None:
    if has_alpha(layout, options):
        record["notes"].append("The fourth channel was taken for alpha and ignored.")
    if record["non_finite"]:
        record["notes"].append(f"{record['non_finite']} pixels are NaN or infinite; shown black.")


def _conversion(layout: Layout, options: ImageOptions) -> str | None:
    combined = layout.size(layout.colour) > 1 and (
        options.channel is None or set("CS") <= set(layout.axes)
    )
    return options.gray if combined else None


def _window_values(
    array: Any, raw: NDArray[Any], layout: Layout, options: ImageOptions
) -> NDArray[Any]:
    """Finite pixels of the whole image or stack; of the plane where the stack's sample has none."""
    if layout.planes > 1:
        values = _native(sample(array, layout, options, MOST_SAMPLES))
    else:
        values = _native(sample(raw, Layout("YX", raw.shape), options, MOST_SAMPLES))
    finite = _finite_mask(values)
    values = values.ravel() if finite is None else values[finite]
    return values if values.size else raw[np.isfinite(raw)]


def _percentiles(values: NDArray[Any], window: Percentiles) -> tuple[Number, Number]:
    """Return percentiles, rounded outwards to values that occur."""
    first = int(np.floor(window.low / 100 * (values.size - 1)))
    last = int(np.ceil(window.high / 100 * (values.size - 1)))
    values.partition((first, last))
    return values[first].item(), values[last].item()


def _given_window(
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


def _map(
    raw: NDArray[Any], valid: NDArray[np.bool_] | None, low: Number, high: Number
) -> tuple[NDArray[np.float32], int, int]:
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
    return pixels, below, above


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
