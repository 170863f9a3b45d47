"""The first filter that dropped a candidate, with its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_graysam.select.choice import Choice, threshold_of
from napari_graysam.select.filters import exceeds

Filter = Literal[
    "predicted_iou",
    "stability",
    "crop_edge",
    "duplicate",
    "min_area",
    "max_area",
    "border",
    "level",
    "disjoint",
]
_OVERLAP_NAMES = {"box": "box IoU", "mask_iou": "mask IoU", "containment": "containment"}


@dataclass(frozen=True)
class Drop:
    """Why a candidate is no object; attributes as of `Verdict`."""

    reason: Filter
    text: str
    value: float | None = None
    limit: float | None = None
    by: int | None = None
    by_candidate: int | None = None
    parameter: str | None = None
    loosened: Any = None


class Reasons:
    """Explains one choice.

    Parameters
    ----------
    choice
        The selection, with all its steps.
    """

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.labels = {
            candidate: label for label, candidate in enumerate(choice.selected.tolist(), start=1)
        }
        self._sized = {candidate: place for place, candidate in enumerate(choice.sized.tolist())}
        self._level = set(choice.level)

    def of(self, candidate: int) -> Drop | None:
        """Return the first filter in the pipeline's order that dropped a candidate."""
        if candidate in self.labels:
            return None
        choice = self.choice
        if not choice.forced[candidate]:
            if not choice.passed_iou[candidate]:
                return self._predicted_iou(candidate)
            if not choice.passed_stability[candidate]:
                return self._stability(candidate)
            if choice.cut_off[candidate]:
                return Drop("crop_edge", "cut off by its crop's edge")
        for between in (False, True):
            better = int(choice.duplicate_of[int(between), candidate])
            if better >= 0:
                return self._duplicate(candidate, better, between)
        if candidate not in self._sized:
            return self._size_or_border(candidate)
        place = self._sized[candidate]
        return self._disjoint() if place in self._level else self._nesting(place)

    def _predicted_iou(self, candidate: int) -> Drop:
        scored, limit = self.choice.scored, self.choice.generator.pred_iou_thresh
        value, precision = float(scored.predicted_iou[candidate]), scored.record["precision"]
        one = scored.predicted_iou[[candidate]]
        return Drop(
            "predicted_iou",
            "predicted IoU {} not above {}".format(*told_apart(value, limit)),
            value=value,
            limit=limit,
            parameter="generator.pred_iou_thresh",
            loosened=_below(
                value,
                scored.record["iou_floor"],
                lambda threshold: bool(exceeds(one, threshold, precision)[0]),
            ),
        )

    def _stability(self, candidate: int) -> Drop:
        scored, limit = self.choice.scored, self.choice.generator.stability_score_thresh
        score = scored.stability[candidate]
        return Drop(
            "stability",
            "stability {} below {}".format(*told_apart(float(score), limit)),
            value=float(score),
            limit=limit,
            parameter="generator.stability_score_thresh",
            loosened=_below(
                float(score),
                scored.record["stability_floor"],
                lambda threshold: bool(score >= np.float32(threshold)),
            ),
        )

    def _duplicate(self, candidate: int, better: int, between: bool) -> Drop:
        choice = self.choice
        limit = threshold_of(choice.generator, choice.labels, between)
        overlap = choice.pairs.overlap(better, candidate)
        kind, label = choice.labels.suppression, self.labels.get(better)
        whom = f"object {label}" if label else "a better mask, itself removed later"
        where = " in a smaller crop" if between else ""
        numbers = "{} > {}".format(*told_apart(overlap, limit))
        if kind != "box":
            parameter = "labels.suppression_thresh"
        else:
            parameter = f"generator.{'crop' if between else 'box'}_nms_thresh"
        return Drop(
            "duplicate",
            f"duplicate of {whom}{where} ({_OVERLAP_NAMES[kind]} {numbers})",
            value=overlap,
            limit=limit,
            by=label,
            by_candidate=better,
            parameter=parameter,
            loosened=min(1.0, math.ceil(round(overlap * 100, 6)) / 100),
        )

    def _size_or_border(self, candidate: int) -> Drop:
        labels, area = self.choice.labels, int(self.choice.cleaned.area[candidate])
        if area < max(1, labels.min_area):
            return Drop(
                "min_area",
                f"{area} px², smaller than {labels.min_area} px²",
                value=area,
                limit=labels.min_area,
                parameter="labels.min_area",
                loosened=area,
            )
        if labels.max_area is not None and area > labels.max_area:
            return Drop(
                "max_area",
                f"{area} px², larger than {labels.max_area} px²",
                value=area,
                limit=labels.max_area,
                parameter="labels.max_area",
                loosened=area,
            )
        return Drop(
            "border",
            "touches the border of the image",
            parameter="labels.exclude_border",
            loosened=False,
        )

    def _nesting(self, place: int) -> Drop:
        choice = self.choice
        if choice.labels.level == "whole":
            relative, text = choice.nested[place].parent, "lies within {}, and only wholes are kept"
        else:
            relative = next(i for i, mask in enumerate(choice.nested) if mask.parent == place)
            text = "holds {}, and only parts are kept"
        other = int(choice.sized[relative])
        label = self.labels.get(other)
        return Drop(
            "level",
            text.format(f"object {label}" if label else "another mask"),
            by=label,
            by_candidate=other,
            parameter="labels.level",
            loosened="all",
        )

    def _disjoint(self) -> Drop:
        return Drop(
            "disjoint",
            "more than half of it belongs to better objects",
            parameter="labels.overlap",
            loosened="higher_score_on_top",
        )


def told_apart(value: float, limit: float) -> tuple[str, str]:
    """Write two numbers with as many decimals, two or more, as they need to differ."""
    for decimals in range(2, 7):
        texts = f"{value:.{decimals}f}", f"{limit:.{decimals}f}"
        if texts[0] != texts[1]:
            break
    return texts


def _below(score: float, floor: float, passes: Callable[[float], bool]) -> float:
    """Return the highest threshold of few decimals that a score passes, no lower than a floor."""
    for decimals in (2, 3, 4):
        step = 10.0**-decimals
        lowest = round(math.floor(score / step) * step, decimals)
        for threshold in (lowest + step, lowest, lowest - step):
            threshold = round(threshold, decimals)
            if threshold >= floor and passes(threshold):
                return threshold
    return floor
