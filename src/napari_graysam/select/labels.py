"""One label image from masks that may overlap."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.hierarchy import keep
from napari_graysam.masks.mask import Mask
from napari_graysam.recipe import LabelOptions

DISJOINT_SHARE = 0.5
# Pixels that are painted together.
_IN_CACHE = 2**15
# Pixels that are painted by one thread at a time.
_BAND = 2**21


def paint(
    masks: Sequence[Mask], shape: tuple[int, int], options: LabelOptions
) -> NDArray[np.uint32]:
    """Paint masks into a label image; the label of a mask is its index plus 1.

    Where masks overlap, ``options.overlap`` decides: ``"smaller_on_top"`` and
    ``"larger_on_top"`` by area, ``"higher_score_on_top"`` and ``"disjoint"`` by predicted IoU,
    then stability, with the masks that the recipe keeps above all others.
    Among equals the mask earlier in the list is on top.

    Parameters
    ----------
    masks
        Masks of one image; for ``"disjoint"`` as `separate` returns them.
    shape
        (H, W) of the image.
    options
        Uses ``overlap``.

    Returns
    -------
    ndarray
        uint32 (H, W), 0 for background. A mask that is wholly covered keeps its label but has
        no pixel.
    """
    labels = np.zeros(shape, dtype=np.uint32)
    if labels.size == 0 or not masks:
        return labels
    height, width = shape
    rows = max(1, _BAND // width)
    bottom_up = np.array(top_down(masks, options.overlap)[::-1])
    paint_rows = partial(_paint_rows, labels, masks, bottom_up, rows)
    tops = range(0, height, rows)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(tops))) as pool:
        list(pool.map(paint_rows, tops))
    return labels


def _paint_rows(
    labels: NDArray[np.uint32],
    masks: Sequence[Mask],
    bottom_up: NDArray[np.intp],
    rows: int,
    top: int,
) -> None:
    """Paint some rows from ``top`` on, in the order given."""
    band = labels[top : top + rows]
    boxes = np.array([mask.box for mask in masks])[bottom_up]
    here = (boxes[:, 1] < top + len(band)) & (boxes[:, 3] > top)
    if not here.any():
        return
    # OpenCV copies under a mask several times as fast as NumPy, 16 bits faster than 32, and
    # knows no unsigned 32.
    painted = np.zeros(band.shape, np.uint16 if len(masks) < 2**16 else np.int32)
    for index in bottom_up[here].tolist():
        mask = masks[index]
        x0, y0, x1, y1 = mask.box
        first, last = max(y0, top), min(y1, top + len(band))
        bits = mask.bits[first - y0 : last - y0]
        _stamp(painted[first - top : last - top, x0:x1], bits, index + 1)
    band[:] = painted


def _stamp(onto: NDArray[np.uint16 | np.int32], bits: NDArray[np.bool_], label: int) -> None:
    """Set pixels to a label, a few rows at a time, whose colour stays in the cache."""
    import cv2

    height, width = bits.shape
    if bits.size == 0:
        return
    rows = min(height, max(1, _IN_CACHE // width))
    colour = np.full((rows, width), label, dtype=onto.dtype)
    under = bits.view(np.uint8)
    for top in range(0, height, rows):
        part = slice(top, min(top + rows, height))
        cv2.copyTo(colour[: part.stop - top], under[part], onto[part])


def separate(masks: Sequence[Mask]) -> tuple[Mask, ...]:
    """Make masks disjoint: each gives up the pixels that better-scored masks have taken.

    Masks take their pixels in the order of predicted IoU, then stability, then position. One
    that finds less than half of its own (`DISJOINT_SHARE`) free is dropped and leaves them to
    the next, so that no leftover rim becomes an object. Masks that the recipe keeps come first
    and are content with any pixel.

    Parameters
    ----------
    masks
        Masks of one image, nested or not.

    Returns
    -------
    tuple of Mask
        In their former order, without the dropped and empty ones; parents as from `keep`, with
        the place that each mask had before it gave up pixels.
    """
    return keep(*divide(masks))


def divide(masks: Sequence[Mask]) -> tuple[list[Mask], list[int]]:
    """Return the masks with the pixels that `separate` gives them, and which of them stay."""
    width, height = np.max([(0, 0), *(mask.box[2:] for mask in masks)], axis=0)
    taken = np.zeros((height, width), dtype=np.bool_)
    trimmed = list(masks)
    stay = []
    for index in top_down(masks, "disjoint"):
        mask = masks[index]
        free = mask.bits & ~taken[mask.slices]
        left = int(np.count_nonzero(free))
        if left and (mask.pinned or left >= DISJOINT_SHARE * mask.area):
            taken[mask.slices] |= free
            trimmed[index] = mask.with_bits(free)
            stay.append(index)
    return trimmed, sorted(stay)


def top_down(masks: Sequence[Mask], overlap: str) -> list[int]:
    """Order the masks' positions from the topmost to the lowest."""
    if overlap in ("smaller_on_top", "larger_on_top"):
        sign = 1 if overlap == "smaller_on_top" else -1
        return sorted(range(len(masks)), key=lambda i: sign * masks[i].area)
    return sorted(
        range(len(masks)),
        key=lambda i: (not masks[i].pinned, -masks[i].predicted_iou, -masks[i].stability),
    )
