"""Steps that remove noise."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from napari_graysam.preprocess.base import PIXELS, BaseStep, Image, blur, bounded


class Gaussian(BaseStep):
    """Blur: the fastest noise removal, softens edges too."""

    kind: Literal["gaussian"] = "gaussian"
    sigma: float = Field(
        1.0,
        ge=0.1,
        le=100,
        title="Sigma",
        description="Width of the blur. 1 to 2 removes camera noise; more merges objects that "
        "touch.",
        json_schema_extra=PIXELS,
    )

    def apply(self, image: Image) -> Image:
        """Return the blurred image; see `gaussian`."""
        return gaussian(image, sigma=self.sigma)


class Median(BaseStep):
    """Replace each pixel by its neighbourhood's median: removes specks, keeps edges."""

    kind: Literal["median"] = "median"
    radius: int = Field(
        1,
        ge=1,
        le=7,
        title="Radius",
        description="The window is 2 × radius + 1 pixels wide. Specks smaller than half of it "
        "vanish, thin lines too. 1 and 2 are fast; from 3 on the time grows with the area.",
        json_schema_extra=PIXELS,
    )

    def apply(self, image: Image) -> Image:
        """Return the median-filtered image; see `median`."""
        return median(image, radius=self.radius)


class Bilateral(BaseStep):
    """Smooth within regions of similar brightness and leave edges sharp."""

    kind: Literal["bilateral"] = "bilateral"
    sigma: float = Field(
        2.0,
        ge=0.5,
        le=15,
        title="Sigma",
        description="Reach of the smoothing. The time grows with its square.",
        json_schema_extra=PIXELS,
    )
    contrast: float = Field(
        0.1,
        gt=0,
        le=1,
        title="Edge contrast",
        description="Brightness steps larger than this (full scale is 1) are kept as edges. "
        "Raise it to smooth more, lower it to keep fainter edges.",
    )

    def apply(self, image: Image) -> Image:
        """Return the edge-preserving smoothed image; see `bilateral`."""
        return bilateral(image, sigma=self.sigma, contrast=self.contrast)


class NlMeans(BaseStep):
    """Average each pixel with similar-looking places nearby (non-local means)."""

    kind: Literal["nl_means"] = "nl_means"
    strength: float = Field(
        0.05,
        gt=0,
        le=1,
        title="Strength",
        description="About the noise's standard deviation (full scale is 1). Higher removes "
        "more noise and faint texture with it.",
    )
    patch_radius: int = Field(
        2,
        ge=1,
        le=5,
        title="Patch radius",
        description="Size of the pieces that are compared. Larger is more certain but misses "
        "fine detail.",
        json_schema_extra=PIXELS,
    )
    search_radius: int = Field(
        5,
        ge=1,
        le=15,
        title="Search radius",
        description="How far similar pieces are looked for. The time grows with its square.",
        json_schema_extra=PIXELS,
    )

    def apply(self, image: Image) -> Image:
        """Return the denoised image; see `nl_means`."""
        return nl_means(
            image,
            strength=self.strength,
            patch_radius=self.patch_radius,
            search_radius=self.search_radius,
        )


class TotalVariation(BaseStep):
    """Flatten regions to even grey and keep their outlines (total variation)."""

    kind: Literal["total_variation"] = "total_variation"
    weight: float = Field(
        0.05,
        gt=0,
        le=2,
        title="Weight",
        description="Higher gives flatter regions with fewer details; 0.02 to 0.2 is usual.",
    )
    iterations: int = Field(
        50,
        ge=1,
        le=500,
        title="Iterations",
        description="Most rounds of the solver. More is closer to the exact result and takes "
        "proportionally longer; it stops early once nothing changes.",
    )

    def apply(self, image: Image) -> Image:
        """Return the piecewise smooth image; see `total_variation`."""
        return total_variation(image, weight=self.weight, iterations=self.iterations)


