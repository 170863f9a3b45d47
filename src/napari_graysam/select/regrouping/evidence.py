"""How much speaks for two masks being one object, or for one mask being several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_graysam.masks import Mask, shared_pixels
from napari_graysam.select.regrouping.outline import Outline, hull_area

LEAST_BORDER = 0.15
"""Shortest common border of neighbours, in parts of the side of a square like the smaller one."""
SHORTEST = 3.0
"""The same in pixels."""
SUREST = 0.9
"""Quantile of the predicted IoU of an image's objects, from which they are its surest."""
ASKED = 0.9
"""What an answer that shows two masks as one object adds to the logit of their evidence."""
WHOLE, ROUND = 0.6, 0.06
"""Most that a larger candidate adds, and most of `Border.rounder` that counts.

Two cells beside each other have more of both than two halves of one.
"""
LONG = 2.5
"""Length of a common border, as of `Border`, from which it speaks against a merge.

Halves of an object meet along a cut; what meets along more lies around or upon the other one.
"""
_LEAST_SPREAD = 1 / 255


@dataclass(frozen=True)
class Border:
    """What two neighbouring masks have in common.

    Attributes
    ----------
    length
        Of the common border, in parts of the side of a square as large as the smaller mask.
    edge
        Of each image, how far the gray values along the common border are from those inside the
        masks, or if it is more, half of how far the insides are from each other; in sums of
        both masks' standard deviations.
    rounder
        How much more of its convex hull the union fills than the masks do on their own;
        negative if less.
    """

    length: float
    edge: tuple[float, ...]
    rounder: float


def common_border(one: Outline, other: Outline) -> Border | None:
    """Measure the common border of two masks; None where they are no neighbours."""
    at_one, at_other = one.along(other), other.along(one)
    length = (np.count_nonzero(at_one) + np.count_nonzero(at_other)) / 2
    areas = np.array([one.mask.area, other.mask.area])
    union = areas.sum() - shared_pixels(one.mask, other.mask)
    side = math.sqrt(areas.min())
    if length < max(SHORTEST, LEAST_BORDER * side):
        return None
    between = np.hstack([one.level[:, at_one], other.level[:, at_other]]).mean(axis=1)
    line = np.abs(between - (one.mean + other.mean) / 2)
    step = np.abs(one.mean - other.mean) / 2
    edge = np.maximum(line, step) / (one.spread + other.spread + _LEAST_SPREAD)
    hull = hull_area(np.vstack([one.hull, other.hull]))
    alone = areas @ [one.solidity, other.solidity] / areas.sum()
    return Border(
        length=length / side,
        edge=tuple(edge.tolist()),
        rounder=float(min(1.0, union / hull) - alone),
    )


@dataclass(frozen=True)
class Reasons:
    """What speaks for a merge or a split, and how much in one number.

    Attributes
    ----------
    evidence
        In [0, 1].
    edge
        Between the masks, as of `Border`; of both images the one that speaks against counts.
    rounder
        As of `Border`.
    score
        Of a merge, the masks' mean predicted IoU minus that of the image's surest objects; of a
        split, the least predicted IoU of the parts, minus that of the whole.
    whole
        Of a merge, predicted IoU of a larger candidate that covers the masks, minus theirs; NaN
        if there is none.
    covered
        How much of the larger one the smaller ones cover; NaN if there is no larger one.
    asked
        Of a merge, predicted IoU of what the model drew for both when it was asked, minus theirs;
        NaN if it was not asked, or did not show them as one object.
    """

    evidence: float
    edge: float
    rounder: float
    score: float
    whole: float = math.nan
    covered: float = math.nan
    asked: float = math.nan

    @property
    def words(self) -> str:
        """What was measured, as a list in words."""
        said = [f"edge {self.edge:.2f}", f"rounder by {self.rounder:+.2f}"]
        if not math.isnan(self.whole):
            said.append(f"a larger candidate, predicted IoU {self.whole:+.2f}")
        if not math.isnan(self.asked):
            said.append(f"drawn as one when asked, predicted IoU {self.asked:+.2f}")
        return ", ".join(said).replace("-", "−")

    def to_dict(self) -> dict[str, float | None]:
        """Return plain values for JSON, to three decimals, with None for NaN."""
        return {
            name: None if math.isnan(value) else round(value, 3)
            for name, value in vars(self).items()
        }


def for_merging(
    border: Border,
    score: float,
    whole: float = math.nan,
    covered: float = math.nan,
    asked: float = math.nan,
) -> Reasons:
    """Judge whether two neighbours are one object; parameters as of `Reasons`.

    Notes
    -----
    A logistic regression on neighbours in half of the images of eleven development sets, at the
    preset's thresholds and at lower ones (`benchmarks/merging.py` measures on the other half):
    about the probability that they are one object there. Where features saturate (`WHOLE`,
    `ROUND`) and the part of the border's length (`LONG`) were set by hand on all of them.
    """
    edge = max(border.edge)
    logit = -1.2 + 5.5 * min(border.rounder, ROUND) - 2.9 * edge - 7.4 * score
    logit -= 0.8 * max(0.0, border.length - LONG)
    if not math.isnan(whole):
        logit += min(WHOLE, max(0.0, 1 + 3 * whole))
    if not math.isnan(asked):
        logit += ASKED
    return Reasons(_logistic(logit), edge, border.rounder, score, whole, covered, asked)


def for_splitting(borders: Sequence[Border], score: float, covered: float) -> Reasons:
    """Judge whether a mask is several objects; borders are those between its parts."""
    if borders:
        weights = [border.length for border in borders]
        edge = float(np.average([min(border.edge) for border in borders], weights=weights))
        rounder = float(np.average([border.rounder for border in borders], weights=weights))
    else:
        edge, rounder = 1.0, 0.0
    logit = -1.5 + 3.2 * edge - 5.0 * rounder + 6.0 * score
    return Reasons(_logistic(logit), edge, rounder, score, covered=covered)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))


def mean_score(masks: Sequence[Mask]) -> float:
    """Return the predicted IoU of masks, large ones counting more."""
    return float(np.average([m.predicted_iou for m in masks], weights=[m.area for m in masks]))
