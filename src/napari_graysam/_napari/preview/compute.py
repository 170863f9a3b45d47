"""What the preview computes in the background, and what it remembers between changes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.source import Source
from napari_graysam.preprocess import (
    BaseStep,
    Image,
    Intermediates,
    Replicate,
    Rgb,
    apply_steps,
    to_rgb_steps,
)
from napari_graysam.recipe import Explicit, ImageOptions
from napari_graysam.source.gray import to_gray

LARGE = 2048 * 2048
"""Pixels up to which an image is previewed as a whole at once."""
REMEMBERED = 2**28
"""Bytes of intermediate images that are kept for each chain."""

Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be shown.

    Attributes
    ----------
    source
        The image.
    data
        The layer's array; the same object means the same gray values.
    steps, rgb
        The recipe's.
    box
        Rows and columns to process; None for all.
    """

    source: Source
    data: Any
    steps: tuple[BaseStep, ...]
    rgb: Rgb
    box: Box | None


class View(NamedTuple):
    """Pixels to show: float32 (H, W) in [0, 1], or uint8 (H, W, 3)."""

    request: Request
    pixels: NDArray[Any]


class Failure(NamedTuple):
    """Why a request cannot be shown."""

    request: Request
    message: str


class Memory:
    """The gray image and the images between the steps of the last requests.

    Entries are replaced, never changed, so that several threads may use them.
    """

    def __init__(self) -> None:
        self._gray: tuple[Any, Any, Image] | None = None
        self._window: tuple[Any, ImageOptions, Explicit] | None = None
        self._crop: tuple[Image, Box, Image] | None = None
        self.images = tuple(Intermediates(REMEMBERED) for _ in range(4))

    def gray(self, request: Request) -> Image:
        """Return the whole image in gray; converted once while only steps change."""
        source = request.source
        limits = source.contrast_limits if source.options.window.kind == "limits" else None
        key = (source.options, source.plane, limits)
        if self._gray is None or self._gray[0] is not request.data or self._gray[1] != key:
            converted = to_gray(
                source.array, self._options(request), contrast_limits=source.contrast_limits
            )
            self._remember_window(request, converted.record)
            self._gray = (request.data, key, converted.pixels)
        return self._gray[2]

    def cropped(self, request: Request) -> Image:
        """Return the part of the gray image that is asked for."""
        image, box = self.gray(request), request.box
        if box is None:
            return image
        if self._crop is None or self._crop[0] is not image or self._crop[1] != box:
            self._crop = (image, box, np.ascontiguousarray(image[box]))
        return self._crop[2]

    def _options(self, request: Request) -> ImageOptions:
        """Return the options with the stack's window where another plane has measured it."""
        options = request.source.options
        if self._window is not None:
            data, of_stack, window = self._window
            if data is request.data and of_stack == options.replace(plane=None):
                return options.replace(window=window)
        return options

    def _remember_window(self, request: Request, record: dict[str, Any]) -> None:
        measured, options = record["window"], request.source.options
        whole_stack = request.source.array is request.data and options.plane is not None
        if measured["kind"] == "percentiles" and whole_stack and not record["notes"]:
            window = Explicit(low=measured["low"], high=measured["high"])
            self._window = (request.data, options.replace(plane=None), window)


def compute(
    request: Request, image: Callable[[], Image], memories: Sequence[Intermediates]
) -> Generator[View | Failure | None, None, None]:
    """Yield None between steps, where it may be stopped, and the view or the failure at last.

    Parameters
    ----------
    request
        What is asked for.
    image
        Gives the gray pixels to process.
    memories
        For the steps before colours, and for red, green and blue.
    """
    try:
        pixels = yield from apply_steps(image(), request.steps, memory=memories[0])
        view: NDArray[Any] = pixels
        if not isinstance(request.rgb, Replicate):
            view = yield from to_rgb_steps(pixels, request.rgb, memories=memories[1:])
    except Exception as error:
        text = str(error) or type(error).__name__
        yield Failure(request, text[:1].upper() + text[1:])
    else:
        yield View(request, view)
