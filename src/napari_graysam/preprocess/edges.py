"""Steps that bring out edges, lines and fine detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from napari_graysam.preprocess.base import (
    AMOUNT,
    PIXELS,
    BaseStep,
    Fitted,
    Image,
    Polarity,
    bounded,
    drawn,
    magnitude,
    robust_maximum,
)
from napari_graysam.preprocess.blur import blur, blur_halo, gaussian_blur, gaussian_halo

_SOBEL = ("Sobel", 1 / 4)
_SCHARR = ("Scharr", 1 / 16)
"""OpenCV's derivative, and the factor that makes it a slope a pixel."""


class Unsharp(BaseStep):
    """Sharpen by adding what a blur takes away (unsharp mask)."""

    kind: Literal["unsharp"] = "unsharp"
    sigma: float = Field(
        2.0,
        ge=0.3,
        le=200,
        title="Sigma",
        description="Size of the detail to bring out. About the width of a blurred edge; large "
        "values raise the contrast of whole objects.",
        json_schema_extra=PIXELS,
    )
    amount: float = Field(
        1.0,
        ge=0,
        le=10,
        title="Amount",
        description="How much detail is added. Above 2 noise and halos become visible.",
    )

    @property
    def halo(self) -> int:
        """Pixels around a tile that decide what it becomes."""
        return blur_halo(self.sigma)

    def apply(self, image: Image, fitted: Fitted | None = None) -> Image:
        """Return the sharpened image; see `unsharp`."""
        return unsharp(image, sigma=self.sigma, amount=self.amount, fitted=fitted)


class _Gradient(BaseStep):
    """Mix the edge strength (gradient magnitude) into the image."""

    sigma: float = Field(
        1.0,
        ge=0,
        le=20,
        title="Smoothing",
        description="Blur before edges are measured. Raise it when noise shows up as edges.",
        json_schema_extra=PIXELS,
    )
    amount: float = Field(
        0.5, ge=0, le=1, title="Amount", description=AMOUNT + " At 1 only the edges remain."
    )
    polarity: Polarity = Field(
        "bright",
        title="Edges are drawn",
        description="bright lines, or dark lines, which separate bright objects that touch.",
    )

    @property
    def halo(self) -> int:
        """Pixels around a tile that decide what it becomes."""
        return 1 + (blur_halo(self.sigma) if self.sigma > 0 else 0)


class Sobel(_Gradient):
    """Mix the edge strength after Sobel into the image."""

    kind: Literal["sobel"] = "sobel"

    def _statistics(self, image: Image) -> Sequence[float]:
        return (robust_maximum(_edges(image, *_SOBEL, self.sigma, None)),)

    def apply(self, image: Image, fitted: Fitted | None = None) -> Image:
        """Return the image with its edges drawn in; see `sobel`."""
        return sobel(
            image, sigma=self.sigma, amount=self.amount, polarity=self.polarity, fitted=fitted
        )


class Scharr(_Gradient):
    """Mix the edge strength after Scharr into the image: more even in all directions."""

    kind: Literal["scharr"] = "scharr"

    def _statistics(self, image: Image) -> Sequence[float]:
        return (robust_maximum(_edges(image, *_SCHARR, self.sigma, None)),)

    def apply(self, image: Image, fitted: Fitted | None = None) -> Image:
        """Return the image with its edges drawn in; see `scharr`."""
        return scharr(
            image, sigma=self.sigma, amount=self.amount, polarity=self.polarity, fitted=fitted
        )


class Laplacian(BaseStep):
    """Sharpen by subtracting the Laplacian of Gaussian: lifts blobs and thin lines."""

    kind: Literal["laplacian"] = "laplacian"
    sigma: float = Field(
        1.5,
        ge=0.3,
        le=50,
        title="Sigma",
        description="Size of the detail: about a blob's radius divided by 1.4.",
        json_schema_extra=PIXELS,
    )
    amount: float = Field(
        1.0,
        ge=0,
        le=10,
        title="Amount",
        description="How much detail is added. Above 2 noise becomes visible.",
    )

    @property
    def halo(self) -> int:
        """Pixels around a tile that decide what it becomes."""
        return gaussian_halo(self.sigma) + 1

    def apply(self, image: Image, fitted: Fitted | None = None) -> Image:
        """Return the sharpened image; see `laplacian`."""
        return laplacian(image, sigma=self.sigma, amount=self.amount)


def unsharp(image: Image, *, sigma: float, amount: float, fitted: Fitted | None = None) -> Image:
    """Return ``image + amount * (image - blurred)``; float32 (H, W), sigma in pixels.

    Notes
    -----
    Assumes edges wider than the noise. Cost: one Gaussian blur and one weighted sum, O(HW).
    """
    import cv2

    image = np.ascontiguousarray(image)
    return bounded(cv2.addWeighted(image, 1 + amount, blur(image, sigma, fitted), -amount, 0))


def sobel(
    image: Image,
    *,
    sigma: float,
    amount: float,
    polarity: Polarity,
    fitted: Fitted | None = None,
) -> Image:
    """Mix the Sobel gradient magnitude into the image.

    Parameters
    ----------
    image
        float32, (H, W), values in [0, 1].
    sigma
        Gaussian blur before the gradient, pixels; 0 for none.
    amount
        Share of the edge image in the result.
    polarity
        Whether edges are drawn ``bright`` on black or ``dark`` on white.
    fitted
        The `robust_maximum` of the whole image's magnitude.

    Returns
    -------
    Image
        float32, (H, W), values in [0, 1].

    Notes
    -----
    The magnitude is divided by its 99.5th percentile (see `robust_maximum`), so faint
    images show edges as clearly as bright ones; assumes that edges are stronger than noise.
    Cost: one blur, two small filters and a partial sort, O(HW).
    """
    edges = _edges(image, *_SOBEL, sigma, fitted)
    return drawn(image, edges, amount, polarity, None if fitted is None else fitted.values[0])


def scharr(
    image: Image,
    *,
    sigma: float,
    amount: float,
    polarity: Polarity,
    fitted: Fitted | None = None,
) -> Image:
    """Mix the Scharr gradient magnitude into the image; parameters as for `sobel`.

    Notes
    -----
    Scharr (2000): a 3 × 3 kernel whose magnitude depends less on the edge's direction.
    Assumption and cost as for `sobel`.
    """
    edges = _edges(image, *_SCHARR, sigma, fitted)
    return drawn(image, edges, amount, polarity, None if fitted is None else fitted.values[0])


def laplacian(image: Image, *, sigma: float, amount: float) -> Image:
    """Subtract the scale-normalised Laplacian of Gaussian ``sigma² ∇²(G * image)``.

    Notes
    -----
    float32 (H, W) in [0, 1], sigma in pixels. Marr & Hildreth (1980), normalised after
    Lindeberg (1998). Assumes blobs or lines of one size. Cost: one Gaussian blur,
    O(HW sigma), and one small filter.
    """
    import cv2

    image = np.ascontiguousarray(image)
    smooth = gaussian_blur(image, sigma, sigma)
    curvature = cv2.Laplacian(smooth, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REFLECT)
    return bounded(cv2.addWeighted(image, 1, curvature, -amount * sigma**2, 0))


def _edges(
    image: Image, derivative: str, scale: float, sigma: float, fitted: Fitted | None
) -> Image:
    """Return the gradient magnitude after a blur, by one of OpenCV's derivatives."""
    import cv2

    image = np.ascontiguousarray(image)
    smooth = blur(image, sigma, fitted) if sigma > 0 else image
    across, down = (
        getattr(cv2, derivative)(
            smooth, cv2.CV_32F, dx, dy, scale=scale, borderType=cv2.BORDER_REFLECT
        )
        for dx, dy in ((1, 0), (0, 1))
    )
    return magnitude(across, down)
