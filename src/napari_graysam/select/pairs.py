"""Which candidates overlap which, computed once for all thresholds, and suppression by it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_graysam.select.shapes import Shapes
from napari_graysam.select.store import Store
from napari_graysam.select.suppression import Indices, box_iou

Overlap = npt.NDArray[np.float64]
Suppression = Literal["box", "mask_iou", "containment"]


class Pairs:
    """Overlaps of candidates, by one kind of comparison, row by row as they are needed.

    Parameters
    ----------
    shapes
        All of them known.
    kind
        As ``labels.suppression``.
    store
        Where rows are remembered.
    """

    def __init__(self, shapes: Shapes, kind: Suppression, store: Store) -> None:
        self.kind = kind
        self.shapes = shapes
        self._store = store
        count = len(shapes.proposals)
        self._box_iou = box_iou(shapes.inclusive(np.arange(count)))
        self._low, self._high = shapes.box[:, :2], shapes.box[:, 2:]

    def beyond(self, one: int, threshold: float, among: npt.NDArray[np.bool_]) -> Indices:
        """List the candidates ``among`` bool (N,) that overlap one by more than a threshold."""
        others, bound, overlap = self._row(one)
        if self.kind == "box":
            near: Indices = others[overlap > threshold]
            return near[among[near]]
        open_ = np.flatnonzero((bound > threshold) & np.isnan(overlap) & among[others])
        for place in open_.tolist():
            overlap[place] = self._exact(one, int(others[place]))
        found: Indices = others[overlap > threshold]
        return found[among[found]]

    def overlap(self, one: int, other: int) -> float:
        """Return the overlap of two candidates."""
        if self.kind != "box":
            return float(self._exact(one, other))
        return float(self._box_iou(one, np.array([other]))[0])

    def _row(self, one: int) -> tuple[Indices, Overlap, Overlap]:
        """Return whom a candidate may overlap, by how much at most, and by how much if known."""
        key = (self.shapes.key, self.kind, one)
        found: tuple[Indices, Overlap, Overlap] | None = self._store.get(key)
        if found is not None:
            return found
        bound = self._bound(one)
        bound[one] = 0
        others = np.flatnonzero(bound > 0)
        bound = bound[others]
        row = others, bound, bound if self.kind == "box" else np.full_like(bound, np.nan)
        self._store.put(key, row, 24 * len(others) + 500)
        return row

    def _bound(self, one: int) -> Overlap:
        """Return the overlap of the boxes, or if all pixels were shared that these allow."""
        if self.kind == "box":
            iou = self._box_iou(one, np.arange(len(self._low)))
            return np.nan_to_num(iou).astype(np.float64)
        sides = np.minimum(self._high, self._high[one]) - np.maximum(self._low, self._low[one])
        sides = np.maximum(sides, 0)
        area = self.shapes.area
        common = np.minimum(sides[:, 0] * sides[:, 1], np.minimum(area, area[one]))
        bound: Overlap = self._share(common, area, area[one])
        return bound

    def _exact(self, one: int, other: int) -> np.float64:
        area = self.shapes.area
        common = np.int64(self.shapes.shared(one, other))
        share: np.float64 = self._share(common, area[other], area[one])
        return share

    def _share(self, common: npt.ArrayLike, area: npt.ArrayLike, of_one: npt.ArrayLike) -> Any:
        """Relate common pixels to those of both or of the smaller mask."""
        whole = (
            np.add(area, of_one) - common if self.kind == "mask_iou" else np.minimum(area, of_one)
        )
        return common / np.maximum(whole, 1)


def suppress_known(
    candidates: Indices,
    scores: npt.NDArray[np.float32],
    pairs: Pairs,
    threshold: float,
    by: Indices,
) -> Indices:
    """Do as `suppress`, among candidates whose overlaps are remembered.

    Parameters
    ----------
    candidates
        (K,) of all.
    scores
        float32 (K,); infinite: never dropped.
    pairs
        Overlaps of all candidates.
    threshold
        Largest overlap that two kept candidates may have.
    by
        (N,); of each candidate dropped here, set to the one that it is a duplicate of.

    Returns
    -------
    Positions in ``candidates`` of what is kept, best first.
    """
    order = np.argsort(-scores, kind="stable")
    if threshold >= 1:
        return order
    waiting = np.zeros(len(by), bool)
    waiting[candidates[~np.isposinf(scores)]] = True
    dropped = np.zeros(len(by), bool)
    numbers = candidates.tolist()
    kept = []
    for position in order.tolist():
        best = numbers[position]
        if dropped[best]:
            continue
        kept.append(position)
        waiting[best] = False
        duplicates = pairs.beyond(best, threshold, waiting)
        if duplicates.size:
            waiting[duplicates] = False
            dropped[duplicates] = True
            by[duplicates] = best
    return np.array(kept, np.intp)
