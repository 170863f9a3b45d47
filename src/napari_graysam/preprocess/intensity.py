"""Steps that change grey values: global curves and local contrast normalisation."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from napari_graysam.preprocess.base import PIXELS, BaseStep, Fitted, Image
from napari_graysam.preprocess.blur import blur, blur_halo
from napari_graysam.preprocess.measuring import Survey


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

    def _survey(self) -> Survey:
        (gray,) = yield [lambda image, fitted: image]
        return gray.percentile(self.low), gray.percentile(self.high)

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Map both percentiles to 0 and 1; nothing where they coincide.

        Assumes that the percentiles are not objects: in a nearly empty image the `high`
        percentile may be background. Cost: one partial sort, O(HW).
        """
        bottom, top = (self.fit(image) if fitted is None else fitted).values
        if top <= bottom:
            return image
        stretched = image - np.float32(bottom)
        stretched /= np.float32(top - bottom)
        return stretched


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

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Raise to a power. Cost: one power per pixel, O(HW)."""
        import cv2

        curve: Image = cv2.pow(image, self.gamma)
        return curve


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

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Return ``log(1 + gain * image) / log(1 + gain)``, which keeps 0 and 1.

        Cost: one logarithm per pixel, O(HW).
        """
        import cv2

        curve: Image = cv2.log(np.float32(1) + np.float32(self.gain) * image)
        curve *= np.float32(1 / np.log1p(self.gain))
        return curve


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

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Return ``1 / (1 + exp(gain * (cutoff - image)))``, stretched to keep 0 and 1.

        The curve of Braun & Fairchild, "Image lightness rescaling using sigmoidal contrast
        enhancement functions" (1999). Cost: one exponential per pixel, O(HW).
        """
        import cv2

        black, white = 1 / (1 + np.exp(self.gain * (self.cutoff - np.array([0.0, 1.0]))))
        curve: Image = cv2.exp(np.float32(self.gain) * (np.float32(self.cutoff) - image))
        curve += np.float32(1)
        np.reciprocal(curve, out=curve)
        curve -= np.float32(black)
        curve /= np.float32(white - black)
        return curve


class Invert(BaseStep):
    """Swap dark and bright."""

    kind: Literal["invert"] = "invert"

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        return np.float32(1) - image


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
        ge=0.001,
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

    def _reach(self) -> int:
        return 2 * blur_halo(self.sigma)

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Subtract the local mean and divide by the local standard deviation.

        The noise floor is added in quadrature, so that flat areas stay flat; a constant image
        becomes 0.5. Assumes that contrast carries the objects and absolute brightness does not.
        Cost: two wide Gaussian blurs, O(HW) whatever `sigma` is.
        """
        import cv2

        deviation = image - blur(image, self.sigma, fitted)
        variance = blur(deviation * deviation, self.sigma, fitted)
        variance += np.float32(self.noise_floor**2)
        deviation /= cv2.sqrt(variance)
        deviation *= np.float32(0.5 / self.span)
        deviation += np.float32(0.5)
        return deviation
