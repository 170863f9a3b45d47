"""What the label options ask of a mask by itself: no small regions, and the right size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Mask, fill_holes, remove_islands
from napari_graysam.recipe import LabelOptions


def cleaned(mask: Mask, shape: tuple[int, int], options: LabelOptions) -> Mask:
    """Fill holes up to ``fill_holes`` pixels, then remove islands below ``min_island`` pixels.

    Parameters
    ----------
    mask
        Of an image of ``shape`` (H, W).
    shape
        (H, W) of the image.
    options
        Uses ``fill_holes`` and ``min_island``.

    Returns
    -------
    Mask
        The same object where nothing changes.
    """
    return remove_islands(fill_holes(mask, shape, options.fill_holes), options.min_island)


def has_wanted_area(
    areas: NDArray[np.int64], pinned: NDArray[np.bool_], options: LabelOptions
) -> NDArray[np.bool_]:
    """Tell which cleaned masks have at least ``min_area`` pixels and at most ``max_area``.

    Parameters
    ----------
    areas
        int64 (K,), in pixels.
    pinned
        bool (K,); of those any mask that is not empty is wanted.
    options
        Uses ``min_area`` and ``max_area``; empty masks are never wanted.
    """
    wanted = areas >= max(1, options.min_area)
    if options.max_area is not None:
        wanted &= areas <= options.max_area
    return wanted | (pinned & (areas > 0))
