"""What the preview computes in the background, and what it remembers between changes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.source import Source
from napari_graysam._napari.forms.wording import sentence
from napari_graysam.preprocess import (
    BaseStep,
    Image,
    Intermediates,
    Replicate,
    Rgb,
    apply_steps,
    to_rgb_steps,
)

if TYPE_CHECKING:
    from napari_graysam.source.gray import ImageSource

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
        self._stack: tuple[Any, Any, ImageSource] | None = None
        self._gray: tuple[ImageSource, int | None, Image] | None = None
        self._crop: tuple[Image, Box, Image] | None = None
        self.images = tuple(Intermediates(REMEMBERED) for _ in range(4))

    def gray(self, request: Request) -> Image:
        """Return the whole image in gray; converted once while only steps change."""
        stack, plane = self._source(request), request.source.options.plane
        if self._gray is None or self._gray[:2] != (stack, plane):
            self._gray = (stack, plane, stack.plane(plane).pixels)
        return self._gray[2]

    def _source(self, request: Request) -> ImageSource:
        """Return the stack, which is measured once while only its planes change."""
        source = request.source
        options = source.options.replace(plane=None)
        limits = source.contrast_limits if options.window.kind == "limits" else None
        # A part of the layer's array is cut anew for each request, and is told by its words.
        part = None if source.array is request.data else source.plane
        key = (options, limits, part)
        if self._stack is None or self._stack[0] is not request.data or self._stack[1] != key:
            stack = replace(source, options=options).images()
            self._stack = (request.data, key, stack)
        return self._stack[2]

    def cropped(self, request: Request) -> Image:
        """Return the part of the gray image that is asked for."""
        image, box = self.gray(request), request.box
        if box is None:
            return image
        if self._crop is None or self._crop[0] is not image or self._crop[1] != box:
            self._crop = (image, box, np.ascontiguousarray(image[box]))
        return self._crop[2]


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
        yield Failure(request, sentence(text))
    else:
        yield View(request, view)
