"""Stability, area and box of masks at full resolution, from their low-resolution logits.

Definitions of the automatic mask generator of "Segment Anything" (Kirillov et al. 2023).
Logits are enlarged a few at a time, so that no array of all masks ever exists.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

# Enlarged logits held at once: fits a processor's cache, keeps a GPU busy.
_CPU_BYTES = 8 * 2**20
_GPU_BYTES = 512 * 2**20


def enlarge(logits: Tensor, size: tuple[int, int], group: int) -> Tensor:
    """Enlarge logits bilinearly to an image.

    Parameters
    ----------
    logits
        (N, h, w).
    size
        ``(H, W)`` in pixels.
    group
        How many go through as the channels of one image: the last bit of torch's result on a
        single CPU thread depends on it, but not on which they are.

    Returns
    -------
    float32 (N, H, W), the values of ``SAM2Transforms.postprocess_masks`` where ``group`` is
    the number of masks that the decoder gave for a prompt.
    """
    count = len(logits)
    missing = -count % group
    filled = torch.cat([logits, logits[:1].expand(missing, -1, -1)]) if missing else logits
    groups = filled.float().reshape(-1, group, *logits.shape[1:])
    images = functional.interpolate(groups, size, mode="bilinear", align_corners=False)
    return images.flatten(0, 1)[:count]


def _enlarged(logits: Tensor, size: tuple[int, int], group: int) -> Iterator[Tensor]:
    """Yield the enlarged logits of a few masks at a time, in order."""
    budget = _CPU_BYTES if logits.device.type == "cpu" else _GPU_BYTES
    count = group * max(1, budget // (4 * size[0] * size[1] * group))
    for some in torch.split(logits, count) if len(logits) else ():
        yield enlarge(some, size, group)


def stability(
    logits: Tensor,
    size: tuple[int, int],
    *,
    group: int,
    mask_threshold: float,
    offset: float,
) -> Tensor:
    """Measure how little masks change when they are cut higher or lower.

    Parameters
    ----------
    logits
        (N, h, w).
    size
        ``(H, W)`` of the crop that they cover, in pixels.
    group
        As in `enlarge`.
    mask_threshold, offset
        The masks are cut at ``mask_threshold ± offset``.

    Returns
    -------
    float32 (N,) in [0, 1]: intersection over union of the two cuts; 0 where both are empty
    (upstream's ``calculate_stability_score`` gives NaN there, which no threshold lets pass).
    """
    scores = [_stability(some, mask_threshold, offset) for some in _enlarged(logits, size, group)]
    return torch.cat(scores) if scores else torch.zeros(0, device=logits.device)


def area_and_box(
    logits: Tensor, size: tuple[int, int], *, group: int, mask_threshold: float
) -> tuple[Tensor, Tensor]:
    """Measure the area and the bounding box of masks.

    Parameters
    ----------
    logits
        (N, h, w).
    size
        ``(H, W)`` of the crop that they cover, in pixels.
    group
        As in `enlarge`.
    mask_threshold
        Pixels above it are inside.

    Returns
    -------
    area
        int64 (N,), pixels.
    box
        int32 (N, 4), ``(x0, y0, x1, y1)`` in pixels of the crop, *inclusive*; all 0 for an
        empty mask.
    """
    areas, boxes = [], []
    for some in _enlarged(logits, size, group):
        inside = some > mask_threshold
        areas.append(_count(inside))
        boxes.append(_boxes(inside))
    if not areas:
        none = torch.zeros(0, dtype=torch.int64, device=logits.device)
        return none, none.to(torch.int32).reshape(0, 4)
    return torch.cat(areas), torch.cat(boxes)


def _stability(enlarged_logits: Tensor, mask_threshold: float, offset: float) -> Tensor:
    """Return the stability of enlarged masks."""
    intersections = _count(enlarged_logits > mask_threshold + offset)
    unions = _count(enlarged_logits > mask_threshold - offset)
    return torch.where(unions > 0, intersections / unions, 0.0)


def _count(inside: Tensor) -> Tensor:
    """Count the pixels of each mask, without overflow for any image."""
    return inside.flatten(1).sum(1)


def _boxes(inside: Tensor) -> Tensor:
    """Return the inclusive boxes of bool masks (N, H, W)."""
    bits = inside.view(torch.uint8)
    left, right = _ends(bits.amax(1))
    top, bottom = _ends(bits.amax(2))
    return torch.stack([left, top, right, bottom], dim=1).to(torch.int32)


def _ends(line: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and last index of a non-zero in each row; 0 and 0 where all are zero."""
    length = line.shape[1]
    index = torch.arange(length, dtype=torch.int32, device=line.device)
    first = torch.where(line > 0, index, length).amin(1)
    last = torch.where(line > 0, index, 0).amax(1)
    return torch.where(first < length, first, 0), last
