"""Stability, area and box of masks at full resolution, from their low-resolution logits.

Definitions of the automatic mask generator of "Segment Anything" (Kirillov et al. 2023).
No array of all masks ever exists: only the cells at a mask's outline are enlarged, or where
that cannot be done to the bit, the logits of a few masks at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_graysam.propose.cells import Cells, Enlargement, enlarge, enlargement_of

# Enlarged logits held at once: fits a processor's cache, keeps a GPU busy.
_CPU_BYTES = 8 * 2**20
_GPU_BYTES = 512 * 2**20
# Low-resolution logits whose cells are looked at together.
_CELLS = 2**18
# Pixels a cell from which on cells are faster than pixels.
_WORTHWHILE = 4
# A pixel of an outline costs as much as so many of a whole image, its cell as so many of them.
_SLOWER, _CELL = 3, 20


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
    cuts = mask_threshold, offset, floor
    coarse = size[0] * size[1] >= _WORTHWHILE * logits.shape[1] * logits.shape[2]
    enlargement = enlargement_of(logits, size, group) if coarse and len(logits) else None
    parts = []
    for some in _few(logits, group):
        cells = _outlined(some, size, enlargement, mask_threshold, offset)
        if cells is not None:
            parts.append(_measure_cells(cells, *cuts))
        else:
            parts.extend(_measure(whole, *cuts) for whole in _enlarged(some, size, group))
    kept = torch.cat([part[0] for part in parts] or [torch.zeros(0, dtype=torch.bool)])
    stable = torch.cat([part[1] for part in parts] or [torch.zeros(0)])
    area = torch.cat([part[2] for part in parts] or [torch.zeros(0, dtype=torch.int64)])
    box = torch.cat([part[3] for part in parts] or [torch.zeros((0, 4), dtype=torch.int32)])
    return Measured(kept.cpu().numpy(), stable.cpu().numpy(), area.cpu().numpy(), box.cpu().numpy())


def _few(logits: Tensor, group: int) -> tuple[Tensor, ...]:
    """Split logits into those of a few masks; a GPU takes all."""
    count = group * max(1, _CELLS // max(1, group * logits.shape[1] * logits.shape[2]))
    if logits.device.type != "cpu":
        count = max(1, len(logits))
    return torch.split(logits.float(), count) if len(logits) else ()


def _outlined(
    logits: Tensor,
    size: tuple[int, int],
    enlargement: Enlargement | None,
    mask_threshold: float,
    offset: float,
) -> Cells | None:
    """Divide masks into cells; None where the outlines are so long that pixels are faster."""
    if enlargement is None:
        return None
    cells = Cells(logits, enlargement, mask_threshold - offset)
    pixels = enlargement.down.near.shape[0] * enlargement.across.near.shape[0]
    outlines = sum(
        int(torch.count_nonzero(cells.split(mask_threshold + sign * offset)[1])) for sign in (-1, 1)
    )
    shortest = outlines * (pixels + _CELL) * _SLOWER
    return cells if shortest < len(logits) * size[0] * size[1] else None


def _measure_cells(
    cells: Cells, mask_threshold: float, offset: float, floor: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Do as `_measure`, enlarging only outlines."""
    intersections = _count_cells(cells, mask_threshold + offset)
    unions = _count_cells(cells, mask_threshold - offset)
    stable = torch.where(unions > 0, intersections / unions, 0.0)
    kept = stable >= floor
    return kept, stable[kept], *_area_and_box(cells[kept], mask_threshold)


def _count_cells(cells: Cells, threshold: float) -> Tensor:
    """Count the pixels above a threshold."""
    above, outline = cells.split(threshold)
    count = _pixels(above, cells.enlargement)
    for mask, _, _, inside in cells.outline(outline, threshold):
        count.index_add_(0, mask, inside.view(torch.uint8).sum((0, 1)))
    return count


def _pixels(above: Tensor, enlargement: Enlargement) -> Tensor:
    """Count the pixels of whole cells; the sums are exact in these types."""
    rows = above.float() @ enlargement.across.size.float()
    return (rows.double() @ enlargement.down.size.double()).long()


def _area_and_box(cells: Cells, threshold: float) -> tuple[Tensor, Tensor]:
    """Return the area and inclusive box of the pixels above a threshold."""
    down, across, _ = cells.enlargement
    above, outline = cells.split(threshold)
    area = _pixels(above, cells.enlargement)
    rows, columns = above.any(2)[:, down.cell], above.any(1)[:, across.cell]
    for mask, y, x, inside in cells.outline(outline, threshold):
        area.index_add_(0, mask, inside.view(torch.uint8).sum((0, 1)))
        for line, axis, cell, reached in (
            (rows, down, y, inside.any(1)),
            (columns, across, x, inside.any(0)),
        ):
            place, which = torch.nonzero(reached, as_tuple=True)
            line[mask[which], axis.start[cell[which]] + place] = True
    left, right = _ends(columns)
    top, bottom = _ends(rows)
    box = torch.stack([left, top, right, bottom], dim=1)
    box[area > 0] += torch.tensor([*cells.corner, *cells.corner])
    return area, box.to(torch.int32)


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
