"""Removal of duplicates: greedy non-maximum suppression on boxes or on the masks themselves.

On boxes it gives the result and order of torchvision's ``batched_nms``, which upstream's
generator calls for each crop and then between crops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import Mask, shared_pixels

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.floating]
# Overlap in [0, 1] of one candidate with several others.
Overlap = Callable[[int, Indices], Floats]

# Above this many boxes torchvision brings the survivors in order with a sort that is not
# stable: on CPUs, and on GPUs.
_STABLE_UP_TO = {"cpu": 1000}
_STABLE_UP_TO_ON_GPU = 25_000


def suppress(scores: npt.NDArray[np.float32], overlap: Overlap, threshold: float) -> Indices:
    """Keep the best candidate, drop all that overlap it by more than a threshold, repeat.

    Parameters
    ----------
    scores
        float32 (N,); higher is better. Equals keep their order. Infinite: never dropped.
    overlap
        Called with a kept index and the later candidates; NaN counts as no overlap.
    threshold
        Largest overlap that two kept candidates may have.

    Returns
    -------
    Indices of what is kept, best first.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept = []
    while waiting.size:
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        stays = ~(overlap(best, waiting) > threshold)
        waiting = waiting[stays | np.isposinf(scores[waiting])]
    return np.array(kept, np.intp)


def suppress_boxes(
    boxes: npt.NDArray[np.integer],
    scores: npt.NDArray[np.float32],
    threshold: float,
    device_type: str = "cpu",
) -> Indices:
    """Suppress by the intersection over union of boxes, exactly as ``batched_nms``.

    Parameters
    ----------
    boxes
        (N, 4), ``(x0, y0, x1, y1)``; sides are ``x1 - x0`` and ``y1 - y0``.
    scores
        float32 (N,).
    threshold
        Boxes with a larger IoU are duplicates.
    device_type
        Where upstream would compute; matters only to the order of equal scores among more
        than a thousand boxes.

    Returns
    -------
    Indices of what is kept, best first.
    """
    kept = suppress(scores, box_iou(boxes), threshold)
    return in_upstreams_order(kept, scores, device_type)


def in_upstreams_order(kept: Indices, scores: npt.NDArray[np.float32], device_type: str) -> Indices:
    """Bring the boxes that suppression keeps of all with these ``scores`` in torchvision's order.

    Parameters
    ----------
    kept
        Best first, equals in their order.
    scores
        float32 (N,), of all boxes.
    device_type
        As in `suppress_boxes`.
    """
    if len(scores) <= _STABLE_UP_TO.get(device_type, _STABLE_UP_TO_ON_GPU):
        return kept
    import torch

    kept = np.sort(kept)
    order = torch.sort(torch.from_numpy(scores[kept]), descending=True)[1]
    ordered: Indices = kept[order.numpy()]
    return ordered


def box_iou(boxes: npt.NDArray[np.integer]) -> Overlap:
    """Return the intersection over union of boxes as an `Overlap`, in float32."""
    corners = boxes.astype(np.float32)
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])

    def overlap(one: int, others: Indices) -> Floats:
        low = np.maximum(corners[others, :2], corners[one, :2])
        high = np.minimum(corners[others, 2:], corners[one, 2:])
        sides = np.maximum(high - low, np.float32(0))
        common = sides[:, 0] * sides[:, 1]
        with np.errstate(invalid="ignore"):
            ratio = common / (areas[one] + areas[others] - common)
        # torchvision compares the float32 ratio with a double threshold.
        precise: Floats = ratio.astype(np.float64)
        return precise

    return overlap


def mask_overlap(masks: Sequence[Mask], kind: Literal["mask_iou", "containment"]) -> Overlap:
    """Return the overlap of the masks' pixels as an `Overlap`.

    Parameters
    ----------
    masks
        Masks of one image.
    kind
        ``"mask_iou"``: intersection over union. ``"containment"``: intersection over the
        smaller mask.

    Notes
    -----
    Pixels are counted only where the boxes overlap.
    """
    boxes = np.array([mask.box for mask in masks], np.int64).reshape(-1, 4)
    areas = np.array([mask.area for mask in masks], np.int64)

    def overlap(one: int, others: Indices) -> Floats:
        low = np.maximum(boxes[others, :2], boxes[one, :2])
        high = np.minimum(boxes[others, 2:], boxes[one, 2:])
        meeting = np.flatnonzero((high > low).all(axis=1))
        common = np.zeros(len(others), np.int64)
        for position in meeting:
            common[position] = shared_pixels(masks[one], masks[int(others[position])])
        if kind == "mask_iou":
            whole = areas[one] + areas[others] - common
        else:
            whole = np.minimum(areas[one], areas[others])
        shares: Floats = common / np.maximum(whole, 1)
        return shares

    return overlap


def crop_scores(crop_boxes: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """Return scores, float32 (N,), by which masks of smaller crops win over those of larger."""
    sides = crop_boxes[:, 2:].astype(np.int64) - crop_boxes[:, :2]
    scores: npt.NDArray[np.float32] = np.float32(1) / np.prod(sides, axis=1).astype(np.float32)
    return scores
