"""One preprocessing step on a whole image or stack, in the image's own units."""

from __future__ import annotations

import math
import string
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.preprocess import BaseStep, apply
from napari_graysam.progress import Progress
from napari_graysam.recipe import Explicit, ImageOptions
from napari_graysam.source.axes import Layout
from napari_graysam.source.gray import GrayImage, ImageSource

NOWHERE = (math.inf, -math.inf)
"""Range of a plane without finite values."""


class Filtered(NamedTuple):
    """A filtered image: float32 pixels, and the values that stood for 0 and 1 meanwhile."""

    pixels: NDArray[np.float32]
    window: tuple[float, float]


def filter_steps(
    array: Any, step: BaseStep, *, rgb: bool = False
) -> Generator[Progress, None, Filtered]:
    """Apply a step to every plane of an image; closing the generator cancels.

    The smallest and the largest finite value of the whole stack stand for 0 and 1, so that
    nothing is clipped and planes stay comparable; the result is scaled back.

    Parameters
    ----------
    array
        (…, H, W) real numbers, or (…, H, W, 3 or 4) with `rgb`; lazy arrays are computed plane
        by plane.
    step
        A step such as `Clahe()`.
    rgb
        Colours, which become gray by their luminance (ITU-R BT.709).

    Yields
    ------
    Progress
        Stages ``range`` and ``filter``, in planes.

    Returns
    -------
    Filtered
        (…, H, W); what is not finite in the image is NaN.

    Raises
    ------
    ImageError
        The array holds no real numbers or no finite ones, or does not fit into memory.
    """
    axes = string.ascii_lowercase[: len(array.shape) - (3 if rgb else 2)]
    layout = Layout(axes + ("YXS" if rgb else "YX"), tuple(array.shape))
    source = ImageSource(array, layout=layout)
    ranges = []
    for plane in range(len(source)):
        ranges.append(_range(source.raw(plane)))
        yield Progress("range", plane + 1, len(source))
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    if low > high:
        raise ImageError("Every pixel is NaN or infinite; there is nothing to filter.")
    span = high - low or max(1.0, abs(low))
    window = Explicit(low=low, high=low + span)
    source = ImageSource(array, ImageOptions(window=window), layout=layout)
    step = step.replace(enabled=True)
    shape = tuple(layout.shape[: len(axes) + 2])
    pixels = _empty(shape)
    for plane, index in enumerate(np.ndindex(shape[:-2])):
        known = ranges[plane] != NOWHERE
        pixels[index] = _filtered(source.plane(plane), step, low, span) if known else np.nan
        yield Progress("filter", plane + 1, len(source))
    return Filtered(pixels, (low, high))


def _range(values: NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else NOWHERE


def _empty(shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        return np.empty(shape, np.float32)
    except MemoryError:
        raise ImageError(
            f"The result of shape {shape} does not fit into memory; crop the image first."
        ) from None


def _filtered(gray: GrayImage, step: BaseStep, low: float, span: float) -> NDArray[np.float32]:
    result = (apply(gray.pixels, (step,)).astype(np.float64) * span + low).astype(np.float32)
    if gray.valid is not None:
        result[~gray.valid] = np.nan
    return result
