"""Steps that remove noise."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from napari_graysam.preprocess.base import PIXELS, BaseStep, Fitted, Image
from napari_graysam.preprocess.blur import blur, blur_halo
from napari_graysam.preprocess.measuring import Survey


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

    def _reach(self) -> int:
        return blur_halo(self.sigma)

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Blur with a Gaussian.

        Assumes noise finer than the objects. Cost: one separable filter, O(HW sigma) up to
        sigma 8, and O(HW) above, where the image is blurred at reduced size.
        """
        return blur(image, self.sigma, fitted)


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

    def _reach(self) -> int:
        return self.radius

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Replace each pixel by the median of its square window; borders repeat.

        OpenCV's filter takes float32 only for radius 1 and 2; from 3 on it is SciPy's. Assumes
        impulse noise. Cost: less than a Gaussian blur for radius 1 and 2, then O(HW radius²):
        radius 3 takes about 500 times as long as radius 1.
        """
        size = 2 * self.radius + 1
        result: Image
        if self.radius <= 2:
            import cv2

            result = cv2.medianBlur(image, size)
        else:
            from scipy import ndimage

            result = ndimage.median_filter(image, size=size, mode="nearest")
        return result


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

    def _reach(self) -> int:
        return max(1, round(2 * self.sigma))

    def _survey(self) -> Survey:
        (gray,) = yield [lambda image, fitted: image]
        return gray.min(), gray.max()

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Smooth with weights that fall off with distance and with difference in grey value.

        Tomasi & Manduchi (1998), OpenCV's ``bilateralFilter`` in float32, which tabulates the
        weights between the lowest and the highest value. Assumes noise weaker than the edges.
        Cost: O(HW sigma²).
        """
        import cv2

        (height, width), added, around = image.shape, 0, cv2.BORDER_REFLECT
        if fitted is not None and fitted.shape != image.shape:
            added = self.halo
            image = cv2.copyMakeBorder(image, added, added + 2, added, added, around)
            # Out of reach: these pixels only set the table's range.
            image[-1, :2] = fitted.values
        diameter = 2 * self.halo + 1
        smooth: Image = cv2.bilateralFilter(
            image, diameter, sigmaColor=self.contrast, sigmaSpace=self.sigma, borderType=around
        )
        return smooth[added : added + height, added : added + width]


class NlMeans(BaseStep, title="Non-local means"):
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

    def _reach(self) -> int:
        return self.patch_radius + self.search_radius

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Average places whose surrounding patches look alike, at 16-bit precision.

        Buades, Coll & Morel (2005), OpenCV's ``fastNlMeansDenoising`` on uint16 with absolute
        differences; at a mean patch difference of `strength` the weight has fallen to 1/e.
        Assumes noise of even strength and repeating structure. Cost: O(HW search_radius²),
        independent of the patch size.
        """
        import cv2

        denoised = cv2.fastNlMeansDenoising(
            np.rint(image * np.float32(65535)).astype(np.uint16),
            h=[self.strength * 65535],
            templateWindowSize=2 * self.patch_radius + 1,
            searchWindowSize=2 * self.search_radius + 1,
            normType=cv2.NORM_L1,
        )
        result: Image = denoised.astype(np.float32) / np.float32(65535)
        return result


class TotalVariation(BaseStep):
    """Flatten regions to even gray and keep their outlines (total variation)."""

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
        description="Rounds of the solver. More is closer to the exact result and takes "
        "proportionally longer; 50 is enough up to a weight of about 0.1.",
    )

    def _reach(self) -> int:
        return self.iterations + 1

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Minimise ``TV(u) + |u - image|² / (2 weight)`` by projection of the dual field.

        Chambolle, "An algorithm for total variation minimization and applications" (2004),
        step 1/4. A disk of radius r loses 2 weight / r of contrast. Assumes piecewise constant
        objects. Cost: O(HW iterations), a round costs about two Gaussian blurs.
        """
        import cv2

        step, weight = np.float32(0.25), np.float32(self.weight)
        flow_x, flow_y, slope_x, slope_y = (np.zeros_like(image) for _ in range(4))
        potential, scale, square = (np.empty_like(image) for _ in range(3))
        goal = image / weight
        for _ in range(self.iterations):
            _divergence(flow_x, flow_y, out=potential)
            potential -= goal
            np.subtract(potential[:, 1:], potential[:, :-1], out=slope_x[:, :-1])
            np.subtract(potential[1:], potential[:-1], out=slope_y[:-1])
            np.multiply(slope_x, slope_x, out=scale)
            scale += np.multiply(slope_y, slope_y, out=square)
            np.sqrt(scale, out=scale)
            scale *= step
            scale += np.float32(1)
            for flow, slope in ((flow_x, slope_x), (flow_y, slope_y)):
                cv2.scaleAdd(slope, 0.25, flow, dst=flow)
                flow /= scale
        _divergence(flow_x, flow_y, out=potential)
        result: Image = image - weight * potential
        return result


def _divergence(flow_x: Image, flow_y: Image, *, out: Image) -> None:
    """Backward differences: the negative adjoint of forward differences with zero border."""
    np.add(flow_x, flow_y, out=out)
    out[:, 1:] -= flow_x[:, :-1]
    out[1:] -= flow_y[:-1]
