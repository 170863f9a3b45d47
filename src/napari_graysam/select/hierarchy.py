"""Which candidates lie inside which, learned once for all selections."""

from __future__ import annotations

import numpy as np

from napari_graysam.masks.hierarchy import CONTAINED
from napari_graysam.masks.overlap import shared_box_pixels
from napari_graysam.select.shapes import Indices, Shapes


class Hierarchy:
    """Finds parents as `nest` does, among shapes compared before.

    Parameters
    ----------
    shapes
        Those of the candidates asked for are known.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self._learned = np.zeros(len(shapes.proposals), bool)
        self._child = np.empty(0, np.intp)
        self._container = np.empty(0, np.intp)

    @property
    def nbytes(self) -> int:
        """Memory that the relations take."""
        return self._child.nbytes + self._container.nbytes + self._learned.nbytes

    def parents(self, candidates: Indices) -> Indices:
        """Return the position of each candidate's parent in the list, or -1.

        Parameters
        ----------
        candidates
            Different candidates, none empty, in the order that decides among equals.
        """
        self._learn(candidates)
        count = len(candidates)
        position = np.full(len(self._learned), -1, np.intp)
        position[candidates] = np.arange(count)
        present = (position[self._child] >= 0) & (position[self._container] >= 0)
        child, container = self._child[present], self._container[present]
        parents = np.full(count, -1, np.intp)
        if len(child):
            starts = np.flatnonzero(np.diff(child, prepend=-1))
            smallest = self.shapes.area[container] * count + position[container]
            smallest = np.minimum.reduceat(smallest, starts)
            parents[position[child[starts]]] = smallest % count
        return parents

    def _learn(self, candidates: Indices) -> None:
        """Compare candidates that were never asked for with all those that were."""
        new = candidates[~self._learned[candidates]]
        found: list[tuple[int, int]] = []
        for one in new.tolist():
            found.extend(self._relations(one, np.flatnonzero(self._learned)))
            self._learned[one] = True
        if found:
            child, container = np.array(found, np.intp).T
            child = np.concatenate([self._child, child])
            container = np.concatenate([self._container, container])
            order = np.argsort(child, kind="stable")
            self._child, self._container = child[order], container[order]

    def _relations(self, one: int, others: Indices) -> list[tuple[int, int]]:
        """List the pairs (child, container) of a candidate and others."""
        box, area = self.shapes.box, self.shapes.area
        smaller = np.minimum(area[others], area[one])
        possible = shared_box_pixels(box[one], box[others]) >= CONTAINED * smaller
        possible &= area[others] != area[one]
        return [
            (other, one) if area[other] < area[one] else (one, other)
            for other, least in zip(
                others[possible].tolist(), (CONTAINED * smaller[possible]).tolist(), strict=True
            )
            if self.shapes.shared(one, other) >= least
        ]
