"""Steps in a row: on a whole image, on a tile of it, and again and again while one changes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_graysam.errors import ImageError
from napari_graysam.preprocess.base import BaseStep, Fitted, Image
from napari_graysam.preprocess.measuring import Block
from napari_graysam.progress import run

Box = tuple[slice, slice]
"""Rows and columns."""
BLOCK = 1024
"""Side of the squares in which an image is measured that does not fit into memory."""


class Padded(NamedTuple):
    """A tile with its halo: where to cut it from the image, and where the tile lies in that."""

    cut: Box
    tile: Box

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column where the cut begins."""
        return self.cut[0].start, self.cut[1].start


class Intermediates:
    """Remembers the images between a chain's steps.

    Changing one step then costs that step and the ones after it. Threads may share it: what is
    remembered is replaced as a whole and never changed.

    Parameters
    ----------
    most
        Bytes of images to keep.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: tuple[Image | None, tuple[tuple[BaseStep, Image], ...]] = (None, ())

    def known(self, image: Image, steps: Sequence[BaseStep]) -> list[tuple[BaseStep, Image]]:
        """Return the first of some steps whose results are remembered, with these."""
        source, before = self._last
        done = []
        for step, one in zip(steps, before, strict=False):
            if source is not image or step != one[0]:
                break
            done.append(one)
        return done

    def keep(self, image: Image, done: list[tuple[BaseStep, Image]]) -> None:
        """Remember the results of the first steps, as many as there is room for."""
        if len(done) * image.nbytes <= self._most:
            self._last = (image, tuple(done))


def apply(image: Image, steps: Iterable[BaseStep], fitted: Iterable[Fitted] | None = None) -> Image:
    """Apply the enabled steps in order.

    Parameters
    ----------
    image
        float32, (H, W), finite values in [0, 1]; never modified.
    steps
        Step models such as `Clahe()`; disabled ones are skipped.
    fitted
        Of `fit`, at the origin of the tile that this is; None for a whole image.

    Returns
    -------
    Image
        float32, (H, W), C-contiguous, values in [0, 1]. With no enabled step it is the
        input itself where that is C-contiguous, else a copy.

    Raises
    ------
    ImageError
        If the image is not a non-empty two-dimensional float32 array with finite values
        in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.preprocess import STEPS, apply
    >>> image = np.array([[0.2, 0.4]], np.float32)
    >>> apply(image, [STEPS["rescale"](low=0, high=100), STEPS["invert"]()]).tolist()
    [[1.0, 0.0]]
    """
    check(image)
    return run(apply_steps(image, steps, fitted))


def apply_steps(
    image: Image,
    steps: Iterable[BaseStep],
    fitted: Iterable[Fitted] | None = None,
    memory: Intermediates | None = None,
) -> Generator[None, None, Image]:
    """Do as `apply`, pausing before every step; closing the generator cancels.

    Parameters
    ----------
    image, steps, fitted
        As for `apply`.
    memory
        Looked into for the results of the first steps, and added to.

    Raises
    ------
    ImageError
        If a step fails on this image; it is named. The image itself is not checked.
    """
    enabled = [step for step in steps if step.enabled]
    fits = [None] * len(enabled) if fitted is None else list(fitted)
    done = [] if memory is None else memory.known(image, enabled)
    result: Image = done[-1][1] if done else np.ascontiguousarray(image)
    for number in range(len(done), len(enabled)):
        step = enabled[number]
        yield
        try:
            result = step.apply(result, fits[number])
        except Exception as error:
            raise ImageError(
                f"step {number + 1}, {name_of(step)}, cannot process this image: {error}"
            ) from error
        done.append((step, result))
        if memory is not None:
            memory.keep(image, done)
    return result


def fit(image: Image, steps: Iterable[BaseStep]) -> tuple[Fitted, ...]:
    """Take from a whole image what the enabled steps need to know for its tiles.

    Parameters
    ----------
    image
        float32, (H, W), finite values in [0, 1].
    steps
        Of the chain; each is fitted to what the ones before it make of the image.

    Examples
    --------
    A tile, cut with the chain's halo, becomes what the whole image becomes there.

    >>> import numpy as np
    >>> from napari_graysam.preprocess import STEPS, apply, fit, halo, padded
    >>> image = np.random.default_rng(0).random((200, 300), np.float32)
    >>> chain = [STEPS["gaussian"](sigma=2), STEPS["rescale"]()]
    >>> tile = padded((slice(40, 80), slice(100, 160)), halo(chain), image.shape)
    >>> fitted = [one.at(tile.origin) for one in fit(image, chain)]
    >>> part = apply(image[tile.cut], chain, fitted)[tile.tile]
    >>> np.allclose(part, apply(image, chain)[40:80, 100:160], atol=1e-6)
    True
    """
    fits: list[Fitted] = []
    enabled = [step for step in steps if step.enabled]
    for number, step in enumerate(enabled, 1):
        fits.append(step.fit(image))
        if number < len(enabled):
            image = step.apply(image, fits[-1])
    return tuple(fits)


def fit_blocks(
    read: Callable[[Box], Image],
    shape: tuple[int, int],
    steps: Iterable[BaseStep],
    *,
    before: Sequence[tuple[BaseStep, Fitted]] = (),
    blocks: Sequence[Box] | None = None,
) -> tuple[Fitted, ...]:
    """Do as `fit` for an image that does not fit into memory, block by block.

    Parameters
    ----------
    read
        Gives the pixels of rows and columns: float32, finite, in [0, 1].
    shape
        (H, W) of the image.
    steps
        Of the chain.
    before
        Steps that come before them, all enabled, with what they were fitted to.
    blocks
        What is looked at, without overlaps; by default all of the image. It is read once or
        twice for each step that needs statistics, and not at all for others.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.preprocess import STEPS, fit, fit_blocks
    >>> image = np.random.default_rng(0).random((200, 300), np.float32)
    >>> chain = [STEPS["gaussian"](sigma=2), STEPS["rescale"]()]
    >>> read, one = (lambda cut: image[cut]), fit(image, chain)[1]
    >>> other = fit_blocks(read, image.shape, chain)[1]
    >>> np.allclose(one.values, other.values, rtol=1e-4)
    True
    """
    whole = list(squares(shape, BLOCK)) if blocks is None else list(blocks)
    known = list(before)
    fits: list[Fitted] = []

    def of(step: BaseStep) -> Iterator[Block]:
        reach = step.halo + halo(one for one, _ in known)
        for block in whole:
            area = padded(block, reach, shape)
            fitted = [one.at(area.origin) for _, one in known]
            pixels = run(apply_steps(read(area.cut), [one for one, _ in known], fitted))
            yield Block(pixels, Fitted(shape, origin=area.origin), area.tile)

    for step in steps:
        if step.enabled:
            fits.append(step.fit_blocks(shape, partial(of, step)))
            known.append((step, fits[-1]))
    return tuple(fits)


def squares(shape: tuple[int, int], side: int) -> Iterator[Box]:
    """Yield squares, smaller at the end of rows and columns, that together are an image."""
    rows, columns = shape
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            yield slice(top, min(top + side, rows)), slice(left, min(left + side, columns))


def halo(steps: Iterable[BaseStep]) -> int:
    """Return the pixels around a tile that decide what the enabled steps make of it."""
    return sum(step.halo for step in steps if step.enabled)


def padded(tile: Box, halo: int, shape: tuple[int, int]) -> Padded:
    """Return a tile of an image of some shape, (H, W), with what there is of a halo around it."""
    cut = tuple(
        slice(max(0, one.start - halo), min(length, one.stop + halo))
        for one, length in zip(tile, shape, strict=True)
    )
    inside = tuple(
        slice(one.start - around.start, one.stop - around.start)
        for one, around in zip(tile, cut, strict=True)
    )
    return Padded((cut[0], cut[1]), (inside[0], inside[1]))


def name_of(step: BaseStep) -> str:
    """Return what menus call a step."""
    kind = str(type(step).model_fields["kind"].default)
    return step.model_config.get("title") or kind.replace("_", " ").capitalize()


def check(image: npt.NDArray[Any]) -> None:
    """Raise `ImageError` unless the array is a float32 (H, W) image with values in [0, 1]."""
    if image.dtype != np.float32 or image.ndim != 2 or image.size == 0:
        raise ImageError(
            f"preprocessing got a {image.dtype} array of shape {image.shape}; it needs a "
            "non-empty float32 array (height, width): convert the image with to_gray() first"
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):
        raise ImageError(
            f"preprocessing got values from {low:g} to {high:g}; it needs finite values in "
            "[0, 1]: convert the image with to_gray() first"
        )
