"""Candidates that cover several masks, and candidates that several make up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_graysam.masks.overlap import shared_box_pixels
from napari_graysam.select.shapes import Indices, Shapes

INSIDE = 0.9
"""Part of a fragment that lies in a candidate that covers it."""
COVERED = 0.8
"""Part of a candidate that its fragments cover together."""
EXPLAINED = 0.85
"""Part of a mask that its parts cover together."""
FOREIGN = 0.1
"""Part of a candidate that may lie on other objects; of a part on other parts."""
_SMALLEST, _LARGEST = 0.1, 0.9


@dataclass(frozen=True)
class Whole:
    """A candidate that covers several masks.

    Attributes
    ----------
    candidate
        Its index among the proposals.
    members
        Indices of the masks.
    covered
        How much of it they cover.
    """

    candidate: int
    members: frozenset[int]
    covered: float


class Shares:
    """How many pixels candidates have in common, counted once.

    Parameters
    ----------
    shapes
        Of the candidates.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self._known: dict[tuple[int, int], int] = {}

    @property
    def nbytes(self) -> int:
        """Memory that the counts take, about."""
        return 150 * len(self._known)

    def of(self, one: int, other: int) -> int:
        """Return the pixels in common."""
        key = (one, other) if one < other else (other, one)
        count = self._known.get(key)
        if count is None:
            count = self._known[key] = self.shapes.shared(*key)
        return count


def find_wholes(masks: Sequence[int], pool: Indices, shares: Shares) -> list[Whole]:
    """Find the candidates that two or more masks make up.

    Parameters
    ----------
    masks
        Candidates that are objects.
    pool
        Candidates to look among; all known in the shapes.
    shares
        Of both.
    """
    shapes = shares.shapes
    found = []
    kept = np.array(masks, np.intp)
    areas, boxes = shapes.area[kept], shapes.box[kept]
    for candidate in pool.tolist():
        area = int(shapes.area[candidate])
        most = np.minimum(shared_box_pixels(shapes.box[candidate], boxes), np.minimum(areas, area))
        fits = (most >= INSIDE * areas) & (areas < _LARGEST * area)
        if np.count_nonzero(fits) < 2 or most[fits].sum() < COVERED * area:
            continue
        members: dict[int, int] = {}
        foreign = 0
        for place in np.flatnonzero(most > 0).tolist():
            common = shares.of(candidate, int(kept[place]))
            if common >= INSIDE * area:
                continue
            if fits[place] and common >= INSIDE * areas[place]:
                members[place] = common
            else:
                foreign += common
        covered = _covered(members, kept, shares) / area
        if len(members) > 1 and covered >= COVERED and foreign <= FOREIGN * area:
            found.append(Whole(candidate, frozenset(members), covered))
    return found


def find_parts(mask: int, pool: Indices, shares: Shares) -> tuple[list[int], float]:
    """Find the candidates that make up a mask best, surest first, and how much they cover.

    Parameters
    ----------
    mask
        Candidate that is an object.
    pool
        Candidates to look among, surest first; all known in the shapes.
    shares
        Of both.
    """
    shapes = shares.shapes
    area = int(shapes.area[mask])
    areas = shapes.area[pool]
    most = np.minimum(shared_box_pixels(shapes.box[mask], shapes.box[pool]), areas)
    fits = (most >= INSIDE * areas) & (areas >= _SMALLEST * area) & (areas < _LARGEST * area)
    chosen: list[int] = []
    total = 0
    for part in pool[fits].tolist():
        common = shares.of(mask, part)
        if common < INSIDE * shapes.area[part]:
            continue
        overlaps = [
            shares.of(part, other) / min(shapes.area[part], shapes.area[other]) for other in chosen
        ]
        if max(overlaps, default=0.0) <= FOREIGN:
            chosen.append(part)
            total += common
    return chosen, min(1.0, total / area)


def _covered(members: dict[int, int], kept: Indices, shares: Shares) -> int:
    """Return the pixels of a candidate that masks cover together, at least.

    What two of them share counts once; what three share may be missed.
    """
    counted: list[int] = []
    total = 0
    for place in sorted(members, key=lambda place: (-members[place], place)):
        one = int(kept[place])
        shared = sum(shares.of(one, other) for other in counted)
        total += max(0, members[place] - shared)
        counted.append(one)
    return total
