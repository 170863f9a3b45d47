"""Which candidates overlap which, computed once for all thresholds, and suppression by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_graysam.recipe import Suppression
from napari_graysam.select.nms import Indices, box_iou
from napari_graysam.select.shapes import Shapes
from napari_graysam.select.store import Store

Overlap = npt.NDArray[np.float64]


@dataclass
class _Row:
    """Overlaps of one candidate.

    Parameters
    ----------
    others
        Whom it may overlap.
    most
        By how much at most.
    overlap
        By how much, NaN where that is not known.
    near, by
        Whom it overlaps by more than ``known``, and by how much.
    known
        All overlaps larger than this are.
    """

    others: Indices
    most: Overlap
    overlap: Overlap
    near: Indices
    by: Overlap
    known: float

    @property
    def nbytes(self) -> int:
        """Size, with what the objects cost besides their values."""
        arrays = self.others, self.most, self.overlap, self.near, self.by
        return sum(array.nbytes for array in arrays) + 900


class OverlapTable:
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
        row = self._row(one)
        if threshold < row.known:
            self._compare(one, row, threshold, among)
            near, by = row.others, row.overlap
        else:
            near, by = row.near, row.by
        found = near[by > threshold]
        return found[among[found]]

    def learn(self, one: int, threshold: float) -> None:
        """Find out all overlaps of a candidate by more than a threshold."""
        row = self._row(one)
        if threshold >= row.known:
            return
        self._compare(one, row, threshold, np.ones(len(self.shapes.area), bool))
        beyond = row.overlap > threshold
        row.near, row.by, row.known = row.others[beyond], row.overlap[beyond], threshold
        self._keep(one, row)

    def overlap(self, one: int, other: int) -> float:
        """Return the overlap of two candidates."""
        if self.kind != "box":
            return float(self._exact(one, other))
        return float(self._box_iou(one, np.array([other]))[0])

    def _row(self, one: int) -> _Row:
        """Return what is known of a candidate's overlaps."""
        found: _Row | None = self._store.get((self.shapes.key, self.kind, one))
        if found is not None:
            return found
        bound = self._bound(one)
        bound[one] = 0
        others = np.flatnonzero(bound > 0)
        bound = bound[others]
        if self.kind == "box":
            row = _Row(others, bound, bound, others, bound, known=0.0)
        else:
            unknown = np.full_like(bound, np.nan)
            row = _Row(others, bound, unknown, others[:0], bound[:0], known=np.inf)
        self._keep(one, row)
        return row

    def _keep(self, one: int, row: _Row) -> None:
        self._store.put((self.shapes.key, self.kind, one), row, row.nbytes)

    def _compare(self, one: int, row: _Row, threshold: float, among: npt.NDArray[np.bool_]) -> None:
        """Find out the overlaps with some candidates that may exceed a threshold."""
        unknown = (row.most > threshold) & np.isnan(row.overlap) & among[row.others]
        for place in np.flatnonzero(unknown).tolist():
            row.overlap[place] = self._exact(one, int(row.others[place]))

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
    pairs: OverlapTable,
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
