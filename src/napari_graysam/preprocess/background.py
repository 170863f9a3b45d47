"""Steps that remove what varies more slowly than the objects do."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from napari_graysam.preprocess.base import PIXELS, BaseStep, Fitted, Image
from napari_graysam.preprocess.blur import blur, blur_halo
from napari_graysam.preprocess.measuring import Measured, Survey, Whole

BackgroundMethod = Literal["rolling_ball", "white_tophat", "black_tophat", "gaussian"]

FULL_SIZE_RADIUS = 8
"""Largest radius opened at full size; above it the image is shrunk to about this radius."""


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

    def _reach(self) -> int:
        if self.method == "gaussian":
            return blur_halo(self.radius)
        factor = _shrinking(self.radius)
        return factor * (2 * int(self.radius / factor) + 3) + 1

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Subtract a background estimate; negative differences become 0.

        Rolling ball: grey-scale opening by a ball after Sternberg, "Biomedical image
        processing" (1983), on the image smoothed by a 3 × 3 mean. One pixel of the ball's
        height counts as 1/255 of full scale, as for ImageJ's 8-bit images. As ImageJ does,
        the image is shrunk by its local minimum where the radius is large (here above
        `FULL_SIZE_RADIUS`), so the time does not grow with the radius; a rim of up to an
        eighth of the radius may stay on structures wider than it. The top-hats shrink
        likewise and open with a flat disk.

        All assume bright objects (``black_tophat``: dark ones) that are smaller than the
        radius. Cost: O(HW); rolling ball is slowest just below the radius where shrinking
        starts, the Gaussian is one wide blur.
        """
        if self.method == "gaussian":
            return image - blur(image, self.radius, fitted)
        if self.method == "black_tophat":
            image = np.float32(1) - image
        return image - _opened(image, self.radius, fitted, ball=self.method == "rolling_ball")


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

    def _reach(self) -> int:
        return blur_halo(self.sigma)

    def _survey(self) -> Survey:
        (shading,) = yield [lambda image, fitted: blur(image, self.sigma, fitted)]
        mean = shading.mean()
        (lit,) = yield [lambda image, fitted: self._evened(image, fitted, mean)]
        return mean, _white(lit)

    def _apply(self, image: Image, fitted: Fitted | None) -> Image:
        """Divide by a blurred copy and restore the mean brightness.

        Where brightening pushes more than 0.1 % of the pixels above white, the whole image is
        dimmed so that only those saturate. Retrospective shading correction for multiplicative
        shading; assumes that objects are spread evenly and are small beside `sigma`. Cost: one
        wide Gaussian blur, O(HW), and a partial sort if the result exceeds white.
        """
        lit = self._evened(image, fitted, None if fitted is None else float(fitted.values[0]))
        white = _white(Whole(lit)) if fitted is None else float(fitted.values[1])
        if white > 1:
            lit /= np.float32(white)
        return lit

    def _evened(self, image: Image, fitted: Fitted | None, mean: float | None) -> Image:
        """Return the image divided by its illumination, whose mean is restored."""
        gain = blur(image, self.sigma, fitted)
        mean = Whole(gain).mean() if mean is None else mean
        np.maximum(gain, np.float32(max(mean / self.max_gain, 1e-6)), out=gain)
        np.divide(np.float32(mean), gain, out=gain)
        gain *= image
        return gain


def _white(lit: Measured) -> float:
    """Return the level above which at most 0.1 % of the pixels lie, at least 1."""
    return max(1.0, lit.percentile(99.9)) if lit.max() > 1 else 1.0


def _shrinking(radius: float) -> int:
    return max(1, int(np.ceil(radius / FULL_SIZE_RADIUS)))


def _opened(image: Image, radius: float, fitted: Fitted | None, *, ball: bool) -> Image:
    """Return the background: the opening by a ball or by a flat disk, at most the image."""
    import cv2

    smoothed = cv2.blur(image, (3, 3), borderType=cv2.BORDER_REFLECT) if ball else image
    factor = _shrinking(radius)
    # The blocks of a tile are those of the whole image.
    above, left = (0, 0) if fitted is None else (start % factor for start in fitted.origin)
    small = _shrunk_by_minimum(smoothed, factor, (above, left))
    opened = _open_by_ball(small, radius, factor) if ball else _open_by_disk(small, radius / factor)
    height, width = image.shape
    size = (small.shape[1] * factor, small.shape[0] * factor)
    enlarged = cv2.resize(opened, size, interpolation=cv2.INTER_LINEAR)
    enlarged = enlarged[above : above + height, left : left + width]
    background: Image = np.minimum(enlarged, image)
    return background


def _shrunk_by_minimum(image: Image, factor: int, before: tuple[int, int]) -> Image:
    missing = [
        (lead, -(lead + length) % factor) for lead, length in zip(before, image.shape, strict=True)
    ]
    padded = np.pad(image, missing, mode="edge")
    blocks = padded.reshape(len(padded) // factor, factor, -1, factor)
    shrunk: Image = blocks.min(axis=3).min(axis=1)
    return shrunk


def _open_by_ball(image: Image, radius: float, factor: int) -> Image:
    """Open by a ball of `radius` full-size pixels on an image shrunk by `factor`."""
    from scipy import ndimage

    reach = int(radius / factor)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] * float(factor)
    squared = radius**2 - x**2 - y**2
    height = np.sqrt(np.maximum(squared, 0)) / 255
    opened: Image = ndimage.grey_opening(image, footprint=squared >= 0, structure=height)
    return opened


def _open_by_disk(image: Image, radius: float) -> Image:
    import cv2

    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    opened: Image = cv2.morphologyEx(image, cv2.MORPH_OPEN, disk)
    return opened
