"""Steps that change grey values: global curves and local contrast normalisation."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from napari_graysam.preprocess.base import AMOUNT, PIXELS, BaseStep, Image, blend, blur, bounded

LEVELS = 65535
"""Highest grey level of the 16-bit histograms."""


class Rescale(BaseStep):
    """Stretch the grey values so that two percentiles become black and white."""

    kind: Literal["rescale"] = "rescale"
    low: float = Field(
        0.5,
        ge=0,
        lt=100,
        title="Black percentile",
        description="This share of the darkest pixels becomes black. Raise it to remove a "
        "dim background; too high swallows faint objects.",
        json_schema_extra={"unit": "%"},
    )
    high: float = Field(
        99.5,
        gt=0,
        le=100,
        title="White percentile",
        description="Pixels above this percentile become white. Lower it to brighten faint "
        "objects; too low makes bright objects lose their inner texture.",
        json_schema_extra={"unit": "%"},
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self

    def apply(self, image: Image) -> Image:
        """Return the stretched image; see `rescale`."""
        return rescale(image, low=self.low, high=self.high)


class Gamma(BaseStep):
    """Brighten (below 1) or darken (above 1) the middle grey values."""

    kind: Literal["gamma"] = "gamma"
    gamma: float = Field(
        0.5,
        ge=0.1,
        le=10,
        title="Gamma",
        description="Below 1 lifts faint objects out of the dark, above 1 darkens haze and "
        "background. 1 changes nothing; black and white stay where they are.",
    )

    def apply(self, image: Image) -> Image:
        """Return the image raised to the power gamma; see `gamma`."""
        return gamma(image, gamma=self.gamma)


class Log(BaseStep):
    """Compress bright values and lift dark ones along a logarithm."""

    kind: Literal["log"] = "log"
    gain: float = Field(
        10.0,
        ge=0.1,
        le=10000,
        title="Gain",
        description="How strongly dark values are lifted. Raise it when very bright objects "
        "hide faint ones; too high also lifts the camera noise.",
    )

    def apply(self, image: Image) -> Image:
        """Return the image on a logarithmic scale; see `log`."""
        return log(image, gain=self.gain)


class Sigmoid(BaseStep):
    """Steepen the contrast around one grey value and flatten it elsewhere."""

    kind: Literal["sigmoid"] = "sigmoid"
    cutoff: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Centre",
        description="Grey value (0 black, 1 white) where the contrast is raised most: put it "
        "between background and objects.",
    )
    gain: float = Field(
        10.0,
        ge=0.1,
        le=50,
        title="Steepness",
        description="How abruptly dark turns to bright at the centre. Low is nearly linear, "
        "high approaches a black-and-white threshold.",
    )

    def apply(self, image: Image) -> Image:
        """Return the image through a sigmoid curve; see `sigmoid`."""
        return sigmoid(image, cutoff=self.cutoff, gain=self.gain)


class Invert(BaseStep):
    """Swap dark and bright."""

    kind: Literal["invert"] = "invert"

    def apply(self, image: Image) -> Image:
        """Return the negative; see `invert`."""
        return invert(image)


class Equalize(BaseStep):
    """Spread the grey values so that all are equally frequent (whole image at once)."""

    kind: Literal["equalize"] = "equalize"
    amount: float = Field(1.0, ge=0, le=1, title="Amount", description=AMOUNT)

    def apply(self, image: Image) -> Image:
        """Return the histogram-equalised image; see `equalize`."""
        return equalize(image, amount=self.amount)


class Clahe(BaseStep):
    """Raise local contrast tile by tile, with a limit on how much noise is raised (CLAHE)."""

    kind: Literal["clahe"] = "clahe"
    clip_limit: float = Field(
        2.0,
        ge=1,
        le=100,
        title="Clip limit",
        description="Steepest contrast gain allowed, as a multiple of no change. 1 changes "
        "nothing; 2 to 4 brings out faint objects; higher also brings out noise.",
    )
    tile_size: int = Field(
        128,
        ge=8,
        le=4096,
        title="Tile size",
        description="Side of the square within which contrast is equalised. Two to four "
        "object diameters work well: smaller tiles follow uneven light more closely but "
        "amplify noise in empty areas.",
        json_schema_extra=PIXELS,
    )

    def apply(self, image: Image) -> Image:
        """Return the locally equalised image; see `clahe`."""
        return clahe(image, clip_limit=self.clip_limit, tile_size=self.tile_size)


class LocalNormalize(BaseStep):
    """Give every neighbourhood the same mean and the same contrast."""

    kind: Literal["local_normalize"] = "local_normalize"
    sigma: float = Field(
        25.0,
        ge=1,
        le=500,
        title="Neighbourhood",
        description="Width of the neighbourhood whose mean and contrast are evened out. Use "
        "at least one object diameter: smaller hollows objects out.",
        json_schema_extra=PIXELS,
    )
    noise_floor: float = Field(
        0.02,
        gt=0,
        le=1,
        title="Noise floor",
        description="Local contrast (standard deviation, full scale is 1) treated as noise. "
        "Raise it when empty background turns into texture; lower it for very faint objects.",
    )
    span: float = Field(
        3.0,
        ge=0.5,
        le=10,
        title="Span",
        description="Local standard deviations from mid-grey to black or white. Lower is more "
        "contrast and more saturation.",
    )

    def apply(self, image: Image) -> Image:
        """Return the locally normalised image; see `local_normalize`."""
        return local_normalize(
            image, sigma=self.sigma, noise_floor=self.noise_floor, span=self.span
        )


