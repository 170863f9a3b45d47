"""Label images from masks that may overlap, and masks from label images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.hierarchy import subset
from napari_graysam.masks.mask import Mask

Overlap = Literal["smaller_on_top", "larger_on_top", "higher_score_on_top", "disjoint"]
DISJOINT_SHARE = 0.5
# Pixels that are painted together.
_IN_CACHE = 2**15
# Pixels that are painted by one thread at a time.
_BAND = 2**21


def paint(
    masks: Sequence[Mask], shape: tuple[int, int], overlap: Overlap = "smaller_on_top"
) -> NDArray[np.uint32]:
    """Paint masks into a label image; the label of a mask is its index plus 1.

    Where masks overlap, ``"smaller_on_top"`` and ``"larger_on_top"`` decide by area,
    ``"higher_score_on_top"`` and ``"disjoint"`` by predicted IoU, then stability, with the
    masks that the recipe pins above all others. Among equals the mask earlier in the list is
    on top.

    Parameters
    ----------
    masks
        Masks of one image; for ``"disjoint"`` as `separate` returns them.
    shape
        (H, W) of the image.
    overlap
        Which mask is seen where several lie.

    Returns
    -------
    ndarray
        uint32 (H, W), 0 for background. A mask that is wholly covered keeps its label but has
        no pixel.

    See Also
    --------
    label_masks : The other direction.
    separate : Makes masks disjoint.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, paint
    >>> large = Mask(np.ones((2, 4), bool), (0, 0, 4, 2))
    >>> small = Mask(np.ones((1, 2), bool), (1, 0, 3, 1))
    >>> paint([large, small], (2, 5)).tolist()
    [[1, 2, 2, 1, 0], [1, 1, 1, 1, 0]]
    """
    painted = np.zeros(shape, dtype=np.uint32)
    if painted.size == 0 or not masks:
        return painted
    height, width = shape
    rows = max(1, _BAND // width)
    bottom_up = [(masks[i], i + 1) for i in stacking_order(masks, overlap)[::-1]]
    boxes = np.array([mask.box for mask, _ in bottom_up])

    def paint_rows(top: int) -> None:
        band = painted[top : top + rows]
        here = (boxes[:, 1] < top + len(band)) & (boxes[:, 3] > top)
        _paint_band(band, top, [bottom_up[i] for i in np.flatnonzero(here).tolist()])

    tops = range(0, height, rows)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(tops))) as pool:
        list(pool.map(paint_rows, tops))
    return painted


def paint_window(
    masks: Sequence[Mask], labels: Sequence[int], window: tuple[slice, slice]
) -> NDArray[np.uint32]:
    """Paint some rows and columns of an image.

    Parameters
    ----------
    masks
        Masks of the image, the topmost first, as `stacking_order` has them.
    labels
        The label of each.
    window
        Rows and columns.

    Returns
    -------
    ndarray
        uint32, of the window's shape.

    See Also
    --------
    paint : Paints the whole image.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> square = Mask(np.ones((4, 4), bool), (0, 0, 4, 4))
    >>> paint_window([square], [7], (slice(2, 5), slice(3, 6))).tolist()
    [[7, 0, 0], [7, 0, 0], [0, 0, 0]]
    """
    rows, columns = window
    painted = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.int32)
    for mask, label in zip(reversed(masks), reversed(labels), strict=True):
        x0, y0, x1, y1 = mask.box
        top, bottom = max(y0, rows.start), min(y1, rows.stop)
        left, right = max(x0, columns.start), min(x1, columns.stop)
        if top < bottom and left < right:
            bits = mask.bits[top - y0 : bottom - y0, left - x0 : right - x0]
            place = painted[
                top - rows.start : bottom - rows.start, left - columns.start : right - columns.start
            ]
            place[bits] = label
    return painted.astype(np.uint32)


def _paint_band(band: NDArray[np.uint32], top: int, bottom_up: Sequence[tuple[Mask, int]]) -> None:
    """Paint masks with their labels, in the order given, into the rows from ``top`` on."""
    if not bottom_up:
        return
    # OpenCV copies under a mask several times as fast as NumPy, 16 bits faster than 32, and
    # knows no unsigned 32.
    most = max(label for _, label in bottom_up)
    painted = np.zeros(band.shape, np.uint16 if most < 2**16 else np.int32)
    for mask, label in bottom_up:
        x0, y0, x1, y1 = mask.box
        first, last = max(y0, top), min(y1, top + len(band))
        bits = mask.bits[first - y0 : last - y0]
        _stamp(painted[first - top : last - top, x0:x1], bits, label)
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
    the next, so that no leftover rim becomes an object. Masks that the recipe pins come first
    and are content with any pixel.

    Parameters
    ----------
    masks
        Masks of one image, nested or not.

    Returns
    -------
    tuple of Mask
        In their former order, without the dropped and empty ones; parents as from `subset`,
        with the depth that each mask had before it gave up pixels.

    See Also
    --------
    paint : Paints masks that may overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, separate
    >>> better = Mask(np.ones((4, 4), bool), (0, 0, 4, 4), predicted_iou=0.9)
    >>> worse = Mask(np.ones((4, 6), bool), (2, 0, 8, 4), predicted_iou=0.8)
    >>> [mask.box for mask in separate([worse, better])]
    [(4, 0, 8, 4), (0, 0, 4, 4)]
    """
    width, height = np.max([(0, 0), *(mask.box[2:] for mask in masks)], axis=0)
    taken = np.zeros((height, width), dtype=np.bool_)
    trimmed = list(masks)
    chosen = []
    for index in stacking_order(masks, "disjoint"):
        mask = masks[index]
        free = mask.bits & ~taken[mask.slices]
        left = int(np.count_nonzero(free))
        if left and (mask.pinned or left >= DISJOINT_SHARE * mask.area):
            taken[mask.slices] |= free
            trimmed[index] = mask.with_bits(free)
            chosen.append(index)
    return subset(trimmed, sorted(chosen))


def stacking_order(masks: Sequence[Mask], overlap: Overlap) -> list[int]:
    """Order the masks' positions from the topmost to the lowest."""
    if overlap in ("smaller_on_top", "larger_on_top"):
        sign = 1 if overlap == "smaller_on_top" else -1
        return sorted(range(len(masks)), key=lambda i: sign * masks[i].area)
    return sorted(
        range(len(masks)),
        key=lambda i: (not masks[i].pinned, -masks[i].predicted_iou, -masks[i].stability),
    )


def label_masks(labels: NDArray[np.integer]) -> tuple[tuple[Mask, ...], tuple[int, ...]]:
    """Return a mask for each label of a label image.

    Parameters
    ----------
    labels
        (H, W), of any integer dtype; 0 is background.

    Returns
    -------
    masks, labels
        In the order of the labels, which ascend.

    See Also
    --------
    paint : The other direction.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import label_masks
    >>> masks, labels = label_masks(np.array([[7, 7, 0], [0, 0, 3]]))
    >>> labels, [mask.box for mask in masks]
    ((3, 7), [(2, 1, 3, 2), (0, 0, 2, 1)])
    """
    from scipy.ndimage import find_objects

    ids = np.unique(labels)
    ids = ids[ids != 0]
    numbered = np.where(labels != 0, np.searchsorted(ids, labels) + 1, 0)
    masks = []
    for number, (rows, columns) in enumerate(find_objects(numbered), start=1):
        box = (columns.start, rows.start, columns.stop, rows.stop)
        masks.append(Mask(numbered[rows, columns] == number, box))
    return tuple(masks), tuple(ids.tolist())


def fraction_unmasked(
    labels: NDArray[np.integer], region: NDArray[np.bool_] | None = None
) -> float:
    """Return the fraction of the pixels of a label image, or of a region's, that have no label.

    Parameters
    ----------
    labels
        (H, W); 0 is background.
    region
        bool (H, W); None for all pixels.

    Examples
    --------
    >>> import numpy as np
    >>> fraction_unmasked(np.array([[0, 1], [0, 0]]))
    0.75
    """
    return float(np.mean((labels if region is None else labels[region]) == 0))
