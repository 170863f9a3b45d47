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

    def apply(self, image: Image) -> Image:
        """Return the denoised image; see `nl_means`."""
        return nl_means(
            image,
            strength=self.strength,
            patch_radius=self.patch_radius,
            search_radius=self.search_radius,
        )


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

    def apply(self, image: Image) -> Image:
        """Return the piecewise smooth image; see `total_variation`."""
        return total_variation(image, weight=self.weight, iterations=self.iterations)


def gaussian(image: Image, *, sigma: float) -> Image:
    """Blur with a Gaussian; float32 (H, W) in [0, 1], sigma in pixels.

    Notes
    -----
    Assumes noise finer than the objects. Cost: one separable filter, O(HW sigma) up to
    sigma 8, and O(HW) above, where the image is blurred at reduced size.
    """
    return bounded(blur(image, sigma))


def median(image: Image, *, radius: int) -> Image:
    """Replace each pixel by the median of its square window of 2 * radius + 1 pixels.

    Notes
    -----
    float32 (H, W) in [0, 1]; borders repeat the outermost pixel. OpenCV's filter takes
    float32 only for radius 1 and 2; from 3 on it is SciPy's. Assumes impulse noise. Cost:
    less than a Gaussian blur for radius 1 and 2, then O(HW radius²): radius 3 takes
    about 500 times as long as radius 1.
    """
    if radius <= 2:
        import cv2

        return bounded(cv2.medianBlur(np.ascontiguousarray(image), 2 * radius + 1))
    from scipy import ndimage

    return bounded(ndimage.median_filter(image, size=2 * radius + 1, mode="nearest"))


def bilateral(image: Image, *, sigma: float, contrast: float) -> Image:
    """Smooth with weights that fall off with distance and with difference in grey value.

    Parameters
    ----------
    image
        float32, (H, W), values in [0, 1].
    sigma
        Spatial standard deviation, pixels; the window reaches 2 sigma.
    contrast
        Standard deviation over grey values.

    Returns
    -------
    Image
        float32, (H, W), values in [0, 1].

    Notes
    -----
    Tomasi & Manduchi (1998), OpenCV's ``bilateralFilter`` in float32. Assumes noise weaker
    than the edges. Cost: O(HW sigma²).
    """
    import cv2

    window = 2 * max(1, round(2 * sigma)) + 1
    return bounded(
        cv2.bilateralFilter(
            np.ascontiguousarray(image),
            window,
            sigmaColor=contrast,
            sigmaSpace=sigma,
            borderType=cv2.BORDER_REFLECT,
        )
    )


def nl_means(image: Image, *, strength: float, patch_radius: int, search_radius: int) -> Image:
    """Average places whose surrounding patches look alike.

    Parameters
    ----------
    image
        float32, (H, W), values in [0, 1].
    strength
        Mean absolute patch difference at which the weight has fallen to 1/e.
    patch_radius, search_radius
        Half sizes of the compared patches and of the searched window, pixels.

    Returns
    -------
    Image
        float32, (H, W), values in [0, 1], at 16-bit precision.

    Notes
    -----
    Buades, Coll & Morel (2005), OpenCV's ``fastNlMeansDenoising`` on uint16 with absolute
    differences. Assumes noise of even strength and repeating structure. Cost:
    O(HW search_radius²), independent of the patch size.
    """
    import cv2

    grey = np.rint(image * np.float32(65535)).astype(np.uint16)
    denoised = cv2.fastNlMeansDenoising(
        grey,
        h=[strength * 65535],
        templateWindowSize=2 * patch_radius + 1,
        searchWindowSize=2 * search_radius + 1,
        normType=cv2.NORM_L1,
    )
    return bounded(denoised.astype(np.float32) / np.float32(65535))


def total_variation(image: Image, *, weight: float, iterations: int) -> Image:
    """Minimise ``TV(u) + |u - image|² / (2 weight)`` by projection of the dual field.

    Parameters
    ----------
    image
        float32, (H, W), values in [0, 1].
    weight
        Weight of the total variation; a disk of radius r loses 2 weight / r of contrast.
    iterations
        Fixed number of projection rounds.

    Returns
    -------
    Image
        float32, (H, W), values in [0, 1].

    Notes
    -----
    Chambolle, "An algorithm for total variation minimization and applications" (2004),
    step 1/4. Assumes piecewise constant objects. Cost: O(HW iterations), a round costs
    about two Gaussian blurs.
    """
    import cv2

    image = np.ascontiguousarray(image)
    step = np.float32(0.25)
    flow_x, flow_y = np.zeros_like(image), np.zeros_like(image)
    slope_x, slope_y = np.zeros_like(image), np.zeros_like(image)
    goal = image / np.float32(weight)
    potential, scale, square = (np.empty_like(image) for _ in range(3))
    for _ in range(iterations):
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
    return bounded(image - np.float32(weight) * potential)


def _divergence(flow_x: Image, flow_y: Image, *, out: Image) -> None:
    """Backward differences: the negative adjoint of forward differences with zero border."""
    np.add(flow_x, flow_y, out=out)
    out[:, 1:] -= flow_x[:, :-1]
    out[1:] -= flow_y[:-1]
