"""What the label options ask of a mask by itself: no small regions, the right size and place."""

from __future__ import annotations

from napari_graysam.masks import Mask, fill_holes, remove_islands, touches_border
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


def is_wanted(mask: Mask, shape: tuple[int, int], options: LabelOptions) -> bool:
    """Tell whether a mask has the wanted area and, if that is asked, touches no border.

    Parameters
    ----------
    mask
        Cleaned already. One that the recipe pins is unwanted only if it is empty.
    shape
        (H, W) of the image.
    options
        Uses ``min_area``, ``max_area`` (both included) and ``exclude_border``.
    """
    if mask.pinned:
        return mask.area > 0
    largest = mask.area if options.max_area is None else options.max_area
    return max(1, options.min_area) <= mask.area <= largest and not (
        options.exclude_border and touches_border(mask, shape)
    )
