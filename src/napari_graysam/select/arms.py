"""Candidates of both arms in one selection: their thresholds, and what both of them found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import Overlaps, match
from napari_graysam.masks.overlap import shared_box_pixels
from napari_graysam.propose import Proposals
from napari_graysam.propose.arms import candidate_arms
from napari_graysam.recipe import BothArms, GeneratorOptions
from napari_graysam.select.filters import passes_iou, passes_stability
from napari_graysam.select.nms import suppress_by_crop
from napari_graysam.select.overlaps import OverlapTable
from napari_graysam.select.shapes import Indices, Shapes

SAME = 0.5
"""Mask IoU from which masks of both arms are the same object."""
ALONE = -2

Flags = npt.NDArray[np.bool_]


class Passed(NamedTuple):
    """Which candidates pass the thresholds of scores.

    Attributes
    ----------
    iou, stability
        bool (N,).
    limits
        Threshold of the predicted IoU for each arm, in the order of `ARMS`; one where all
        candidates are of one arm.
    """

    iou: Flags
    stability: Flags
    limits: tuple[float, ...]


class Distinct(NamedTuple):
    """What is left when duplicates are gone.

    Attributes
    ----------
    survivors
        intp (L,), best first.
    duplicate_of
        intp (2, N), who dropped a candidate within its crop and between crops; -1 for nobody.
    agreed
        intp (N,), for a consensus: the better mask of the same object in the other arm, which
        replaces a candidate; `ALONE` where the other arm has none; -1 for all others.
    """

    survivors: Indices
    duplicate_of: Indices
    agreed: Indices


def passing(scored: Proposals, generator: GeneratorOptions, both: BothArms | None) -> Passed:
    """Tell which candidates pass the thresholds of scores.

    Parameters
    ----------
    scored
        The candidates.
    generator
        Thresholds.
    both
        Whether those of the preprocessed arm are matched; None for candidates of one arm.
    """
    stable, iou = passes_stability(scored, generator), passes_iou(scored, generator)
    own = generator.pred_iou_thresh
    arms = candidate_arms(scored)
    if arms is None:
        return Passed(iou, stable, (own,))
    if both is None or not both.matched:
        return Passed(iou, stable, (own, own))
    count = int(np.count_nonzero(iou & stable & (arms == 0)))
    scores = scored.predicted_iou[stable & (arms == 1)]
    limit = scored.record["iou_floor"]
    if count < len(scores):
        limit = max(limit, float(np.sort(scores)[len(scores) - count - 1]))
    matched = passes_iou(scored, generator.replace(pred_iou_thresh=min(1.0, limit)))
    return Passed(np.where(arms == 1, matched, iou), stable, (own, limit))


def distinct(
    chosen: Indices,
    scored: Proposals,
    pinned: Flags,
    overlaps: OverlapTable,
    within: float,
    between: float | None,
    both: BothArms | None,
) -> Distinct:
    """Remove duplicates; of a consensus, within each arm, and then what only one arm found.

    Parameters
    ----------
    chosen
        intp (K,), candidates that passed the filters before.
    scored, pinned, overlaps, within, between
        As for `suppress_by_crop`.
    both
        Whether it is a consensus; None for candidates of one arm.
    """
    agreed = np.full(len(scored), -1, np.intp)
    arms = candidate_arms(scored)
    rules = (scored, pinned, overlaps, within, between)
    if arms is None or both is None or not both.consensus:
        return Distinct(*suppress_by_crop(chosen, *rules), agreed)
    found, dropped = [], []
    for number in (0, 1):
        survivors, by = suppress_by_crop(chosen[arms[chosen] == number], *rules)
        found.append(survivors)
        dropped.append(by)
    pairs = _pairs(found[0], found[1], overlaps.shapes)
    kept = np.concatenate(found)
    agreed[kept] = ALONE
    for one, other in pairs:
        better, worse = (one, other) if _rank(one, scored) >= _rank(other, scored) else (other, one)
        agreed[better], agreed[worse] = -1, better
    agreed[pinned] = -1
    survivors, by = suppress_by_crop(kept[agreed[kept] == -1], *rules)
    return Distinct(survivors, np.max([*dropped, by], axis=0), agreed)


def _rank(candidate: int, scored: Proposals) -> tuple[float, float]:
    return float(scored.predicted_iou[candidate]), float(scored.stability[candidate])


def _pairs(raw: Indices, preprocessed: Indices, shapes: Shapes) -> list[tuple[int, int]]:
    """Pair masks of both arms one to one, those with a mask IoU of at least `SAME`."""
    boxes = shapes.box[preprocessed]
    found = [
        (i, j, pixels)
        for i, one in enumerate(raw.tolist())
        for j in np.flatnonzero(shared_box_pixels(shapes.box[one], boxes)).tolist()
        if (pixels := shapes.shared(one, int(preprocessed[j])))
    ]
    table = np.array(found, np.int64).reshape(-1, 3)
    overlaps = Overlaps(
        areas_a=shapes.area[raw],
        areas_b=shapes.area[preprocessed],
        a=table[:, 0].astype(np.intp),
        b=table[:, 1].astype(np.intp),
        pixels=table[:, 2],
    )
    chosen = match(overlaps, SAME)
    a, b = raw[overlaps.a[chosen]], preprocessed[overlaps.b[chosen]]
    return list(zip(a.tolist(), b.tolist(), strict=True))
