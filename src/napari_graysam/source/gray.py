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
from napari_graysam.source.axes import (
    Layout,
    check_plane,
    check_shape,
    has_alpha,
    layout_of,
    take,
)
from napari_graysam.source.window import (
    Number,
    WindowStatistics,
    apply_window,
    as_array,
    finite_mask,
    given_window,
    measure,
    native,
    percentiles,
    subsampled,
)

BYTES_PER_PIXEL = 40
"""Peak need of the pipeline outside the model: the original, three float32 images of a
preprocessing step, two RGB views, two label images and the boolean masks between them."""
LARGEST_SIDE = 32767
"""OpenCV stores pixel coordinates of several filters in signed 16 bits."""


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
        (H, W) bool, False where the original was NaN, infinite or masked; None if nowhere.
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


class ImageSource:
    """An image or a stack that is measured once and read plane by plane.

    Nothing is read before it is asked for; of a lazy array only what is.

    Parameters
    ----------
    array
        As for `to_gray`.
    options
        Window, axes, channel and conversion of colours; ``plane`` is not used.
    contrast_limits
        The layer's limits, used if ``options.window.kind`` is ``"limits"``.
    layout
        What the axes mean, where ``options.axes`` cannot say it.

    Attributes
    ----------
    layout
        What the axes of the array mean.
    measured
        The window's percentiles over all planes, once they are measured; may be set before.

    Raises
    ------
    ImageError
        The array is no image of real numbers, has no pixels, is ambiguous or too large, or the
        options do not fit it.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.recipe import ImageOptions
    >>> from napari_graysam.source.gray import ImageSource
    >>> stack = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    >>> source = ImageSource(stack, ImageOptions(axes="ZYX"))
    >>> len(source), source.plane(2).record["window"]["high"]
    (3, 11)
    >>> [round(float(plane.pixels.max()), 2) for plane in source]
    [0.27, 0.64, 1.0]
    """

    def __init__(
        self,
        array: Any,
        options: ImageOptions | None = None,
        *,
        contrast_limits: tuple[float, float] | None = None,
        layout: Layout | None = None,
    ) -> None:
        self.array = as_array(array)
        # A masked array of integers has become one of floats.
        came = getattr(array, "dtype", None)
        self.dtype = came if isinstance(came, np.dtype) else np.dtype(self.array.dtype)
        self.options = ImageOptions() if options is None else options
        self.contrast_limits = contrast_limits
        shape = tuple(self.array.shape)
        check_shape(shape)
        self.layout = layout_of(shape, self.options) if layout is None else layout
        check_size(self.layout.plane_shape)
        self.measured: WindowStatistics | None = None

    def __len__(self) -> int:
        """Return the number of planes."""
        return self.layout.planes

    def __iter__(self) -> Iterator[GrayImage]:
        """Read one plane after the other."""
        return (self.plane(number) for number in range(len(self)))

    def raw(self, number: int | None = None) -> NDArray[Any]:
        """Read a plane's original gray values, (H, W); None is the only one."""
        check_plane(self.layout, number)
        return native(take(self.array, self.layout, self.options, number or 0))

    def alone(self, number: int) -> GrayImage:
        """Read a plane in a window that is measured over this plane alone."""
        whole, self.measured = self.measured, None
        try:
            window, raw = self.options.window, self.raw(number)
            if isinstance(window, Percentiles):
                self.measured = measure(raw, Layout("YX", raw.shape), ImageOptions(), window)
            return self.plane(number)
        finally:
            self.measured = whole

    def plane(self, number: int | None = None) -> GrayImage:
        """Read a plane in the window of the whole stack; None is the only one.

        Raises
        ------
        ImageError
            There is no such plane, it has no finite pixels, or the window does not fit them.
        """
        raw = self.raw(number)
        valid = finite_mask(raw)
        finite = raw if valid is None else raw[valid]
        if finite.size == 0:
            raise ImageError("Every pixel is NaN, infinite or masked; there is nothing to segment.")
        record = self._record(number)
        record["non_finite"] = int(raw.size - finite.size)
        _note_losses(record, self.layout, self.options)
        low, high = self._window(raw, finite, record)
        record["window"] = {"kind": self.options.window.kind, "low": low, "high": high}
        pixels, below, above = apply_window(raw, valid, low, high)
        record["clipped_low"], record["clipped_high"] = below / finite.size, above / finite.size
        if low == high:
            text = f"Every pixel has the same value, {low:g}; the view is all black."
            record["notes"].append(text)
        return GrayImage(pixels, raw, valid, record)

    def statistics(self, raw: NDArray[Any], window: Percentiles) -> WindowStatistics | None:
        """Measure the whole stack for a window, once; of one plane, ``raw`` has been read already.

        None where all pixels looked at are NaN or infinite.
        """
        if self.measured is None:
            array, layout = self.array, self.layout
            if len(self) == 1:
                array, layout = raw, Layout("YX", raw.shape)
            self.measured = measure(array, layout, self.options, window)
        return self.measured

    def _window(
        self, raw: NDArray[Any], finite: NDArray[Any], record: dict[str, Any]
    ) -> tuple[Number, Number]:
        """Return the window's ends, and note in the record what is special about them."""
        window = self.options.window
        least, most = finite.min().item(), finite.max().item()
        record["constant"] = least == most
        if isinstance(window, Percentiles):
            measured = self.statistics(raw, window)
            low, high = measured[:2] if measured else percentiles(finite, window)
            record["subsampled"] = subsampled(self.layout)
        else:
            low, high = given_window(self.options, self.dtype, self.contrast_limits, least, most)
        if low == high and least < most:
            low, high = least, most
            record["notes"].append(
                "The window's percentiles coincide; the plane's full range was used instead."
            )
        return low, high

    def _record(self, number: int | None) -> dict[str, Any]:
        return {
            "shape": list(self.layout.shape),
            "dtype": self.dtype.name,
            "axes": self.layout.axes,
            "plane": number,
            "channel": self.options.channel,
            "gray": _conversion(self.layout, self.options),
            "non_finite": 0,
            "subsampled": False,
            "notes": [],
        }


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
        NumPy, masked, memory-mapped or dask array, or a nested sequence. Of a lazy array only the
        chosen plane is computed, and what percentiles need.
    options
        Window, axes, plane, channel and conversion of colours; defaults if omitted.
    contrast_limits
        The layer's limits, used if ``options.window.kind`` is ``"limits"``.

    Raises
    ------
    ImageError
        The array is no image of real numbers, has no pixels or no finite ones, is ambiguous or
        too large, or the options do not fit it.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.source.gray import to_gray
    >>> gray = to_gray(np.array([[100, 150], [200, 300]], np.uint16))
    >>> gray.pixels.tolist(), gray.raw.dtype.name
    ([[0.0, 0.25], [0.5, 1.0]], 'uint16')

    See Also
    --------
    ImageSource : Many planes of one stack, whose window is measured once.
    """
    source = ImageSource(array, options, contrast_limits=contrast_limits)
    return source.plane(source.options.plane)


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
    advice = "Crop it, downscale it, or let `graysam segment` work in tiles (tiles.use=auto)."
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


def _note_losses(record: dict[str, Any], layout: Layout, options: ImageOptions) -> None:
    if has_alpha(layout, options):
        record["notes"].append("The fourth channel was taken for alpha and ignored.")
    if record["non_finite"]:
        count = record["non_finite"]
        record["notes"].append(f"{count} pixels are NaN, infinite or masked; shown black.")


def _conversion(layout: Layout, options: ImageOptions) -> str | None:
    combined = layout.size(layout.colour) > 1 and (
        options.channel is None or set("CS") <= set(layout.axes)
    )
    return options.gray if combined else None
