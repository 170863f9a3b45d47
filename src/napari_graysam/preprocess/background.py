"""Steps that remove what varies more slowly than the objects do."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from napari_graysam.preprocess.base import PIXELS, BaseStep, Image, blur, bounded

BackgroundMethod = Literal["rolling_ball", "white_tophat", "black_tophat", "gaussian"]


class SubtractBackground(BaseStep):
    """Subtract a smooth background and keep what is smaller than the radius."""

    kind: Literal["subtract_background"] = "subtract_background"
    method: BackgroundMethod = Field(
        "rolling_ball",
        title="Method",
        description="rolling_ball: bright objects on an uneven background, the usual choice; "
        "white_tophat: keeps bright spots thinner than the radius, cuts larger ones; "
        "black_tophat: keeps dark spots and shows them bright; gaussian: subtracts a blurred "
        "copy, fast, but leaves dark rims around bright objects. For dark objects put an "
        "invert step before this one.",
    )
    radius: float = Field(
        50.0,
        ge=1,
        le=1000,
        title="Radius",
        description="Larger than the largest object's radius. Too small eats into objects, "
        "too large leaves background behind.",
        json_schema_extra=PIXELS,
    )

    def apply(self, image: Image) -> Image:
        """Return the image without its background; see `subtract_background`."""
        return subtract_background(image, method=self.method, radius=self.radius)


class FlattenIllumination(BaseStep):
    """Divide by a very smooth version of the image to even out the lighting."""

    kind: Literal["flatten_illumination"] = "flatten_illumination"
    sigma: float = Field(
        100.0,
        ge=5,
        le=2000,
        title="Scale",
        description="Width over which the lighting changes. Several object diameters: too "
        "small removes the objects' own brightness, too large leaves shading.",
        json_schema_extra=PIXELS,
    )
    max_gain: float = Field(
        4.0,
        ge=1,
        le=20,
        title="Highest gain",
        description="Most that a dark region is brightened. Raise it for strong vignetting; "
        "lower it when dark corners turn to noise.",
    )

    def apply(self, image: Image) -> Image:
        """Return the evenly lit image; see `flatten_illumination`."""
        return flatten_illumination(image, sigma=self.sigma, max_gain=self.max_gain)


