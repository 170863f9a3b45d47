"""Labels of the objects of an image: one number each, unique over all tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_graysam.tiles.measure import Chosen
from napari_graysam.tiles.paint import ROW
from napari_graysam.tiles.resolve import Resolved, kept_parents


def chosen_by_tile(resolved: Resolved, tiles: int) -> Iterator[Chosen]:
    """Yield for every tile the objects that it measures and draws."""
    chosen, owner = resolved.chosen, resolved.owner[resolved.chosen]
    ends = np.searchsorted(owner, np.arange(tiles + 1))
    for first, last in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        numbers = chosen[first:last]
        made = {
            place: resolved.made[number]
            for place, number in enumerate(numbers.tolist())
            if number in resolved.made
        }
        found = resolved.found
        yield Chosen(
            found.within[numbers],
            made,
            resolved.parent[first:last],
            resolved.depth[first:last],
            found.cut[numbers],
        )


@dataclass(frozen=True, eq=False)
class Numbered:
    """The labels of all objects that were measured.

    Attributes
    ----------
    labels
        uint32 (M,), from 1 on, by tile; 0 for one that a filter dropped.
    parents
        uint32 (M,), label of the smallest object around each, or 0.
    ends
        intp (T + 1,), where the objects of each tile begin and end.
    """

    labels: NDArray[np.uint32]
    parents: NDArray[np.uint32]
    ends: NDArray[np.intp]

    @classmethod
    def of(cls, resolved: Resolved, kept: Sequence[NDArray[np.bool_]]) -> Numbered:
        """Return numbers, given which objects of every tile pass the filters."""
        stays = np.concatenate([np.zeros(0, bool), *kept])
        labels = np.where(stays, np.cumsum(stays), 0).astype(np.uint32)
        parents = np.zeros(len(stays), np.uint32)
        parents[stays] = kept_parents(resolved.parent, stays) + 1
        ends = np.cumsum([0, *map(len, kept)], dtype=np.intp)
        return cls(labels, parents, ends)

    @property
    def count(self) -> int:
        """How many objects there are."""
        return int(self.labels.max(initial=0))

    def of_tile(self, number: int) -> slice:
        """Return where the objects of a tile are among all that were measured."""
        return slice(int(self.ends[number]), int(self.ends[number + 1]))

    def index(self, resolved: Resolved) -> NDArray[np.void]:
        """Return the index from which blocks are painted."""
        rows = np.zeros(len(self.labels), ROW)
        rows["box"] = resolved.found.box[resolved.chosen]
        for place, number in enumerate(resolved.chosen.tolist()):
            if number in resolved.made:
                rows["box"][place] = resolved.made[number].box[0]
        rows["tile"] = np.repeat(np.arange(len(self.ends) - 1), np.diff(self.ends))
        rows["within"] = np.arange(len(self.labels)) - np.repeat(self.ends[:-1], np.diff(self.ends))
        rows["label"] = self.labels
        return rows[self.labels > 0]

    def visible(self, seen: Mapping[int, int]) -> NDArray[np.int64]:
        """Return how many pixels are seen of every object, given those of labels that are."""
        return np.array([seen.get(label, 0) for label in self.labels.tolist()], np.int64)
