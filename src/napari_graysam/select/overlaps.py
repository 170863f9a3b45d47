"""Which candidates overlap which, computed once for all thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_graysam.masks.overlap import shared_box_pixels
from napari_graysam.recipe import Suppression
from napari_graysam.select.shapes import Cache, Indices, Shapes, recall, remember

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
        """Memory that the arrays take, with what the objects cost besides their values."""
        arrays = self.others, self.most, self.overlap, self.near, self.by
        return sum(array.nbytes for array in arrays) + 500


class OverlapTable:
    """Overlaps of candidates, by one kind of comparison, row by row as they are needed.

    Parameters
    ----------
    shapes
        All of them known.
    kind
        As ``labels.suppression``.
    cache
        Where rows are remembered.
    """

    def __init__(self, shapes: Shapes, kind: Suppression, cache: Cache) -> None:
        self.kind = kind
        self.shapes = shapes
        self._cache = cache
        self._key = f"{shapes.key}, {kind}"
        self._box_iou = box_iou(shapes.inclusive(np.arange(len(shapes.area))))

    @property
    def nbytes(self) -> int:
        """Memory that the boxes take; rows are remembered by themselves."""
        return 20 * len(self.shapes.area)

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
        remember(self._cache, (self._key, one), row)

    def overlap(self, one: int, other: int) -> float:
        """Return the overlap of two candidates."""
        if self.kind != "box":
            return float(self._exact(one, other))
        return float(self._box_iou(one, np.array([other]))[0])

    def _row(self, one: int) -> _Row:
        """Return what is known of a candidate's overlaps."""
        found: _Row | None = recall(self._cache, (self._key, one))
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
        remember(self._cache, (self._key, one), row)
        return row

    def _compare(self, one: int, row: _Row, threshold: float, among: npt.NDArray[np.bool_]) -> None:
        """Find out the overlaps with some candidates that may exceed a threshold."""
        unknown = (row.most > threshold) & np.isnan(row.overlap) & among[row.others]
        for place in np.flatnonzero(unknown).tolist():
            row.overlap[place] = self._exact(one, int(row.others[place]))

    def _bound(self, one: int) -> Overlap:
        """Return the overlap of the boxes, or if all pixels were shared that these allow."""
        if self.kind == "box":
            iou = self._box_iou(one, slice(None))
            return np.nan_to_num(iou).astype(np.float64)
        area, box = self.shapes.area, self.shapes.box
        common = np.minimum(shared_box_pixels(box[one], box), np.minimum(area, area[one]))
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


def box_iou(
    boxes: npt.NDArray[np.integer],
) -> Callable[[int, Indices | slice], Overlap]:
    """Return a function of one box and others that gives their intersection over union.

    Parameters
    ----------
    boxes
        (N, 4), ``(x0, y0, x1, y1)``; sides are ``x1 - x0`` and ``y1 - y0``, as in torchvision.
        Computed in float32, as there; NaN for two boxes without area.
    """
    x0, y0, x1, y1 = np.ascontiguousarray(boxes.T, np.float32)
    areas = (x1 - x0) * (y1 - y0)

    def overlap(one: int, others: Indices | slice) -> Overlap:
        wide = np.minimum(x1[others], x1[one]) - np.maximum(x0[others], x0[one])
        tall = np.minimum(y1[others], y1[one]) - np.maximum(y0[others], y0[one])
        common = np.maximum(wide, np.float32(0)) * np.maximum(tall, np.float32(0))
        with np.errstate(invalid="ignore"):
            ratio = common / (areas[one] + areas[others] - common)
        # torchvision compares the float32 ratio with a double threshold.
        precise: Overlap = ratio.astype(np.float64)
        return precise

    return overlap
