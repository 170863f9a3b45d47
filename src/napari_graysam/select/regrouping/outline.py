"""Outlines of masks, where two of them run along each other, and what the image shows there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import Mask
from napari_graysam.masks.regions import reframe

REACH = 3
"""Pixels from a mask within which another one's outline runs along it: gaps of 2 between them."""
_SIGMA = 1.0

Flags = npt.NDArray[np.bool_]


class Levels:
    """Gray values of the image and of what the model sees, smoothed.

    Parameters
    ----------
    images
        (H, W) or (H, W, 3) each, of any real dtype.
    """

    def __init__(self, *images: npt.NDArray[Any]) -> None:
        self._images = images
        self.shape = (images[0].shape[0], images[0].shape[1])

    @cached_property
    def smooth(self) -> npt.NDArray[np.float32]:
        """float32 (K, H, W); from 0 to 1, but for the darkest and the brightest hundredth."""
        return np.stack([_smooth(image) for image in self._images])


def _smooth(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    import cv2

    gray = np.nan_to_num(np.asarray(image, np.float32))
    if gray.ndim == 3:
        gray = gray.mean(axis=2)
    low, high = np.percentile(gray, (1, 99))
    scaled = (gray - low) / max(float(high - low), 1e-9)
    smoothed: npt.NDArray[np.float32] = cv2.GaussianBlur(scaled, (0, 0), _SIGMA)
    return smoothed


@dataclass(frozen=True, eq=False)
class Outline:
    """The outline of one mask.

    Attributes
    ----------
    mask
        Not empty.
    x, y
        intp (N,), its outermost pixels but for those at the border of the image.
    level
        float32 (K, N), gray values there, of each image.
    mean, spread
        float64 (K,), mean and standard deviation of the gray values in the mask.
    near
        bool (h + 2 r, w + 2 r), pixels within `REACH` = r of the mask, around its box.
    hull
        int32 (M, 2), corners ``(x, y)`` of its convex hull.
    """

    mask: Mask
    x: npt.NDArray[np.intp]
    y: npt.NDArray[np.intp]
    level: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    near: Flags
    hull: npt.NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take."""
        arrays = self.x, self.y, self.level, self.near, self.hull, self.mask.bits
        return sum(array.nbytes for array in arrays)

    @property
    def solidity(self) -> float:
        """Area by that of the convex hull, in (0, 1]."""
        return min(1.0, self.mask.area / hull_area(self.hull))

    def along(self, other: Outline) -> Flags:
        """Tell which outline pixels lie within `REACH` of another mask, bool (N,)."""
        x0, y0 = other.mask.box[0] - REACH, other.mask.box[1] - REACH
        height, width = other.near.shape
        x, y = self.x - x0, self.y - y0
        inside: Flags = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        inside[inside] = other.near[y[inside], x[inside]]
        return inside


def trace(mask: Mask, levels: Levels) -> Outline:
    """Return the outline of a mask that is not empty."""
    import cv2

    x0, y0, x1, y1 = mask.box
    box = (x0 - REACH, y0 - REACH, x1 + REACH, y1 + REACH)
    bits = reframe(mask, box).view(np.uint8)
    rim = (bits - cv2.erode(bits, _disc(1))).view(np.bool_)
    rows, columns = np.nonzero(rim)
    x, y = columns + box[0], rows + box[1]
    hull = cv2.convexHull(np.column_stack([x, y]).astype(np.int32))[:, 0]
    height, width = levels.shape
    free = (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
    x, y = x[free], y[free]
    inside = levels.smooth[:, y0:y1, x0:x1][:, mask.bits].astype(np.float64)
    return Outline(
        mask=mask,
        x=x,
        y=y,
        level=levels.smooth[:, y, x],
        mean=inside.mean(axis=1),
        spread=inside.std(axis=1),
        near=cv2.dilate(bits, _disc(REACH)).view(np.bool_),
        hull=hull,
    )


def hull_area(points: npt.NDArray[np.int32]) -> float:
    """Return the pixels that the convex hull of some pixels (M, 2) covers, by Pick's theorem."""
    import cv2

    hull = cv2.convexHull(points)
    return float(cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1)


def join_bits(masks: Sequence[Mask]) -> Mask:
    """Return the first mask with the pixels of all, and with the gaps between them closed.

    Gaps are closed up to twice `REACH` wide, and nothing is added beside them.
    """
    import cv2

    boxes = np.array([mask.box for mask in masks])
    x0, y0 = (boxes[:, :2].min(axis=0) - REACH - 1).tolist()
    x1, y1 = (boxes[:, 2:].max(axis=0) + REACH + 1).tolist()
    box = (x0, y0, x1, y1)
    layers = [reframe(mask, box).view(np.uint8) for mask in masks]
    union = np.maximum.reduce(layers)
    reached = np.add.reduce([cv2.dilate(layer, _disc(REACH)) for layer in layers])
    closed = cv2.morphologyEx(union, cv2.MORPH_CLOSE, _disc(REACH))
    bits = (union > 0) | ((closed > 0) & (reached > 1))
    return masks[0].replace(bits=bits, box=box).with_bits(bits)


def _disc(radius: int) -> npt.NDArray[np.uint8]:
    offsets = np.arange(-radius, radius + 1)
    inside = offsets[:, None] ** 2 + offsets**2 <= (radius + 0.5) ** 2
    return inside.astype(np.uint8)
