"""Steps that bring out edges, lines and fine detail."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from napari_graysam.preprocess.base import (
    AMOUNT,
    PIXELS,
    BaseStep,
    Image,
    blend,
    blur,
    bounded,
    robust_maximum,
)

Polarity = Literal["bright", "dark"]


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

    def apply(self, image: Image) -> Image:
        """Return the sharpened image; see `unsharp`."""
        return unsharp(image, sigma=self.sigma, amount=self.amount)


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


class Sobel(_Gradient):
    """Mix the edge strength after Sobel into the image."""

    kind: Literal["sobel"] = "sobel"

    def apply(self, image: Image) -> Image:
        """Return the image with its edges drawn in; see `sobel`."""
        return sobel(image, sigma=self.sigma, amount=self.amount, polarity=self.polarity)


class Scharr(_Gradient):
    """Mix the edge strength after Scharr into the image: more even in all directions."""

    kind: Literal["scharr"] = "scharr"

    def apply(self, image: Image) -> Image:
        """Return the image with its edges drawn in; see `scharr`."""
        return scharr(image, sigma=self.sigma, amount=self.amount, polarity=self.polarity)


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

    def apply(self, image: Image) -> Image:
        """Return the sharpened image; see `laplacian`."""
        return laplacian(image, sigma=self.sigma, amount=self.amount)


class DifferenceOfGaussians(BaseStep):
    """Keep only detail between two sizes: removes noise and background at once."""

    kind: Literal["difference_of_gaussians"] = "difference_of_gaussians"
    sigma_low: float = Field(
        1.0,
        ge=0.3,
        le=100,
        title="Fine sigma",
        description="Detail finer than this is treated as noise and blurred away.",
        json_schema_extra=PIXELS,
    )
    sigma_high: float = Field(
        15.0,
        ge=0.5,
        le=500,
        title="Coarse sigma",
        description="Structure coarser than this is treated as background and removed. Use at "
        "least one object radius.",
        json_schema_extra=PIXELS,
    )
    amount: float = Field(
        1.0, ge=0, le=1, title="Amount", description=AMOUNT + " At 1 mid-grey is background."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sigma_low >= self.sigma_high:
            raise ValueError(
                f"sigma_low ({self.sigma_low:g}) must be below sigma_high ({self.sigma_high:g})"
            )
        return self

    def apply(self, image: Image) -> Image:
        """Return the band-passed image; see `difference_of_gaussians`."""
        return difference_of_gaussians(
            image, sigma_low=self.sigma_low, sigma_high=self.sigma_high, amount=self.amount
        )


class Ridges(BaseStep):
    """Bring out thin lines such as membranes, walls and fibres."""

    kind: Literal["ridges"] = "ridges"
    method: Literal["frangi", "sato"] = Field(
        "sato",
        title="Method",
        description="sato: keeps faint and branching lines, right for membranes; frangi: "
        "stricter, suppresses blobs and leaves gaps at junctions, right for fibres.",
    )
    polarity: Polarity = Field(
        "bright",
        title="Lines are",
        description="bright lines on dark (fluorescent membranes) or dark lines on bright "
        "(electron microscopy). They keep that polarity in the result.",
    )
    sigma_min: float = Field(
        1.0,
        ge=0.5,
        le=50,
        title="Thinnest",
        description="Half the width of the thinnest line.",
        json_schema_extra=PIXELS,
    )
    sigma_max: float = Field(
        3.0,
        ge=0.5,
        le=50,
        title="Thickest",
        description="Half the width of the thickest line.",
        json_schema_extra=PIXELS,
    )
    scales: int = Field(
        3,
        ge=1,
        le=10,
        title="Scales",
        description="Line widths tried between thinnest and thickest. The time is proportional.",
    )
    amount: float = Field(
        0.5, ge=0, le=1, title="Amount", description=AMOUNT + " At 1 only the lines remain."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sigma_min > self.sigma_max:
            raise ValueError(
                f"sigma_min ({self.sigma_min:g}) must not exceed sigma_max ({self.sigma_max:g})"
            )
        return self

    def apply(self, image: Image) -> Image:
        """Return the image with its lines brought out; see `ridges`."""
        return ridges(
            image,
            method=self.method,
            polarity=self.polarity,
            sigmas=tuple(np.geomspace(self.sigma_min, self.sigma_max, self.scales).tolist()),
            amount=self.amount,
        )


class LocalContrast(BaseStep):
    """Boost weak detail at several sizes at once and leave strong edges alone."""

    kind: Literal["local_contrast"] = "local_contrast"
    sigma_min: float = Field(
        1.0,
        ge=0.3,
        le=100,
        title="Finest",
        description="Size of the finest detail that is boosted. Raise it to leave noise alone.",
        json_schema_extra=PIXELS,
    )
    sigma_max: float = Field(
        16.0,
        ge=0.5,
        le=500,
        title="Coarsest",
        description="Size of the coarsest detail that is boosted: about an object's radius.",
        json_schema_extra=PIXELS,
    )
    scales: int = Field(
        3,
        ge=1,
        le=8,
        title="Scales",
        description="Sizes between finest and coarsest. The time is proportional.",
    )
    amount: float = Field(
        1.5,
        ge=0,
        le=10,
        title="Amount",
        description="How much weak detail grows: 1 doubles it.",
    )
    limit: float = Field(
        0.1,
        gt=0,
        le=1,
        title="Weak means below",
        description="Contrast (full scale is 1) from which detail counts as strong and is "
        "boosted only half as much. Lower avoids halos around bright objects.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sigma_min > self.sigma_max:
            raise ValueError(
                f"sigma_min ({self.sigma_min:g}) must not exceed sigma_max ({self.sigma_max:g})"
            )
        return self

    def apply(self, image: Image) -> Image:
        """Return the image with its detail boosted; see `local_contrast`."""
        return local_contrast(
            image,
            sigmas=tuple(np.geomspace(self.sigma_min, self.sigma_max, self.scales).tolist()),
            amount=self.amount,
            limit=self.limit,
        )


