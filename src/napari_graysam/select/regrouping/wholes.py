"""Candidates that cover several masks, and candidates that several make up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import Mask, shared_pixels
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

    Masks that are no candidates, such as those of a second look, get numbers below 0.

    Parameters
    ----------
    shapes
        Of the candidates.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self._known: dict[tuple[int, int], int] = {}
        self._others: list[Mask] = []

    def number(self, mask: Mask) -> int:
        """Return the number of a mask: its candidate's, or a new one below 0."""
        if mask.candidates:
            return mask.candidates[0]
        self._others.append(mask)
        return -len(self._others)

    def areas(self, numbers: Indices) -> npt.NDArray[np.int64]:
        """Return the areas, int64 (K,)."""
        return np.array([self._area(number) for number in numbers.tolist()], np.int64)

    def boxes(self, numbers: Indices) -> npt.NDArray[np.int64]:
        """Return the half-open boxes, int64 (K, 4)."""
        rows = [
            self._mask(one).box if one < 0 else self.shapes.box[one] for one in numbers.tolist()
        ]
        return np.array(rows, np.int64).reshape(-1, 4)

    def _area(self, number: int) -> int:
        return self._mask(number).area if number < 0 else int(self.shapes.area[number])

    def _mask(self, number: int) -> Mask:
        return self._others[-number - 1] if number < 0 else self.shapes.mask_alone(number)

    @property
    def nbytes(self) -> int:
        """Memory that the counts take, about."""
        return 150 * len(self._known)

    def of(self, one: int, other: int) -> int:
        """Return the pixels in common."""
        key = (one, other) if one < other else (other, one)
        count = self._known.get(key)
        if count is None:
            if key[0] < 0:
                count = shared_pixels(self._mask(one), self._mask(other))
            else:
                count = self.shapes.shared(*key)
            self._known[key] = count
        return count


def find_wholes(masks: Sequence[int], pool: Indices, shares: Shares) -> list[Whole]:
    """Find the candidates that two or more masks make up.

    Parameters
    ----------
    masks
        Objects, by their numbers in the shares.
    pool
        Candidates to look among; all known in the shapes.
    shares
        Of both.
    """
    shapes = shares.shapes
    found = []
    kept = np.array(masks, np.intp)
    areas, boxes = shares.areas(kept), shares.boxes(kept)
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
