"""Place and shape of masks, as scikit-image's `regionprops` defines them, of many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Mask

Values = NDArray[np.float64]

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_NEIGHBOURS = np.array([[10, 2, 10], [2, 1, 2], [10, 2, 10]], np.float32)
_LENGTHS = np.zeros(50)
_LENGTHS[[5, 7, 15, 17, 25, 27]] = 1
_LENGTHS[[21, 33]] = np.sqrt(2)
_LENGTHS[[13, 23]] = (1 + np.sqrt(2)) / 2
"""Length of the border at a pixel, by the weighted sum of the border pixels around it."""


def measure_geometry(masks: Sequence[Mask], names: Sequence[str]) -> dict[str, Values]:
    """Measure place and shape of masks.

    Parameters
    ----------
    masks
        Masks of one image, none empty.
    names
        Some of `GEOMETRY`; only what they need is measured.

    Returns
    -------
    dict
        By name, float64 (N,); lengths in pixels.

    Notes
    -----
    The values are those of `skimage.measure.regionprops` (``centroid``, ``eccentricity``,
    ``solidity``, ``perimeter``, ``equivalent_diameter_area``) to rounding. Its hull, of the
    midpoints of all pixel edges, and the pixels in that are found in whole numbers; the
    perimeter is that of Benkrid and Crookes (2000).

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> row = Mask(np.ones((1, 3), bool), (4, 2, 7, 3))
    >>> measured = measure_geometry([row], ["centroid_x", "eccentricity", "solidity"])
    >>> [values.tolist() for values in measured.values()]
    [[5.0], [1.0], [1.0]]
    """
    groups = {id(GEOMETRY[name]): GEOMETRY[name] for name in names}
    found: dict[str, Values] = {}
    for measure in groups.values():
        found |= measure(masks)
    return {name: found[name] for name in names}


def _moments(masks: Sequence[Mask]) -> dict[str, Values]:
    """Measure what follows from sums over the pixels of x, y, x², xy and y²."""
    import cv2

    orders = ("m00", "m10", "m01", "m20", "m11", "m02")
    sums = np.empty((len(masks), len(orders)))
    for row, mask in zip(sums, masks, strict=True):
        moments = cv2.moments(_bytes(mask))
        row[:] = [moments[order] for order in orders]
    area, x, y, xx, xy, yy = sums.T
    corner = np.array([mask.box[:2] for mask in masks], np.float64).reshape(-1, 2)
    across, down = area * xx - x * x, area * yy - y * y
    split = np.hypot(across - down, 2 * (area * xy - x * y))
    whole = across + down + split
    ratio = np.divide(2 * split, whole, out=np.zeros_like(whole), where=whole > 0)
    return {
        "centroid_x": x / area + corner[:, 0],
        "centroid_y": y / area + corner[:, 1],
        "eccentricity": np.sqrt(ratio),
    }


def _diameter(masks: Sequence[Mask]) -> dict[str, Values]:
    return {"equivalent_diameter": np.sqrt(4 / np.pi * _areas(masks))}


def _perimeter(masks: Sequence[Mask]) -> dict[str, Values]:
    return {"perimeter": np.fromiter(map(_border_length, masks), np.float64, len(masks))}


def _border_length(mask: Mask) -> float:
    import cv2

    bits = cv2.copyMakeBorder(_bytes(mask), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    border = bits - cv2.erode(bits, _CROSS)
    around = cv2.filter2D(border, cv2.CV_8U, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
    return float(np.bincount(around[border.view(bool)], minlength=50) @ _LENGTHS)


def _solidity(masks: Sequence[Mask]) -> dict[str, Values]:
    return {"solidity": _areas(masks) / _hull_areas(masks)}


def _hull_areas(masks: Sequence[Mask]) -> Values:
    """Count the pixels whose centre lies in the hull of the midpoints of a mask's pixel edges.

    All coordinates are doubled, so that they are whole numbers. A row of pixels is cut by one
    edge of the hull that goes down and one that goes up: its ends.
    """
    if not masks:
        return np.zeros(0)
    hulls = [_hull(mask.bits) for mask in masks]
    sizes = np.array([len(hull) for hull in hulls])
    begin = np.concatenate(hulls)
    last = np.cumsum(sizes)
    following = np.arange(1, len(begin) + 1)
    following[last - 1] = last - sizes
    end = begin[following]
    mask_of = np.repeat(np.arange(len(masks)), sizes)
    low, high = np.minimum(begin[:, 1], end[:, 1]), np.maximum(begin[:, 1], end[:, 1])
    first = -(-low // 2)
    count = -(-high // 2) - first
    edge = np.repeat(np.arange(len(begin)), count)
    row = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    (x, y), (dx, dy) = begin[edge].T, (end - begin)[edge].T
    # Where the edge cuts the row, times 2 · dy.
    cut, by = x * dy + (2 * row - y) * dx, 2 * dy
    # The hull runs clockwise on paper with y upwards: in an image, y grows along its left side.
    left = dy > 0
    ends = np.where(left, -(-cut // by), cut // by)
    counted = np.bincount(mask_of[edge], np.where(left, 1 - ends, ends), len(masks))
    return np.asarray(counted, np.float64)


def _hull(bits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the corners (x, y), doubled, of the hull of all midpoints of pixel edges."""
    import cv2

    rows = np.flatnonzero(bits.any(axis=1))
    left = bits[rows].argmax(axis=1)
    right = bits.shape[1] - 1 - bits[rows, ::-1].argmax(axis=1)
    x, y = 2 * np.concatenate((left, right)), 2 * np.concatenate((rows, rows))
    outward = np.repeat((-1, 1), rows.size)
    points = np.empty((3, x.size, 2), np.int32)
    points[:] = np.column_stack((x, y))
    points[0, :, 0] += outward
    points[1, :, 1] -= 1
    points[2, :, 1] += 1
    hull = cv2.convexHull(points.reshape(-1, 1, 2), clockwise=True)
    return np.asarray(hull[:, 0], np.int64)


def _areas(masks: Sequence[Mask]) -> Values:
    return np.array([mask.area for mask in masks], np.float64)


def _bytes(mask: Mask) -> NDArray[np.uint8]:
    return np.ascontiguousarray(mask.bits).view(np.uint8)


GEOMETRY: dict[str, Callable[[Sequence[Mask]], dict[str, Values]]] = {
    "centroid_x": _moments,
    "centroid_y": _moments,
    "eccentricity": _moments,
    "solidity": _solidity,
    "perimeter": _perimeter,
    "equivalent_diameter": _diameter,
}
"""What can be measured, and how."""
