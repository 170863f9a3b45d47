"""Stability, area and box of masks at full resolution, from their low-resolution logits.

Definitions of the automatic mask generator of "Segment Anything" (Kirillov et al. 2023).
Logits are enlarged a few at a time, so that no array of all masks ever exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
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


@dataclass(frozen=True)
class Measured:
    """What masks measure, of those that are stable enough.

    Attributes
    ----------
    kept
        bool (N,), which of the masks are stable enough; the others have K = kept.sum() rows.
    stability
        float32 (K,) in [0, 1]: intersection over union of the two cuts; 0 where both are
        empty (upstream's ``calculate_stability_score`` gives NaN there, which no threshold
        lets pass).
    area
        int64 (K,), pixels.
    box
        int32 (K, 4), ``(x0, y0, x1, y1)`` in pixels of the crop, *inclusive*; all 0 for an
        empty mask.
    """

    kept: npt.NDArray[np.bool_]
    stability: npt.NDArray[np.float32]
    area: npt.NDArray[np.int64]
    box: npt.NDArray[np.int32]


def measure(
    logits: Tensor,
    size: tuple[int, int],
    *,
    group: int,
    mask_threshold: float,
    offset: float,
    floor: float = 0.0,
) -> Measured:
    """Measure how stable masks are, and how large, and where.

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
    offset
        Masks are stable that hardly change when cut at ``mask_threshold ± offset``.
    floor
        Only masks that reach this stability are measured further.
    """
    parts = [
        _measure(some, mask_threshold, offset, floor) for some in _enlarged(logits, size, group)
    ]
    kept = torch.cat([part[0] for part in parts] or [torch.zeros(0, dtype=torch.bool)])
    stable = torch.cat([part[1] for part in parts] or [torch.zeros(0)])
    area = torch.cat([part[2] for part in parts] or [torch.zeros(0, dtype=torch.int64)])
    box = torch.cat([part[3] for part in parts] or [torch.zeros((0, 4), dtype=torch.int32)])
    return Measured(kept.cpu().numpy(), stable.cpu().numpy(), area.cpu().numpy(), box.cpu().numpy())


def _measure(
    enlarged: Tensor, mask_threshold: float, offset: float, floor: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return which enlarged masks are stable, and the stability, area and box of those."""
    intersections = _count(enlarged > mask_threshold + offset)
    unions = _count(enlarged > mask_threshold - offset)
    stable = torch.where(unions > 0, intersections / unions, 0.0)
    kept = stable >= floor
    inside = (enlarged if kept.all() else enlarged[kept]) > mask_threshold
    return kept, stable[kept], _count(inside), _boxes(inside)


def _count(inside: Tensor) -> Tensor:
    """Count the pixels of bool masks (N, H, W), without overflow for any image."""
    # Bytes are summed several times as fast as bools.
    rows = inside.view(torch.uint8).sum(2, dtype=torch.int32)
    return rows.sum(1, dtype=torch.int64)


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
