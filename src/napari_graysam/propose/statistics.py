"""Stability, area and box of masks at full resolution, from their low-resolution logits.

Definitions of the automatic mask generator of "Segment Anything" (Kirillov et al. 2023).
No array of all masks ever exists: on a processor the pixels of one mask at a time are enlarged,
where it can be, and where that cannot be done to the bit, a few whole masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_graysam.propose.enlarge import Enlargement, enlarge, enlargement_of
from napari_graysam.propose.pixels import Box, Pixels, count, reach

# Enlarged logits held at once: fits a processor's cache, keeps a GPU busy.
_CPU_BYTES = 8 * 2**20
_GPU_BYTES = 512 * 2**20


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
    enlargement: Enlargement | None = None,
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
        Only masks that reach this stability are kept.
    enlargement
        Of `enlargement_of`, if it is known already.
    """
    cuts = mask_threshold, offset, floor
    logits = logits.float()
    enlargement = enlargement or enlargement_of(_shape(logits), size, group, logits.device)
    if enlargement is not None and torch.isfinite(logits).all():
        return _measure_pixels(logits.numpy(), enlargement, *cuts)
    parts = [_measure(whole, *cuts) for whole in _enlarged(logits, size, group)]
    kept = torch.cat([part[0] for part in parts] or [torch.zeros(0, dtype=torch.bool)])
    stable = torch.cat([part[1] for part in parts] or [torch.zeros(0)])
    area = torch.cat([part[2] for part in parts] or [torch.zeros(0, dtype=torch.int64)])
    box = torch.cat([part[3] for part in parts] or [torch.zeros((0, 4), dtype=torch.int32)])
    return Measured(kept.cpu().numpy(), stable.cpu().numpy(), area.cpu().numpy(), box.cpu().numpy())


def _shape(logits: Tensor) -> tuple[int, int]:
    return logits.shape[1], logits.shape[2]


def _measure_pixels(
    logits: npt.NDArray[np.float32],
    enlargement: Enlargement,
    mask_threshold: float,
    offset: float,
    floor: float,
) -> Measured:
    """Measure the pixels of one mask at a time."""
    rows = [_measure_one(one, enlargement, mask_threshold, offset, floor) for one in logits]
    stability = np.array([row[0] for row in rows], np.float32)
    kept = stability >= np.float32(floor)
    return Measured(
        kept,
        stability[kept],
        np.array([row[1] for row in rows], np.int64)[kept],
        np.array([row[2] for row in rows], np.int32).reshape(-1, 4)[kept],
    )


def _ratio(intersection: int, union: int) -> np.float32:
    """Divide as torch does integers."""
    return np.float32(intersection) / np.float32(union) if union else np.float32(0)


def _measure_one(
    logits: npt.NDArray[np.float32],
    enlargement: Enlargement,
    mask_threshold: float,
    offset: float,
    floor: float,
) -> tuple[np.float32, int, Box]:
    """Return stability and, if it reaches the floor, area and inclusive box of one mask."""
    inner, outer = mask_threshold + offset, mask_threshold - offset
    pixels = Pixels(logits, enlargement, reach(logits, enlargement, min(mask_threshold, outer)))
    intersection = union = area = 0
    corners = []
    for strip in pixels.strips():
        intersection += count(strip.above(inner))
        union += count(strip.above(outer))
        if strip.alone and _ratio(intersection, union) < np.float32(floor):
            break
        inside = strip.above(mask_threshold)
        if found := count(inside):
            area += found
            x, y, width, height = cv2.boundingRect(inside.view(np.uint8))
            x, y = x + strip.corner[0], y + strip.corner[1]
            corners.append((x, y, x + width - 1, y + height - 1))
    stability = _ratio(intersection, union)
    if not corners:
        return stability, 0, (0, 0, 0, 0)
    left, top, right, bottom = zip(*corners, strict=True)
    return stability, area, (min(left), min(top), max(right), max(bottom))


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
