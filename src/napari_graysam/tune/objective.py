"""How well selections of one image's candidates agree with what is known of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.metrics import Scores, scores_of
from napari_graysam.masks import Mask, paint
from napari_graysam.recipe import BothArms, GeneratorOptions, LabelOptions
from napari_graysam.select.selector import Selector
from napari_graysam.tune.truth import Metric, Truth


class Objective:
    """Scores selections of one image.

    What a candidate shares with the known objects is counted once, so that a setting costs its
    selection and little else. Masks are scored as they are: where they overlap, a label image
    shows less of some; `exact` scores that.

    Parameters
    ----------
    selector
        Of the image's candidates.
    truth
        What is known.
    metric
        What to reach.
    both
        How candidates of both arms become one selection.
    """

    def __init__(
        self,
        selector: Selector,
        truth: Truth,
        metric: Metric,
        both: BothArms | None = None,
    ) -> None:
        truth.fits(selector.proposals.image_size)
        self.selector, self.truth, self.metric = selector, truth, metric
        self._both = both
        self._shared: dict[int, _Shared] = {}
        self._scored: dict[tuple[int, ...], float] = {}
        self._labels: NDArray[np.intp] | None = None
        if truth.labels is not None:
            names, flat = np.unique(truth.labels, return_inverse=True)
            flat = flat + (0 if names.size and names[0] == 0 else 1)
            self._labels = flat.reshape(truth.labels.shape)
            self._areas = np.bincount(self._labels.ravel(), minlength=1)[1:].astype(float)

    def __call__(self, generator: GeneratorOptions, labels: LabelOptions) -> float:
        """Return the score of a selection, 1 at best."""
        selection = self.selector.selection(generator, labels, "raw", self._both)
        masks = selection.masks
        if labels.overlap == "disjoint":
            return self._value([self._share(mask) for mask in masks])
        key = tuple(mask.candidates[0] for mask in masks)
        if key not in self._scored:
            shared = []
            for candidate, mask in zip(key, masks, strict=True):
                if candidate not in self._shared:
                    self._shared[candidate] = self._share(mask)
                shared.append(self._shared[candidate])
            self._scored[key] = self._value(shared)
        return self._scored[key]

    def exact(self, generator: GeneratorOptions, labels: LabelOptions) -> float:
        """Return the score of the painted label image, as ``graysam score`` counts it."""
        masks = self.selector.select(generator, labels, "raw", self._both)
        painted = paint(masks, self.selector.proposals.image_size, labels.overlap)
        seen = []
        for index, mask in enumerate(masks, 1):
            bits = painted[mask.slices] == index
            seen.append(self._share(mask.replace(bits=bits)))
        return self._value([one for one in seen if one.area])

    def _share(self, mask: Mask) -> _Shared:
        ids = np.zeros(0, np.intp)
        counts = np.zeros(0)
        if self._labels is not None:
            table = np.bincount(self._labels[mask.slices][mask.bits])
            ids = np.flatnonzero(table[1:])
            counts = table[1:][ids].astype(float)
        return _Shared(mask.area, ids, counts, _covers(mask, self.truth))

    def _value(self, shared: Sequence[_Shared]) -> float:
        parts = []
        if self._labels is not None and self._areas.size:
            parts.append(_of(self._matched(shared), self.metric))
        if self.truth.clicks:
            parts.append(_told(shared, self.truth))
        return float(np.mean(parts))

    def _matched(self, shared: Sequence[_Shared]) -> Scores:
        rows = np.repeat(np.arange(len(shared)), [len(one.ids) for one in shared])
        ids = np.concatenate([one.ids for one in shared]) if shared else np.zeros(0, np.intp)
        counts = np.concatenate([one.counts for one in shared]) if shared else np.zeros(0)
        areas = np.array([one.area for one in shared], float)
        iou = counts / (areas[rows] + self._areas[ids] - counts)
        close = np.flatnonzero(iou >= 0.5)
        close = close[np.argsort(-iou[close], kind="stable")]
        used: tuple[set[int], set[int]] = set(), set()
        kept = []
        for pair in close.tolist():
            row, known = int(rows[pair]), int(ids[pair])
            if row not in used[0] and known not in used[1]:
                used[0].add(row)
                used[1].add(known)
                kept.append(iou[pair])
        found = len(shared)
        if self.truth.partial:
            # Of what matches nothing, only masks that lie on painted objects are known to be wrong.
            inside = np.bincount(rows, counts, minlength=len(shared)) if shared else np.zeros(0)
            found = len(kept) + sum(
                1
                for row in range(len(shared))
                if row not in used[0] and inside[row] >= 0.5 * areas[row]
            )
        return scores_of(np.array(kept), found, self._areas.size)


class _Shared:
    """What a mask shares with the known objects, and which clicks it covers."""

    __slots__ = ("area", "counts", "covers", "ids")

    def __init__(
        self,
        area: int,
        ids: NDArray[np.intp],
        counts: NDArray[np.float64],
        covers: NDArray[np.bool_],
    ) -> None:
        self.area, self.ids, self.counts, self.covers = area, ids, counts, covers


def _covers(mask: Mask, truth: Truth) -> NDArray[np.bool_]:
    """Return for each click whether the mask covers it: objects, nothing, both ends of pairs."""
    x0, y0, x1, y1 = mask.box

    def on(point: tuple[float, float]) -> bool:
        x, y = int(point[0]), int(point[1])
        return bool(x0 <= x < x1 and y0 <= y < y1 and mask.bits[y - y0, x - x0])

    single = [on(point) for point in (*truth.objects, *truth.nothing)]
    return np.array([*single, *(on(one) and on(other) for one, other in truth.same)], bool)


def _told(shared: Sequence[_Shared], truth: Truth) -> float:
    """Return the share of clicks that a selection agrees with."""
    covered = np.zeros(truth.clicks, int)
    for one in shared:
        covered += one.covers
    objects, nothing = len(truth.objects), len(truth.nothing)
    right = covered > 0
    right[objects : objects + nothing] = covered[objects : objects + nothing] == 0
    return float(right.mean())


def _of(scores: Scores, metric: Metric) -> float:
    if metric == "ap50":
        return scores.average_precision[0]
    values = {
        "ap": scores.mean_average_precision,
        "f1": scores.f1,
        "pq": scores.panoptic_quality,
        "found": scores.recall,
    }
    return values[metric]
