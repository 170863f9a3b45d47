"""Steps that keep or boost detail of chosen sizes."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from napari_graysam.preprocess.base import (
    AMOUNT,
    PIXELS,
    BaseStep,
    Fitted,
    Image,
    blend,
    bounded,
    robust_maximum,
)
from napari_graysam.preprocess.blur import blur, blur_halo
from napari_graysam.preprocess.measuring import Survey, Whole


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

    def _reach(self) -> int:
        return max(blur_halo(self.sigma_low), blur_halo(self.sigma_high))

    def _survey(self) -> Survey:
        (strength,) = yield [lambda image, fitted: np.abs(self._band(image, fitted))]
        return (robust_maximum(strength),)

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Keep the band between two Gaussian blurs, around mid-grey.

        In the band-passed image 0.5 is no detail, and the 99.5th percentile of its strength is
        0 or 1. Marr & Hildreth (1980). Assumes objects between the two sizes. Cost: two
        Gaussian blurs and a partial sort, O(HW).
        """
        band = self._band(image, fitted)
        full = robust_maximum(Whole(np.abs(band))) if fitted is None else float(fitted.values[0])
        band *= np.float32(0.5 / full)
        band += np.float32(0.5)
        return blend(image, bounded(band), self.amount)

    def _band(self, image: Image, fitted: Fitted | None) -> Image:
        band = blur(image, self.sigma_low, fitted)
        band -= blur(image, self.sigma_high, fitted)
        return band


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

    def _reach(self) -> int:
        return max(map(blur_halo, self._sigmas))

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Amplify weak detail in every band between successive blurs.

        Each band d becomes ``d (1 + amount / (1 + |d| / limit))``: a Laplacian-pyramid boost
        (after Burt & Adelson, 1983) with a saturating gain. Assumes weak detail is signal
        rather than noise: denoise first. Cost: one blur and one rational function per scale.
        """
        result = image.copy()
        finer = image
        for sigma in self._sigmas:
            coarser = blur(image, sigma, fitted)
            detail = finer - coarser
            gain = np.abs(detail)
            gain *= np.float32(1 / self.limit)
            gain += np.float32(1)
            detail /= gain
            detail *= np.float32(self.amount)
            result += detail
            finer = coarser
        return result

    @property
    def _sigmas(self) -> list[float]:
        sigmas: list[float] = np.geomspace(self.sigma_min, self.sigma_max, self.scales).tolist()
        return sigmas
