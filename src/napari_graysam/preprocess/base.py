"""What every preprocessing step shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from napari_graysam.parameters import Part
from napari_graysam.preprocess.measuring import (
    Block,
    Measured,
    Survey,
    Whole,
    answer,
    of_blocks,
    of_image,
)

Image: TypeAlias = npt.NDArray[np.float32]
"""A grayscale image: float32, (H, W), values in [0, 1]."""

Polarity: TypeAlias = Literal["bright", "dark"]
"""Whether lines are bright on dark or dark on bright."""

PIXELS: dict[str, Any] = {"unit": "px"}
"""Schema entry of a field that is measured in image pixels."""

AMOUNT = "How much of the effect is mixed into the image: 0 changes nothing, 1 is the full effect."


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a step takes from a whole image, so that a tile of it sees what the whole would.

    Plain data: it can be stored, or sent to another process.

    Attributes
    ----------
    shape
        (H, W) of the whole image.
    values
        float64, statistics of the whole image, in the step's own order; empty where it needs
        none.
    origin
        Row and column of the whole image where the pixels at hand begin.
    """

    shape: tuple[int, int]
    values: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    origin: tuple[int, int] = (0, 0)

    def at(self, origin: tuple[int, int]) -> Self:
        """Return the same for pixels that begin elsewhere."""
        return replace(self, origin=origin)


class BaseStep(Part):
    """One step of a preprocessing chain: its parameters and what it does to an image."""

    enabled: bool = Field(
        True, title="Enabled", description="Off: the step stays in the recipe but does nothing."
    )

    @property
    def halo(self) -> int:
        """Pixels around a tile that decide what it becomes, besides what `fit` takes."""
        return self._reach()

    def fit(self, image: Image) -> Fitted:
        """Take from a whole image what its tiles need to know of it.

        Parameters
        ----------
        image
            float32, (H, W), values in [0, 1].
        """
        statistics = answer(self._survey(), of_image(np.ascontiguousarray(image)))
        return Fitted((image.shape[0], image.shape[1]), np.array(statistics, float))

    def fit_blocks(self, shape: tuple[int, int], blocks: Callable[[], Iterable[Block]]) -> Fitted:
        """Do as `fit` for an image that comes block by block, to the rounding of percentiles.

        Parameters
        ----------
        shape
            (H, W) of the whole image.
        blocks
            Yields all its blocks, each with the step's `halo`; called once for every round of
            measuring, and not at all where the step needs no statistics.
        """
        return Fitted(shape, np.array(answer(self._survey(), of_blocks(blocks)), float))

    def apply(self, image: Image, fitted: Fitted | None = None) -> Image:
        """Return the processed image; the input is left as it was.

        Parameters
        ----------
        image
            float32, (H, W), values in [0, 1].
        fitted
            Of `fit` for the image that this is a tile of, at the tile's origin. What lies
            further than `halo` from the tile's inner edges is as in the whole image's result,
            to float rounding. If omitted, this is the whole image.

        Returns
        -------
        Image
            A float32 array of the same shape, C-contiguous, values in [0, 1].
        """
        result = self._apply(np.ascontiguousarray(image), fitted)
        return bounded(result.copy() if np.may_share_memory(result, image) else result)

    def _reach(self) -> int:
        """Return the `halo`."""
        return 0

    def _survey(self) -> Survey:
        """Ask for what `apply` takes from a whole image, and return those numbers."""
        yield from ()
        return ()

    @abstractmethod
    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Return what becomes of a C-contiguous image: a new array of any values, or itself."""


def bounded(result: npt.NDArray[Any]) -> Image:
    """Return a fresh result as C-contiguous float32 clipped to [0, 1], in place if possible."""
    image: Image = np.ascontiguousarray(result, dtype=np.float32)
    np.clip(image, 0, 1, out=image)
    return image


def blend(image: Image, effect: Image, amount: float) -> Image:
    """Return ``(1 - amount) * image + amount * effect``; both (H, W) in [0, 1]."""
    import cv2

    mixed: Image = cv2.addWeighted(image, 1 - amount, effect, amount, 0)
    return mixed


def magnitude(across: Image, down: Image) -> Image:
    """Return ``sqrt(across² + down²)``, (H, W).

    OpenCV's ``magnitude`` differs in the last bit with the arrays' memory alignment.
    """
    squared = across * across
    squared += down * down
    length: Image = np.sqrt(squared, out=squared)
    return length


def robust_maximum(strength: Measured) -> float:
    """Return the 99.5th percentile of non-negative values, within two floors.

    A tenth of the maximum, so that a few lines on an empty image are not blown up to
    white; and 0.001, so that rounding noise of a constant image is not.
    """
    return max(strength.percentile(99.5), strength.max() / 10, 1e-3)


def drawn(
    image: Image, strength: Image, amount: float, polarity: Polarity, full: float | None
) -> Image:
    """Mix lines into an image.

    Parameters
    ----------
    image
        float32, (H, W), values in [0, 1].
    strength
        float32, (H, W), non-negative.
    amount
        Share of the line image in the result.
    polarity
        ``bright``: lines are white on black; ``dark``: black on white.
    full
        What is a line at full strength; the `robust_maximum` of ``strength`` if None.
    """
    lines = bounded(
        strength / np.float32(robust_maximum(Whole(strength)) if full is None else full)
    )
    if polarity == "dark":
        lines = np.float32(1) - lines
    return blend(image, lines, amount)
