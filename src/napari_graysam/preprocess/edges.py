"""Steps that bring out edges, lines and fine detail."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_graysam.preprocess.base import (
    AMOUNT,
    PIXELS,
    BaseStep,
    Fitted,
    Image,
    Polarity,
    drawn,
    magnitude,
    robust_maximum,
)
from napari_graysam.preprocess.blur import blur, blur_halo, gaussian_blur, gaussian_halo
from napari_graysam.preprocess.measuring import Survey


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

    def _reach(self) -> int:
        return blur_halo(self.sigma)

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Return ``image + amount * (image - blurred)``.

        Assumes edges wider than the noise. Cost: one Gaussian blur and one weighted sum, O(HW).
        """
        import cv2

        smooth = blur(image, self.sigma, fitted)
        sharp: Image = cv2.addWeighted(image, 1 + self.amount, smooth, -self.amount, 0)
        return sharp


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

    derivative: ClassVar[tuple[str, float]]
    """OpenCV's derivative, and the factor that makes it a slope a pixel."""

    def _reach(self) -> int:
        return 1 + (blur_halo(self.sigma) if self.sigma > 0 else 0)

    def _survey(self) -> Survey:
        (edges,) = yield [self._edges]
        return (robust_maximum(edges),)

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Mix the gradient magnitude after a blur into the image.

        It is divided by its 99.5th percentile (see `robust_maximum`), so faint images show
        edges as clearly as bright ones; assumes that edges are stronger than noise. Cost: one
        blur, two small filters and a partial sort, O(HW).
        """
        full = None if fitted is None else fitted.values[0]
        return drawn(image, self._edges(image, fitted), self.amount, self.polarity, full)

    def _edges(self, image: Image, fitted: Fitted | None) -> Image:
        import cv2

        smooth = blur(image, self.sigma, fitted) if self.sigma > 0 else image
        name, scale = self.derivative
        across, down = (
            getattr(cv2, name)(
                smooth, cv2.CV_32F, dx, dy, scale=scale, borderType=cv2.BORDER_REFLECT
            )
            for dx, dy in ((1, 0), (0, 1))
        )
        return magnitude(across, down)


class Sobel(_Gradient):
    """Mix the edge strength after Sobel into the image."""

    kind: Literal["sobel"] = "sobel"
    derivative = ("Sobel", 1 / 4)


class Scharr(_Gradient):
    """Mix the edge strength after Scharr into the image: more even in all directions."""

    # Scharr (2000): a 3 × 3 kernel whose magnitude depends less on the edge's direction.
    kind: Literal["scharr"] = "scharr"
    derivative = ("Scharr", 1 / 16)


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

    def _reach(self) -> int:
        return gaussian_halo(self.sigma) + 1

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Subtract the scale-normalised Laplacian of Gaussian ``sigma² ∇²(G * image)``.

        Marr & Hildreth (1980), normalised after Lindeberg (1998). Assumes blobs or lines of one
        size. Cost: one Gaussian blur, O(HW sigma), and one small filter.
        """
        import cv2

        smooth = gaussian_blur(image, self.sigma, self.sigma)
        curvature = cv2.Laplacian(smooth, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REFLECT)
        factor = -self.amount * self.sigma**2
        sharp: Image = cv2.addWeighted(image, 1, curvature, factor, 0)
        return sharp
