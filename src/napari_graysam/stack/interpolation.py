"""The shape of an object between two planes that have it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Box, Mask
from napari_graysam.masks.regions import reframe


def interpolate(one: Mask, other: Mask, way: float) -> Mask:
    """Return the mask between two masks of one object, by their signed distances.

    Both are moved to where the centre is expected, whole pixels, so that an object that moves
    does not shrink; then the distances to their outlines, negative outside, are averaged
    (Raya and Udupa 1990).

    Parameters
    ----------
    one, other
        Masks that are not empty.
    way
        How far between them, from 0 (``one``) to 1 (``other``).

    Returns
    -------
    Mask
        Inside the smallest box around both.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> from napari_graysam.stack.interpolation import interpolate
    >>> bits = np.ones((4, 4), bool)
    >>> interpolate(Mask(bits, (0, 0, 4, 4)), Mask(bits, (6, 2, 10, 6)), 0.5).box
    (3, 1, 7, 5)
    """
    boxes = np.array([one.box, other.box])
    box: Box = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
    step = _centre(other) - _centre(one)
    first = _moved(one, np.rint(step * way))
    second = _moved(other, np.rint(step * way) - np.rint(step))
    wide = np.array([box, first.box, second.box])
    frame: Box = (*wide[:, :2].min(axis=0).tolist(), *wide[:, 2:].max(axis=0).tolist())
    distance = (1 - way) * _distance(first, frame) + way * _distance(second, frame)
    inside = Mask(distance > 0, frame).with_bits(distance > 0)
    return _within(inside, box)


def _centre(mask: Mask) -> NDArray[np.float64]:
    """Return the centre of a mask, (x, y)."""
    rows, columns = np.nonzero(mask.bits)
    return np.array([columns.mean() + mask.box[0], rows.mean() + mask.box[1]])


def _moved(mask: Mask, by: NDArray[np.float64]) -> Mask:
    x, y = (int(step) for step in by)
    x0, y0, x1, y1 = mask.box
    return mask.replace(box=(x0 + x, y0 + y, x1 + x, y1 + y))


def _distance(mask: Mask, frame: Box) -> NDArray[np.float64]:
    """Return the distance to the outline, negative outside, in a frame around the mask."""
    from scipy.ndimage import distance_transform_edt

    bits = np.pad(reframe(mask, frame), 1)
    signed = distance_transform_edt(bits) - distance_transform_edt(~bits)
    return np.asarray(signed[1:-1, 1:-1], dtype=np.float64)


def _within(mask: Mask, box: Box) -> Mask:
    """Cut a mask to a box, which lies in the image."""
    x0, y0, x1, y1 = mask.box
    rows, columns = np.mgrid[y0:y1, x0:x1]
    kept = (rows >= box[1]) & (rows < box[3]) & (columns >= box[0]) & (columns < box[2])
    return mask.with_bits(mask.bits & kept)
