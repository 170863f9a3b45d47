"""Stability, area and box of masks at full resolution, from their low-resolution logits.

Definitions of the automatic mask generator of "Segment Anything" (Kirillov et al. 2023).
No array of all masks ever exists: on a processor the pixels of one mask at a time are enlarged,
where it can be; on a GPU, and to images smaller than the logits, a few whole masks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_graysam.propose.enlarge import Enlargement, Question, ask, enlarge, enlargement_of
from napari_graysam.propose.pixels import Box, Pixels, count, reach

# Enlarged logits held at once: fits a processor's cache, keeps a GPU busy.
_CPU_BYTES = 8 * 2**20
_GPU_BYTES = 512 * 2**20
# Thresholds: the higher and the lower one that stability compares, and the mask's own.
Cuts = tuple[float, float, float]


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
    """Measure as `begin_measuring` does, and end it."""
    enlargement = enlargement_of((logits.shape[1], logits.shape[2]), size, group, logits.device)
    cuts = {"mask_threshold": mask_threshold, "offset": offset, "floor": floor}
    return begin_measuring(logits, size, group, enlargement, **cuts)()


def begin_measuring(
    logits: Tensor,
    size: tuple[int, int],
    group: int,
    enlargement: Enlargement | None,
    *,
    mask_threshold: float,
    offset: float,
    floor: float,
) -> Callable[[], Measured]:
    """Measure how stable masks are, and how large, and where, as far as without torch.

    Parameters
    ----------
    logits
        (N, h, w).
    size
        ``(H, W)`` of the crop that they cover, in pixels.
    group
        As in `enlarge`.
    enlargement
        Of `enlargement_of`.
    mask_threshold
        Pixels above it are inside.
    offset
        Masks are stable that hardly change when cut at ``mask_threshold ± offset``.
    floor
        Only masks that reach this stability are kept.

    Returns
    -------
    Callable
        Ends it, in a thread with as many of torch's as that of the enlargement had.
    """
    cuts = mask_threshold + offset, mask_threshold - offset, mask_threshold
    logits = logits.float()
    # A sum takes a tenth of the time of looking at each.
    if enlargement is None or not torch.isfinite(logits.sum()):
        return partial(_measure_whole, logits, size, group, cuts, floor)
    tallies = [_tally(one, enlargement, cuts, floor) for one in logits.numpy()]
    return partial(_settle, tallies, enlargement, cuts, floor)


@dataclass
class _Tally:
    """Pixels of one mask above each cut, inclusive boxes that hold it, and what to ask torch."""

    counts: list[int] = field(default_factory=lambda: [0, 0, 0])
    boxes: list[Box] = field(default_factory=list)
    questions: list[tuple[int, Question]] = field(default_factory=list)

    def most_stable(self) -> np.float32:
        """Return the stability if all that torch is asked for is as good as it can be."""
        unsure = sum(len(question.y) for cut, question in self.questions if cut == 0)
        return _ratio(self.counts[0] + unsure, self.counts[1] or min(unsure, 1))

    def box(self) -> Box:
        """Return the inclusive box of all, 0 where there is nothing."""
        if not self.boxes:
            return 0, 0, 0, 0
        left, top, right, bottom = zip(*self.boxes, strict=True)
        return min(left), min(top), max(right), max(bottom)


def _ratio(intersection: int, union: int) -> np.float32:
    """Divide as torch does integers."""
    return np.float32(intersection) / np.float32(union) if union else np.float32(0)


def _tally(
    logits: npt.NDArray[np.float32], enlargement: Enlargement, cuts: Cuts, floor: float
) -> _Tally:
    """Count one mask's pixels, those above its own cut only if it can reach the floor."""
    tally = _Tally()
    pixels = Pixels(logits, enlargement, reach(logits, enlargement, min(cuts)))
    _, y0, _, y1 = pixels.box
    for strip in pixels.strips():
        for number, threshold in enumerate(cuts):
            if (
                number == 2
                and len(strip.values) == y1 - y0
                and tally.most_stable() < np.float32(floor)
            ):
                tally.questions.clear()
                break
            inside, questions = strip.above(threshold)
            found = count(inside)
            tally.counts[number] += found
            tally.questions += [(number, question) for question in questions]
            if found and number == 2:
                x, y, width, height = cv2.boundingRect(inside.view(np.uint8))
                x, y = x + strip.corner[0], y + strip.corner[1]
                tally.boxes.append((x, y, x + width - 1, y + height - 1))
    return tally


def _settle(tallies: list[_Tally], enlargement: Enlargement, cuts: Cuts, floor: float) -> Measured:
    """Ask torch for the pixels that are left, and sum up."""
    asked = [(tally, *question) for tally in tallies for question in tally.questions]
    answers = ask([question for _, _, question in asked], enlargement)
    for (tally, number, (_, y, x)), values in zip(asked, answers, strict=True):
        above = values > np.float32(cuts[number])
        tally.counts[number] += count(above)
        if number == 2 and above.any():
            x, y = x[above], y[above]
            tally.boxes.append((x.min(), y.min(), x.max(), y.max()))
    stability = np.array([_ratio(*tally.counts[:2]) for tally in tallies], np.float32)
    kept = stability >= np.float32(floor)
    return Measured(
        kept,
        stability[kept],
        np.array([tally.counts[2] for tally in tallies], np.int64)[kept],
        np.array([tally.box() for tally in tallies], np.int32).reshape(-1, 4)[kept],
    )


def _measure_whole(
    logits: Tensor, size: tuple[int, int], group: int, cuts: Cuts, floor: float
) -> Measured:
    """Measure masks that torch enlarges whole, a few at a time."""
    budget = _CPU_BYTES if logits.device.type == "cpu" else _GPU_BYTES
    few = group * max(1, budget // (4 * size[0] * size[1] * group))
    parts = [
        _measure(enlarge(some, size, group), cuts, floor)
        for some in torch.split(logits, few)
        if len(some)
    ]
    nothing = _measure(torch.zeros(0, 1, 1), cuts, floor)
    found = zip(*parts or [nothing], strict=True)
    return Measured(*(torch.cat(some).cpu().numpy() for some in found))


def _measure(enlarged: Tensor, cuts: Cuts, floor: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return which enlarged masks are stable, and the stability, area and box of those."""
    from sam2.utils.amg import batched_mask_to_box

    intersections, unions = ((enlarged > cut).flatten(1).sum(1) for cut in cuts[:2])
    stable = torch.where(unions > 0, intersections / unions, 0.0)
    kept = stable >= floor
    inside = (enlarged if kept.all() else enlarged[kept]) > cuts[2]
    return kept, stable[kept], inside.flatten(1).sum(1), batched_mask_to_box(inside).int()
