"""Steps that remove noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from napari_graysam.preprocess.base import PIXELS, BaseStep, Fitted, Image, bounded
from napari_graysam.preprocess.blur import blur, blur_halo


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

    @property
    def halo(self) -> int:
        """Pixels around a tile that decide what it becomes."""
        return blur_halo(self.sigma)

    def apply(self, image: Image, fitted: Fitted | None = None) -> Image:
        """Return the blurred image; see `gaussian`."""
        return gaussian(image, sigma=self.sigma, fitted=fitted)


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

    @property
    def halo(self) -> int:
        """Pixels around a tile that decide what it becomes."""
        return self.radius

    def apply(self, image: Image, fitted: Fitted | None = None) -> Image:
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

    @property
    def halo(self) -> int:
        """Pixels around a tile that decide what it becomes."""
        return _reach(self.sigma)

    def _statistics(self, image: Image) -> Sequence[float]:
        return float(image.min()), float(image.max())

    def apply(self, image: Image, fitted: Fitted | None = None) -> Image:
        """Return the edge-preserving smoothed image; see `bilateral`."""
        return bilateral(image, sigma=self.sigma, contrast=self.contrast, fitted=fitted)


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

    @property
    def halo(self) -> int:
        """Pixels around a tile that decide what it becomes."""
        return self.patch_radius + self.search_radius

    def apply(self, image: Image, fitted: Fitted | None = None) -> Image:
        """Return the denoised image; see `nl_means`."""
        return nl_means(
            image,
            strength=self.strength,
            patch_radius=self.patch_radius,
            search_radius=self.search_radius,
        )


def gaussian(image: Image, *, sigma: float, fitted: Fitted | None = None) -> Image:
    """Blur with a Gaussian; float32 (H, W) in [0, 1], sigma in pixels.

    Notes
    -----
    Assumes noise finer than the objects. Cost: one separable filter, O(HW sigma) up to
    sigma 8, and O(HW) above, where the image is blurred at reduced size.
    """
    return bounded(blur(image, sigma, fitted))


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


def bilateral(
    image: Image, *, sigma: float, contrast: float, fitted: Fitted | None = None
) -> Image:
    """Smooth with weights that fall off with distance and with difference in grey value.

    Parameters
    ----------
    image
        float32, (H, W), values in [0, 1].
    sigma
        Spatial standard deviation, pixels; the window reaches 2 sigma.
    contrast
        Standard deviation over grey values.
    fitted
        The whole image's lowest and highest value, between which OpenCV tabulates the weights.

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

    reach = _reach(sigma)
    image = np.ascontiguousarray(image)
    (height, width), added = image.shape, 0
    if fitted is not None and fitted.shape != image.shape:
        added = reach
        around = cv2.BORDER_REFLECT
        image = cv2.copyMakeBorder(image, added, added + 2, added, added, around)
        # Out of reach: these pixels only set the table's range.
        image[-1, :2] = fitted.values
    smooth = cv2.bilateralFilter(
        image,
        2 * reach + 1,
        sigmaColor=contrast,
        sigmaSpace=sigma,
        borderType=cv2.BORDER_REFLECT,
    )
    return bounded(smooth[added : added + height, added : added + width])


def _reach(sigma: float) -> int:
    return max(1, round(2 * sigma))


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
