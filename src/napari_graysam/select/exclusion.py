"""The first filter that dropped a candidate, with its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_graysam.masks import Mask
from napari_graysam.masks.hierarchy import of_level
from napari_graysam.select.arms import ALONE
from napari_graysam.select.filters import exceeds
from napari_graysam.select.measured import in_ranges, values_of
from napari_graysam.select.selection import Selection, nms_threshold

Filter = Literal[
    "predicted_iou",
    "stability",
    "crop_edge",
    "pinned",
    "duplicate",
    "consensus",
    "merged",
    "split",
    "min_area",
    "max_area",
    "border",
    "level",
    "disjoint",
    "filters",
]
_OVERLAP_NAMES = {"box": "box IoU", "mask_iou": "mask IoU", "containment": "containment"}


@dataclass(frozen=True)
class Exclusion:
    """Why a candidate is no object; attributes as of `Explanation`."""

    reason: Filter
    text: str
    value: float | None = None
    limit: float | None = None
    by: int | None = None
    by_candidate: int | None = None
    parameter: str | None = None
    relaxed: Any = None


class Exclusions:
    """Explains one selection.

    Parameters
    ----------
    selection
        The selection, with all its steps.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.labels = {
            candidate: label
            for label, candidate in enumerate(selection.selected.tolist(), start=1)
            if candidate >= 0
        }
        self.pins = {mask.pin: label for label, mask in enumerate(selection.masks, start=1)}
        self._sized = {candidate: place for place, candidate in enumerate(selection.sized.tolist())}
        self._regrouped = {
            index: one
            for one in selection.regroupings
            for mask in one.before
            for index in mask.candidates
        }
        self._of_level = set(of_level(selection.nested, selection.labels.level))

    def of(self, candidate: int) -> Exclusion | None:
        """Return the first filter in the pipeline's order that dropped a candidate."""
        if candidate in self.labels:
            return None
        selection = self.selection
        if not selection.pinned[candidate]:
            if not selection.passed_iou[candidate]:
                return self._predicted_iou(candidate)
            if not selection.passed_stability[candidate]:
                return self._stability(candidate)
            if selection.cut_off[candidate]:
                return Exclusion("crop_edge", "cut off by its crop's edge")
        if selection.displaced[candidate] >= 0:
            return self._replaced(int(selection.displaced[candidate]))
        for between in (False, True):
            better = int(selection.duplicate_of[int(between), candidate])
            if better >= 0:
                return self._duplicate(candidate, better, between)
        if selection.agreed[candidate] != -1:
            return self._one_arm(candidate)
        if candidate in self._regrouped:
            return self._regrouping(candidate)
        if candidate not in self._sized:
            return self._size_or_border(candidate)
        for mask in selection.unfiltered:
            if mask.candidates[:1] == (candidate,):
                return self._filtered(mask)
        place = self._sized[candidate]
        return self._disjoint() if place in self._of_level else self._nesting(place)

    def _predicted_iou(self, candidate: int) -> Exclusion:
        scored, limit = self.selection.scored, self.selection.limit_of(candidate)
        if limit != self.selection.generator.pred_iou_thresh:
            return self._matched(float(scored.predicted_iou[candidate]), limit)
        value, precision = float(scored.predicted_iou[candidate]), scored.record["precision"]
        one = scored.predicted_iou[[candidate]]
        return Exclusion(
            "predicted_iou",
            "predicted IoU {} not above {}".format(*distinct_decimals(value, limit)),
            value=value,
            limit=limit,
            parameter="generator.pred_iou_thresh",
            relaxed=_below(
                value,
                scored.record["iou_floor"],
                lambda threshold: bool(exceeds(one, threshold, precision)[0]),
            ),
        )

    def _matched(self, value: float, limit: float) -> Exclusion:
        numbers = "{} not above {}".format(*distinct_decimals(value, limit))
        text = f"predicted IoU {numbers}, the threshold matched to the raw arm's"
        return Exclusion("predicted_iou", text, value=value, limit=limit)

    def _one_arm(self, candidate: int) -> Exclusion:
        better = int(self.selection.agreed[candidate])
        if better == ALONE:
            return Exclusion("consensus", "only this arm found it, and both are asked for")
        label = self.labels.get(better)
        whom = f"object {label}" if label else "a better mask, itself removed later"
        text = f"the same object as {whom}, the other arm's mask of it"
        return Exclusion("consensus", text, by=label, by_candidate=better)

    def _stability(self, candidate: int) -> Exclusion:
        scored, limit = self.selection.scored, self.selection.generator.stability_score_thresh
        score = scored.stability[candidate]
        return Exclusion(
            "stability",
            "stability {} below {}".format(*distinct_decimals(float(score), limit)),
            value=float(score),
            limit=limit,
            parameter="generator.stability_score_thresh",
            relaxed=_below(
                float(score),
                scored.record["stability_floor"],
                lambda threshold: bool(score >= np.float32(threshold)),
            ),
        )

    def _replaced(self, pin: int) -> Exclusion:
        label = self.pins.get(pin)
        if label:
            return Exclusion("pinned", f"replaced by object {label}, which was pinned", by=label)
        removed = self.selection.labels.pinned[pin].kind == "remove"
        text = "removed by hand" if removed else "replaced by a pinned object that went later"
        return Exclusion("pinned", text)

    def _duplicate(self, candidate: int, better: int, between: bool) -> Exclusion:
        selection = self.selection
        limit = nms_threshold(selection.generator, selection.labels, between)
        overlap = selection.overlaps.overlap(better, candidate)
        kind, label = selection.labels.suppression, self.labels.get(better)
        whom = f"object {label}" if label else "a better mask, itself removed later"
        where = " in a smaller crop" if between else ""
        numbers = "{} > {}".format(*distinct_decimals(overlap, limit))
        if kind != "box":
            parameter = "labels.suppression_thresh"
        else:
            parameter = f"generator.{'crop' if between else 'box'}_nms_thresh"
        return Exclusion(
            "duplicate",
            f"duplicate of {whom}{where} ({_OVERLAP_NAMES[kind]} {numbers})",
            value=overlap,
            limit=limit,
            by=label,
            by_candidate=better,
            parameter=parameter,
            relaxed=min(1.0, math.ceil(round(overlap * 100, 6)) / 100),
        )

    def _regrouping(self, candidate: int) -> Exclusion:
        one = self._regrouped[candidate]
        found = (self.labels.get(mask.candidates[0]) for mask in one.after)
        labels = [str(label) for label in found if label is not None]
        name = f"object{'s' * (len(labels) > 1)} {' and '.join(labels)}"
        into = name if labels else "what was removed later"
        evidence = one.reasons.evidence
        verb = "merged" if one.kind == "merged" else "split"
        least = 1 - getattr(self.selection.labels.merging, "merge" if verb == "merged" else "split")
        return Exclusion(
            one.kind,
            "{} into {} (evidence {}, asked for {})".format(
                verb, into, *distinct_decimals(evidence, least)
            ),
            value=evidence,
            limit=least,
            by=int(labels[0]) if len(labels) == 1 else None,
        )

    def _size_or_border(self, candidate: int) -> Exclusion:
        labels, area = self.selection.labels, int(self.selection.cleaned.area[candidate])
        if area < max(1, labels.min_area):
            return Exclusion(
                "min_area",
                f"{area} px², smaller than {labels.min_area} px²",
                value=area,
                limit=labels.min_area,
                parameter="labels.min_area",
                relaxed=area,
            )
        if labels.max_area is not None and area > labels.max_area:
            return Exclusion(
                "max_area",
                f"{area} px², larger than {labels.max_area} px²",
                value=area,
                limit=labels.max_area,
                parameter="labels.max_area",
                relaxed=area,
            )
        return Exclusion(
            "border",
            "touches the border of the image",
            parameter="labels.exclude_border",
            relaxed=False,
        )

    def _nesting(self, place: int) -> Exclusion:
        selection = self.selection
        if selection.labels.level == "whole":
            relative = selection.nested[place].parent
            text = "lies within {}, and only wholes are kept"
        else:
            relative = next(i for i, mask in enumerate(selection.nested) if mask.parent == place)
            text = "holds {}, and only parts are kept"
        within = relative < len(selection.sized)
        other = int(selection.sized[relative]) if within else None
        label = (
            self.labels.get(other)
            if other is not None
            else self.pins.get(selection.nested[relative].pin)
        )
        return Exclusion(
            "level",
            text.format(f"object {label}" if label else "another mask"),
            by=label,
            by_candidate=other,
            parameter="labels.level",
            relaxed="all",
        )

    def _filtered(self, mask: Mask) -> Exclusion:
        for one in self.selection.labels.filters:
            if in_ranges([mask], [one], self.selection.raw)[0]:
                continue
            (value,) = values_of([mask], one.column, self.selection.raw).tolist()
            below = one.minimum is not None and not value >= one.minimum
            limit = one.minimum if below else one.maximum
            assert limit is not None
            numbers = distinct_decimals(value, limit)
            return Exclusion(
                "filters",
                "{} {} {} the filter's {}".format(
                    one.column, numbers[0], "below" if below else "above", numbers[1]
                ),
                value=value,
                limit=limit,
            )
        raise AssertionError("a mask in the range of every filter is an object")

    def _disjoint(self) -> Exclusion:
        return Exclusion(
            "disjoint",
            "more than half of it belongs to better objects",
            parameter="labels.overlap",
            relaxed="higher_score_on_top",
        )


def distinct_decimals(value: float, limit: float) -> tuple[str, str]:
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
