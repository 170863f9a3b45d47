"""Which axis of an array is which, and taking one plane out of it."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.recipe import ImageOptions

CHOICES = {
    3: ("ZYX", "CYX", "YXS", "YXC"),
    4: ("TZYX", "ZCYX", "TCYX", "CZYX", "ZYXS", "TYXS"),
    5: ("TZCYX", "TCZYX", "CTZYX", "TZYXS"),
    6: ("TZCYXS",),
}
MOST_CHANNELS = 32
EVERYTHING = slice(None)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Weights of red, green and blue, ITU-R BT.709."""


class Layout(NamedTuple):
    """What the axes of an array mean.

    ``axes`` has one letter for each axis of ``shape``: T time, Z depth, C channels, Y rows,
    X columns, S samples (the colours of one pixel); any other letter is one more axis of planes.
    """

    axes: str
    shape: tuple[int, ...]

    def size(self, letter: str) -> int:
        """Length of an axis; 1 where the array lacks it."""
        return self.shape[self.axes.index(letter)] if letter in self.axes else 1

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.size("Y"), self.size("X")

    @property
    def leading(self) -> tuple[int, ...]:
        """Positions of the axes that ``image.plane`` counts along, slowest first."""
        return tuple(i for i, letter in enumerate(self.axes) if letter not in "CYXS")

    @property
    def planes(self) -> int:
        """Number of planes along all leading axes together."""
        return prod(self.shape[i] for i in self.leading)

    @property
    def colour(self) -> str:
        """Letter of the axis that becomes gray: samples where there are any, else channels."""
        return "S" if "S" in self.axes else "C"

    @property
    def interleaved(self) -> bool:
        """Whether colours are the last axis, so that a fourth one is alpha."""
        return self.axes[-1] == self.colour


def resolve(shape: tuple[int, ...], options: ImageOptions) -> Layout:
    """Decide what each axis means, and check plane and channel against it.

    Parameters and errors are those of `layout_of`, and the ``plane`` of ``options`` is checked.
    """
    layout = layout_of(shape, options)
    check_plane(layout, options.plane)
    return layout


def layout_of(shape: tuple[int, ...], options: ImageOptions) -> Layout:
    """Decide what each axis means, and check the channel against it.

    Parameters
    ----------
    shape
        Shape of the array.
    options
        ``axes``, ``channel`` and ``gray`` are read.

    Raises
    ------
    ImageError
        The array has no pixels, its shape is ambiguous, or the options do not fit it.
    """
    check_shape(shape)
    axes = options.axes if options.axes is not None else guess(shape)
    if axes is None:
        raise ImageError(_ambiguous(shape))
    if len(axes) != len(shape):
        raise ImageError(
            f"image.axes={axes} names {len(axes)} axes, but the image has {len(shape)}: "
            f"its shape is {shape}. Give one letter of TZCYXS for each."
        )
    layout = Layout(axes, shape)
    _check_channel(layout, options)
    return layout


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise `ImageError` unless a shape has rows, columns and at least one pixel."""
    if len(shape) < 2:
        raise ImageError(f"An array of shape {shape} is no image: it needs rows and columns.")
    if prod(shape) == 0:
        raise ImageError(f"An image of shape {shape} has 0 pixels; at least one is needed.")


def guess(shape: tuple[int, ...]) -> str | None:
    """Return the axes of a shape that can mean only one thing, else None.

    Two axes are rows and columns. A last axis of length 1, or of 3 or 4 after two axes longer
    than 4, holds colours. A first axis of length 1 is a stack of one plane.
    """
    if len(shape) == 2:
        return "YX"
    first, last = shape[0], shape[-1]
    if len(shape) == 3 and (last == 1 or (last in (3, 4) and min(shape[:2]) > 4)):
        return "YXS"
    if first == 1 and (len(shape) > 3 or last not in (3, 4)):
        rest = guess(shape[1:])
        free = [letter for letter in "ZT" if rest and letter not in rest]
        return free[0] + rest if rest and free else None
    return None


def check_plane(layout: Layout, plane: int | None) -> None:
    """Raise `ImageError` unless a number chooses one of the planes; None chooses the only one."""
    count = layout.planes
    if plane is None and count > 1:
        raise ImageError(
            f"An image of shape {layout.shape} with axes {layout.axes} has {count} planes; "
            f"choose one with image.plane=N, image.plane=0..{count - 1}."
        )
    if plane is not None and not 0 <= plane < count:
        raise ImageError(
            f"image.plane={plane} does not exist: shape {layout.shape} with axes {layout.axes} "
            f"has {count} plane{'s' * (count > 1)}, image.plane=0..{count - 1}."
        )


def _check_channel(layout: Layout, options: ImageOptions) -> None:
    letter = "C" if "C" in layout.axes else "S"
    count, channel = layout.size(letter), options.channel
    where = f"shape {layout.shape} with axes {layout.axes}"
    if channel is not None:
        if not 0 <= channel < count:
            raise ImageError(
                f"image.channel={channel} does not exist: {where} has {count} "
                f"channel{'s' * (count > 1)}, image.channel=0..{count - 1}."
            )
        return
    if "C" in layout.axes and "S" in layout.axes and count > 1:
        raise ImageError(
            f"An image of {where} has {count} channels of coloured pixels; "
            f"choose one with image.channel=N, image.channel=0..{count - 1}."
        )
    colours = layout.size(layout.colour)
    fits = colours in (1, 3) or (colours == 4 and layout.interleaved)
    if options.gray == "luminance" and not fits:
        raise ImageError(
            f"Luminance needs red, green and blue, but {where} has {colours} channels; choose "
            f"one with image.channel=N, image.channel=0..{colours - 1}, or combine them "
            f"with image.gray=mean (or max)."
        )


def _ambiguous(shape: tuple[int, ...]) -> str:
    if len(shape) not in CHOICES:
        return (
            f"An array of shape {shape} has {len(shape)} axes; at most 6 can be named with "
            f"image.axes. Save or pass the part that you want to segment."
        )
    choices = []
    for axes in CHOICES[len(shape)]:
        layout = Layout(axes, shape)
        if layout.size("C") > MOST_CHANNELS or layout.size("S") not in (1, 3, 4):
            continue
        settings = [f"image.axes={axes}"]
        if layout.planes > 1:
            settings.append(f"image.plane=N (0..{layout.planes - 1})")
        if layout.size("C") > 1:
            settings.append(f"image.channel=N (0..{layout.size('C') - 1})")
        choices.append(" and ".join(settings))
    return f"An array of shape {shape} can be read in several ways; choose: " + "; ".join(choices)


def take(
    array: Any,
    layout: Layout,
    options: ImageOptions,
    plane: int,
    rows: int | slice = EVERYTHING,
    columns: int | slice = EVERYTHING,
) -> NDArray[Any]:
    """Read a plane, (H, W), or some of its rows and columns, as gray values."""
    index: list[int | slice] = [slice(None)] * len(layout.shape)
    counts = tuple(layout.shape[i] for i in layout.leading)
    positions = np.unravel_index(plane, counts) if counts else ()
    for axis, position in zip(layout.leading, positions, strict=True):
        index[axis] = int(position)
    index[layout.axes.index("Y")] = rows
    index[layout.axes.index("X")] = columns
    return _gray(array, layout, index, options)


def sample(array: Any, layout: Layout, options: ImageOptions, most: int) -> NDArray[Any]:
    """Read every plane as gray values, (..., H', W'), or evenly spaced pixels of too many.

    The choice depends on the shape only, so that every kind of array gives the same values.

    Parameters
    ----------
    array, layout, options
        The image, what its axes mean, and which channel or conversion to gray is wanted.
    most
        Largest number of pixels to return.
    """
    index: list[int | slice] = [slice(None, None, step) for step in strides(layout, most)]
    return _gray(array, layout, index, options)


def strides(layout: Layout, most: int, planes: int = 32) -> list[int]:
    """Return steps along each axis that leave at most `most` pixels; all 1 if it has no more.

    Planes are thinned first, down to `planes` of them, then rows and columns alike.
    """
    rows, columns = layout.plane_shape
    steps = [1] * len(layout.shape)
    if layout.planes * rows * columns <= most:
        return steps

    def kept(axis: int) -> int:
        return -(-layout.shape[axis] // steps[axis])

    while prod(kept(i) for i in layout.leading) > planes:
        steps[max(layout.leading, key=kept)] += 1
    y, x = layout.axes.index("Y"), layout.axes.index("X")
    while prod(kept(i) for i in (*layout.leading, y, x)) > most:
        steps[max((y, x), key=kept)] += 1
    return steps


def _gray(
    array: Any, layout: Layout, index: list[int | slice], options: ImageOptions
) -> NDArray[Any]:
    """Index, load, order the axes as (T, Z, Y, X), and combine what colours remain."""
    chosen = "C" if "C" in layout.axes else "S"
    if chosen in layout.axes and (options.channel is not None or layout.size(chosen) == 1):
        index[layout.axes.index(chosen)] = options.channel or 0
    if has_alpha(layout, options):
        index[-1] = slice(0, 3)
    loaded = np.asarray(array[tuple(index)])
    left = [a for a, i in zip(layout.axes, index, strict=True) if isinstance(i, slice)]
    loaded = loaded.transpose(sorted(range(len(left)), key=lambda i: "TZYXCS".find(left[i])))
    return _combined(loaded, options.gray) if set("CS") & set(left) else loaded


def has_alpha(layout: Layout, options: ImageOptions) -> bool:
    """Whether colours are combined and a fourth one, alpha, is left out."""
    combined = options.channel is None or set("CS") <= set(layout.axes)
    return combined and layout.interleaved and layout.size(layout.colour) == 4


def _combined(colours: NDArray[Any], gray: str) -> NDArray[Any]:
    """Combine the last axis; a mean or luminance is float32, or float64 where that is too coarse.

    A luminance is the weighted sum of ITU-R BT.709, of the values as they are stored.
    """
    combined: NDArray[Any]
    if gray == "max" or colours.shape[-1] == 1:
        combined = colours.max(axis=-1)
        return combined
    exact = np.float32 if colours.dtype.itemsize <= 2 else np.float64
    with np.errstate(invalid="ignore"):  # infinities of both signs meet
        if gray == "mean":
            combined = colours.mean(axis=-1, dtype=np.float64)
        else:
            red, green, blue = (colours[..., i] * weight for i, weight in enumerate(LUMINANCE))
            combined = red + green + blue
    return combined.astype(exact)
