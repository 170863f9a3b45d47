"""Removal of duplicates: greedy non-maximum suppression, within crops and between them.

On boxes it gives the result and order of torchvision's ``batched_nms``, which upstream's
generator calls for each crop and then between crops.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_graysam.propose import Proposals
from napari_graysam.select.overlaps import OverlapTable
from napari_graysam.select.shapes import Indices

Scores = npt.NDArray[np.float32]

# Above this many boxes torchvision brings the survivors in order with a sort that is not
# stable: on CPUs, and on GPUs.
_STABLE_UP_TO = {"cpu": 1000}
_STABLE_UP_TO_ON_GPU = 25_000


def suppress(
    candidates: Indices,
    scores: Scores,
    overlaps: OverlapTable,
    threshold: float,
    duplicate_of: Indices,
) -> Indices:
    """Keep the best candidate, drop all that overlap it by more than a threshold, repeat.

    Parameters
    ----------
    candidates
        intp (K,) of all N.
    scores
        float32 (K,); higher is better. Equals keep their order. Infinite: never dropped.
    overlaps
        Of all candidates.
    threshold
        Largest overlap that two kept candidates may have.
    duplicate_of
        intp (N,); of each candidate dropped here, set to the one that it is a duplicate of.

    Returns
    -------
    Positions in ``candidates`` of what is kept, best first.
    """
    order = np.argsort(-scores, kind="stable")
    if threshold >= 1:
        return order
    waiting = np.zeros(len(duplicate_of), bool)
    waiting[candidates[~np.isposinf(scores)]] = True
    dropped = np.zeros(len(duplicate_of), bool)
    numbers = candidates.tolist()
    kept = []
    for position in order.tolist():
        best = numbers[position]
        if dropped[best]:
            continue
        kept.append(position)
        waiting[best] = False
        duplicates = overlaps.beyond(best, threshold, waiting)
        if duplicates.size:
            waiting[duplicates] = False
            dropped[duplicates] = True
            duplicate_of[duplicates] = best
    return np.array(kept, np.intp)


def suppress_by_crop(
    chosen: Indices,
    proposals: Proposals,
    pinned: npt.NDArray[np.bool_],
    overlaps: OverlapTable,
    within: float,
    between: float | None,
) -> tuple[Indices, Indices]:
    """Remove duplicates within each crop by predicted IoU, then prefer smaller crops.

    Parameters
    ----------
    chosen
        intp (K,), candidates that passed the filters before.
    proposals
        All N candidates.
    pinned
        bool (N,), candidates that are never dropped and count as the best.
    overlaps
        Of all candidates.
    within, between
        Largest overlap of two candidates of one crop, and of different crops; None leaves
        those of different crops alone.

    Returns
    -------
    survivors
        intp (L,), best first.
    duplicate_of
        intp (2, N), who dropped a candidate within its crop and between crops; -1 for nobody.
    """
    device_type = proposals.record["device"].partition(":")[0]
    duplicate_of = np.full((2, len(proposals)), -1, np.intp)

    def distinct(members: Indices, scores: Scores, threshold: float, by: Indices) -> Indices:
        scores = np.where(pinned[members], np.float32(np.inf), scores)
        kept = suppress(members, scores, overlaps, threshold, by)
        if overlaps.kind == "box":
            kept = in_upstreams_order(kept, scores, device_type)
        return members[kept]

    crop = proposals.crop[chosen]
    found = [np.empty(0, np.intp)]
    for number in np.unique(crop):
        members = chosen[crop == number]
        found.append(distinct(members, proposals.predicted_iou[members], within, duplicate_of[0]))
    survivors = np.concatenate(found)
    if between is not None:
        scores = crop_scores(proposals.crop_box[survivors])
        survivors = distinct(survivors, scores, between, duplicate_of[1])
    return survivors, duplicate_of


def in_upstreams_order(kept: Indices, scores: Scores, device_type: str) -> Indices:
    """Bring the boxes that suppression keeps of all with these ``scores`` in torchvision's order.

    Parameters
    ----------
    kept
        Best first, equals in their order.
    scores
        float32 (N,), of all boxes.
    device_type
        Where upstream would compute; matters only to the order of equal scores among more
        than a thousand boxes.
    """
    if len(scores) <= _STABLE_UP_TO.get(device_type, _STABLE_UP_TO_ON_GPU):
        return kept
    import torch

    kept = np.sort(kept)
    order = torch.sort(torch.from_numpy(scores[kept]), descending=True)[1]
    ordered: Indices = kept[order.numpy()]
    return ordered


def crop_scores(crop_boxes: npt.NDArray[np.integer]) -> Scores:
    """Return scores, float32 (N,), by which masks of smaller crops win over those of larger."""
    sides = crop_boxes[:, 2:].astype(np.int64) - crop_boxes[:, :2]
    scores: Scores = np.float32(1) / np.prod(sides, axis=1).astype(np.float32)
    return scores
