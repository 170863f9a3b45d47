"""Cleaning of masks in image pixels: holes, islands and the image border.

All work happens inside a mask's box; nothing of the image's size is allocated per mask.
Pieces are 8-connected, holes too, as in ``remove_small_regions`` of the original
segment-anything, whose semantics on the whole image are kept exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.mask import Box, Mask


def remove_small_regions(mask: Mask, shape: tuple[int, int], area: int) -> Mask:
    """Fill holes, then remove islands, both where smaller than ``area`` pixels.

    This is what ``postprocess_small_regions`` of the original segment-anything does to a mask;
    upstream SAM 2 never calls it.

    See Also
    --------
    fill_holes, remove_islands : The two halves.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, remove_small_regions
    >>> bits = np.array([[1, 1, 1, 0, 1], [1, 0, 1, 0, 0], [1, 1, 1, 0, 0]], bool)
    >>> mask = Mask(bits, (2, 2, 7, 5))
    >>> remove_small_regions(mask, (9, 9), 2).bits.astype(int).tolist()
    [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    """
    return remove_islands(fill_holes(mask, shape, area - 1), area)


def fill_holes(mask: Mask, shape: tuple[int, int], max_hole: int) -> Mask:
    """Fill background pieces of at most ``max_hole`` pixels.

    As in segment-anything and scikit-image, a small piece cut off by the image border counts
    as a hole too.

    Parameters
    ----------
    mask
        The mask to fill.
    shape
        (H, W) of the image.
    max_hole
        Largest hole that is filled, in pixels; 0 or less fills none.

    See Also
    --------
    remove_islands : The same for what lies outside of the largest piece.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, fill_holes
    >>> bits = np.ones((3, 3), bool)
    >>> bits[1, 1] = False
    >>> fill_holes(Mask(bits, (4, 4, 7, 7)), (20, 20), max_hole=1).area
    9
    """
    if max_hole < 1 or mask.area == 0:
        return mask
    box = _surroundings(mask.box, shape, max_hole)
    bits = reframe(mask, box)
    pieces, sizes = _pieces(~bits)
    small = sizes <= max_hole
    small[0] = False
    small[_reaching_out(pieces, box, shape)] = False
    if not small.any():
        return mask
    filled = bits | small[pieces]
    return mask.replace(bits=filled, box=box).with_bits(filled)


def remove_islands(mask: Mask, min_island: int) -> Mask:
    """Remove pieces of fewer than ``min_island`` pixels; the largest piece always stays.

    Among equally large pieces the first in reading order stays.

    See Also
    --------
    fill_holes : The same for the background.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, remove_islands
    >>> mask = Mask(np.array([[True, True, False, True]]), (0, 0, 4, 1))
    >>> remove_islands(mask, 2).box
    (0, 0, 2, 1)
    """
    if min_island < 2 or mask.area == 0:
        return mask
    pieces, sizes = _pieces(mask.bits)
    keep = sizes >= min_island
    keep[0] = False
    if keep[1:].all():
        return mask
    if not keep.any():
        largest = sizes == sizes[1:].max()
        largest[0] = False
        keep[pieces[largest[pieces]][0]] = True
    return mask.with_bits(keep[pieces])


def touches_border(mask: Mask, shape: tuple[int, int]) -> bool:
    """Tell whether a pixel of the mask lies in the first or last row or column of the image.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, touches_border
    >>> mask = Mask(np.ones((3, 3), bool), (4, 4, 7, 7))
    >>> touches_border(mask, (9, 9)), touches_border(mask, (7, 9))
    (False, True)
    """
    x0, y0, x1, y1 = mask.box
    height, width = shape
    bits = mask.bits
    return bool(
        (y0 == 0 and bits[:1].any())
        or (x0 == 0 and bits[:, :1].any())
        or (y1 == height and bits[-1:].any())
        or (x1 == width and bits[:, -1:].any())
    )


def innermost(mask: Mask) -> tuple[float, float]:
    """Return the pixel ``(x, y)`` of a mask that is farthest from its border.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> innermost(Mask(np.ones((3, 5), bool), (10, 20, 15, 23)))
    (11.0, 21.0)
    """
    import cv2

    padded = np.pad(mask.bits, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape) if depth.size else (0, 0)
    return float(column + mask.box[0]), float(row + mask.box[1])


def covers(mask: Mask, x: int, y: int) -> bool:
    """Tell whether a mask covers the pixel in a column and a row.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> mask = Mask(np.ones((1, 2), bool), (10, 20, 12, 21))
    >>> covers(mask, 11, 20), covers(mask, 12, 20)
    (True, False)
    """
    x0, y0, x1, y1 = mask.box
    return x0 <= x < x1 and y0 <= y < y1 and bool(mask.bits[y - y0, x - x0])


def reframe(mask: Mask, box: Box) -> NDArray[np.bool_]:
    """Return the mask's bits inside a box that encloses its own."""
    x0, y0, x1, y1 = mask.box
    bits = np.zeros((box[3] - box[1], box[2] - box[0]), bool)
    bits[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]] = mask.bits
    return bits


def _pieces(bits: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Label the 8-connected pieces of ``bits`` from 1; sizes are indexed by label."""
    import cv2

    _, pieces, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(bits).view(np.uint8), connectivity=8
    )
    return np.asarray(pieces), np.asarray(stats[:, cv2.CC_STAT_AREA])


def _surroundings(box: Box, shape: tuple[int, int], area: int) -> Box:
    """Grow a box by one pixel, and over any part of the outside of at most ``area`` pixels.

    After that every background piece that leaves the box is larger than ``area``, because
    beyond it lies either one connected frame or a strip that was found large.
    """
    height, width = shape
    x0, y0 = max(0, box[0] - 1), max(0, box[1] - 1)
    x1, y1 = min(width, box[2] + 1), min(height, box[3] + 1)
    if height * width - (y1 - y0) * (x1 - x0) <= area:
        return 0, 0, width, height
    if x1 - x0 == width:
        y0 = 0 if y0 * width <= area else y0
        y1 = height if (height - y1) * width <= area else y1
    if y1 - y0 == height:
        x0 = 0 if x0 * height <= area else x0
        x1 = width if (width - x1) * height <= area else x1
    return x0, y0, x1, y1


def _reaching_out(pieces: NDArray[np.int32], box: Box, shape: tuple[int, int]) -> NDArray[np.int32]:
    """List the pieces at those sides of the box that are not sides of the image."""
    height, width = shape
    sides = [
        (box[1] > 0, pieces[0]),
        (box[3] < height, pieces[-1]),
        (box[0] > 0, pieces[:, 0]),
        (box[2] < width, pieces[:, -1]),
    ]
    return np.concatenate([np.zeros(1, np.int32), *(side for inner, side in sides if inner)])
