"""The window of a stack, measured plane by plane over those that can be read."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.limits import reading
from napari_graysam.recipe import ImageOptions, Percentiles
from napari_graysam.source.axes import Layout, strides, take
from napari_graysam.source.window import (
    MOST_SAMPLES,
    WindowStatistics,
    finite_mask,
    native,
    percentiles,
)


class StackWindow(NamedTuple):
    """The window of a stack.

    Attributes
    ----------
    ends
        The percentiles; None where all pixels looked at are NaN or infinite.
    without
        Numbers of planes that were to be looked at, and cannot be read.
    """

    ends: WindowStatistics | None
    without: tuple[int, ...] = ()


def measure_planes(
    array: Any, layout: Layout, options: ImageOptions, window: Percentiles
) -> StackWindow:
    """Measure as `napari_graysam.source.window.measure` does, one plane in memory at a time.

    Parameters
    ----------
    array, layout, options, window
        As for `measure`, which gives the same where all planes can be read.

    Raises
    ------
    ImageError
        If no plane can be read; as the last one says.

    Examples
    --------
    >>> stack = np.arange(12).reshape(3, 2, 2)
    >>> measure_planes(stack, Layout("ZYX", stack.shape), ImageOptions(), Percentiles()).ends
    WindowStatistics(low=0, high=11)
    """
    steps = strides(layout, MOST_SAMPLES)
    rows, columns = (slice(None, None, steps[layout.axes.index(axis)]) for axis in "YX")
    counts = tuple(layout.shape[axis] for axis in layout.leading)
    looked_at = product(*(range(0, layout.shape[axis], steps[axis]) for axis in layout.leading))
    found: list[NDArray[Any]] = []
    damaged: list[int] = []
    last: ImageError | None = None
    for position in looked_at:
        number = int(np.ravel_multi_index(position, counts)) if counts else 0
        try:
            with reading(f"plane {number}", "a readable plane"):
                values = native(take(array, layout, options, number, rows, columns))
        except ImageError as error:
            damaged.append(number)
            last = error
            continue
        finite = finite_mask(values)
        found.append(values.ravel() if finite is None else values[finite])
    if last is not None and not found:
        raise last
    values = np.concatenate(found)
    return StackWindow(percentiles(values, window) if values.size else None, tuple(damaged))
