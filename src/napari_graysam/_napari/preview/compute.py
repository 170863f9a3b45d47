"""What the preview computes in the background, and what it remembers between changes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.source import Source
from napari_graysam.preprocess import BaseStep, Channels, Image, Replicate, Rgb, to_rgb
from napari_graysam.recipe import Explicit, ImageOptions
from napari_graysam.recipe.reference import title_of
from napari_graysam.source.gray import to_gray

LARGE = 2048 * 2048
"""Pixels up to which an image is previewed as a whole at once."""
REMEMBERED = 2**28
"""Bytes of intermediate images that one chain keeps."""

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


class Chain:
    """Steps applied in order, with the images in between remembered.

    Changing one step then costs that step and the ones after it. Two threads may share a chain:
    what is remembered is replaced as a whole and never changed.

    Parameters
    ----------
    remembered
        Bytes of intermediate images to keep.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._most = remembered
        self._last: tuple[Image | None, tuple[tuple[BaseStep, Image], ...]] = (None, ())

    def apply(
        self, image: Image, steps: Sequence[BaseStep], before: str = ""
    ) -> Generator[None, None, Image]:
        """Return what `preprocess.apply` returns, pausing before every step.

        Parameters
        ----------
        image
            float32, (H, W), values in [0, 1].
        steps
            Disabled ones are skipped.
        before
            Put before the step's name where one fails.
        """
        enabled = [(number, step) for number, step in enumerate(steps, 1) if step.enabled]
        source, before_now = self._last
        done = []
        for (_, step), known in zip(enabled, before_now, strict=False):
            if source is not image or step != known[0]:
                break
            done.append(known)
        result = done[-1][1] if done else image
        for number, step in enabled[len(done) :]:
            yield
            try:
                result = step.apply(result)
            except Exception as error:
                name = f"{before}step {number}, {title_of(type(step))}"
                raise StepError(f"{name}, cannot process this image: {error}") from error
            if (len(done) + 1) * image.nbytes <= self._most:
                done.append((step, result))
                self._last = (image, tuple(done))
        return result


class StepError(Exception):
    """A step failed on an image."""


class Memory:
    """The gray image and the chains' images of the last requests.

    Entries are replaced, never changed, so that several threads may use them.
    """

    def __init__(self) -> None:
        self._gray: tuple[Any, Any, Image] | None = None
        self._window: tuple[Any, ImageOptions, Explicit] | None = None
        self._crop: tuple[Image, Box, Image] | None = None
        self.chains = tuple(Chain() for _ in range(4))

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
    request: Request, image: Callable[[], Image], chains: Sequence[Chain]
) -> Generator[View | Failure | None, None, None]:
    """Yield None between steps, where it may be stopped, and the view or the failure at last.

    Parameters
    ----------
    request
        What is asked for.
    image
        Gives the gray pixels to process.
    chains
        For the steps before colours, and for red, green and blue.
    """
    try:
        pixels = image()
        pixels = yield from chains[0].apply(pixels, request.steps)
        view: NDArray[Any] = pixels
        if isinstance(request.rgb, Channels):
            view = yield from _colours(pixels, request.rgb, chains[1:])
        elif not isinstance(request.rgb, Replicate):
            view = to_rgb(pixels, request.rgb)
    except Exception as error:
        text = str(error) or type(error).__name__
        yield Failure(request, text[:1].upper() + text[1:])
    else:
        yield View(request, view)


def _colours(
    pixels: Image, rgb: Channels, chains: Sequence[Chain]
) -> Generator[None, None, NDArray[np.uint8]]:
    view = np.empty((*pixels.shape, 3), np.uint8)
    for channel, (name, chain) in enumerate(zip(("red", "green", "blue"), chains, strict=True)):
        processed = yield from chain.apply(pixels, getattr(rgb, name), f"{name}: ")
        view[..., channel] = to_rgb(processed, Replicate())[..., 0]
    return view
