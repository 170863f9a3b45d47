"""What every preprocessing step shares, and the chain that applies them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from napari_graysam.errors import ImageError
from napari_graysam.parameters import Part

Image: TypeAlias = npt.NDArray[np.float32]
"""A grayscale image: float32, (H, W), values in [0, 1]."""

Polarity: TypeAlias = Literal["bright", "dark"]
"""Whether lines are bright on dark or dark on bright."""

PIXELS: dict[str, Any] = {"unit": "px"}
"""Schema entry of a field that is measured in image pixels."""

AMOUNT = "How much of the effect is mixed into the image: 0 changes nothing, 1 is the full effect."


class BaseStep(Part):
    """One step of a preprocessing chain: its parameters and what it does to an image."""

    enabled: bool = Field(
        True, title="Enabled", description="Off: the step stays in the recipe but does nothing."
    )

    @abstractmethod
    def apply(self, image: Image) -> Image:
        """Return the processed image; the input is left as it was.

        Parameters
        ----------
        image
            float32, (H, W), values in [0, 1].

        Returns
        -------
        Image
            A float32 array of the same shape, C-contiguous, values in [0, 1].
        """


def apply(image: Image, steps: Iterable[BaseStep]) -> Image:
    """Apply the enabled steps in order.

    Parameters
    ----------
    image
        float32, (H, W), finite values in [0, 1]; never modified.
    steps
        Step models such as `Clahe()`; disabled ones are skipped.

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
    """
    check(image)
    result: Image = np.ascontiguousarray(image)
    for step in steps:
        if step.enabled:
            result = step.apply(result)
    return result


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


def bounded(result: npt.NDArray[Any]) -> Image:
    """Return a fresh result as C-contiguous float32 clipped to [0, 1], in place if possible."""
    image: Image = np.ascontiguousarray(result, dtype=np.float32)
    np.clip(image, 0, 1, out=image)
    return image


def blend(image: Image, effect: Image, amount: float) -> Image:
    """Return ``(1 - amount) * image + amount * effect``, clipped; both (H, W) in [0, 1]."""
    import cv2

    return bounded(cv2.addWeighted(image, 1 - amount, effect, amount, 0))


def magnitude(across: Image, down: Image) -> Image:
    """Return ``sqrt(across² + down²)``, (H, W).

    OpenCV's ``magnitude`` differs in the last bit with the arrays' memory alignment.
    """
    squared = across * across
    squared += down * down
    length: Image = np.sqrt(squared, out=squared)
    return length


def robust_maximum(strength: Image) -> float:
    """Return the 99.5th percentile of a non-negative (H, W) array, within two floors.

    A tenth of the maximum, so that a few lines on an empty image are not blown up to
    white; and 0.001, so that rounding noise of a constant image is not.
    """
    return max(float(np.percentile(strength, 99.5)), float(strength.max()) / 10, 1e-3)


def drawn(image: Image, strength: Image, amount: float, polarity: Polarity) -> Image:
    """Mix lines into an image.

    Parameters
    ----------
    image
        float32, (H, W), values in [0, 1].
    strength
        float32, (H, W), non-negative; its `robust_maximum` is a line at full strength.
    amount
        Share of the line image in the result.
    polarity
        ``bright``: lines are white on black; ``dark``: black on white.
    """
    lines = bounded(strength / np.float32(robust_maximum(strength)))
    if polarity == "dark":
        lines = np.float32(1) - lines
    return blend(image, lines, amount)


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur of an (H, W) float32 image with reflected borders; sigma in pixels.

    Above sigma 8 the image is first shrunk by area averaging so that sigma becomes about
    4, and enlarged by linear interpolation afterwards: the cost no longer grows with
    sigma. The widths of both interpolation kernels are taken off sigma (variances add).
    """
    import cv2

    image = np.ascontiguousarray(image)
    height, width = image.shape
    factor = int(sigma // 4) if sigma > 8 else 1
    if factor == 1:
        return gaussian_blur(image, sigma, sigma)
    small_size = (-(-width // factor), -(-height // factor))
    scale_x, scale_y = width / small_size[0], height / small_size[1]
    small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
    small = gaussian_blur(small, _shrunk_sigma(sigma, scale_x), _shrunk_sigma(sigma, scale_y))
    enlarged: Image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return enlarged


def gaussian_blur(image: Image, sigma_x: float, sigma_y: float) -> Image:
    """Blur with kernels cut at 4 sigma; a kernel wider than the image reflects repeatedly."""
    import cv2

    size = (2 * int(4 * sigma_x + 0.5) + 1, 2 * int(4 * sigma_y + 0.5) + 1)
    blurred: Image = cv2.GaussianBlur(
        image, size, sigmaX=sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REFLECT
    )
    return blurred.reshape(image.shape)


def _shrunk_sigma(sigma: float, scale: float) -> float:
    """Sigma left to apply at the shrunk scale: a box adds scale²/12, a triangle scale²/6."""
    return float(np.sqrt(sigma**2 - scale**2 / 4) / scale)
