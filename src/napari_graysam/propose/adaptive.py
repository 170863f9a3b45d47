"""Which points of a grid to ask, decided round by round from the answers so far.

Most points of a grid lie on background or in an object that another point has already found.
A Gaussian process over the image's features (the encoder's embedding at each point) learns
from the points asked how sure a mask the others would get; see Rasmussen & Williams, "Gaussian
Processes for Machine Learning" (2006), chapter 2. Asked next is where a mask better than those
found is expected, where the features are unlike any asked before, and around the best point of
each object, until its neighbours are all worse.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Flags: TypeAlias = npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[np.float64]

# The first round asks every so manieth point of each row and column, or more often where a
# region would leave fewer points than this.
_STRIDE = 5
_FEWEST = 24
# Distance in features, of which two unrelated points are the root of two apart, at which what
# is known of a point tells little of another, and the variance of what it does not explain.
_REACH = 1.0
_NOISE = 0.05
# Share of the variance that no point asked so far explains.
_UNKNOWN = 0.5
# Points are worth asking above this share of the threshold of predicted IoU.
_SHARE = 0.5
# Neighbours of an object's best point are asked if they are not expected to be worse by more.
_WORSE = 0.3
# Masks with a larger part of the smaller in common are of the same object.
_SAME = 0.5
# More answers than this are thinned out before they are learned from.
_LEARNED = 1024


class Search:
    """Chooses the points of one crop.

    Parameters
    ----------
    place
        int (P, 2), row and column of each point in its grid, without repetition.
    features
        float (P, C), what the encoder says of each point.
    threshold
        Predicted IoU that masks have to exceed.

    Attributes
    ----------
    asked
        bool (P,), the points chosen so far.
    """

    def __init__(
        self, place: npt.NDArray[np.intp], features: npt.NDArray[np.float32], threshold: float
    ) -> None:
        self.asked: Flags = np.zeros(len(place), bool)
        self._place = place
        self._threshold = threshold
        self._features = _standardised(features)
        self._number = np.full(place.max(0) + 3, -1)
        self._number[place[:, 0] + 1, place[:, 1] + 1] = np.arange(len(place))
        self._score: Numbers = np.zeros(len(place))
        self._best = np.empty(0, np.intp)
        self._best_score: Numbers = np.empty(0)
        self._cover: Flags = np.empty((0, len(place)), bool)

    def next(self) -> npt.NDArray[np.intp]:
        """Return the points to ask now, ascending; none at the end."""
        new = self._promising() if self.asked.any() else _seeds(self._place)
        self.asked |= new
        return np.flatnonzero(new)

    def learn(
        self, point: npt.NDArray[np.intp], score: npt.NDArray[np.floating], cover: Flags
    ) -> None:
        """Take in the answers of a round.

        Parameters
        ----------
        point
            (K,), the point that each sure mask is the answer to.
        score
            (K,), predicted IoU.
        cover
            bool (K, P), the points that each mask covers.
        """
        np.maximum.at(self._score, point, score)
        points = np.concatenate([self._best, point])
        scores = np.concatenate([self._best_score, score])
        covers = np.concatenate([self._cover, cover])
        # The order in which the full grid lists candidates decides among equals.
        order = np.lexsort((points, -scores))
        kept = order[_distinct(covers[order])]
        self._best, self._best_score, self._cover = points[kept], scores[kept], covers[kept]

    def _promising(self) -> Flags:
        """Tell which of the points not asked yet to ask next."""
        expected, unknown = self._expected()
        covering = np.where(self._cover, self._best_score[:, None], 0).max(0, initial=0)
        left = ~self.asked
        better = left & (expected > np.maximum(covering, _SHARE * self._threshold))
        unlike = left & (unknown > _UNKNOWN)
        around = np.zeros(len(left), bool)
        around[self._beside(self._best)] = True
        around &= left & (expected > covering - _WORSE)
        return self._peaks(better, expected) | self._peaks(unlike, unknown) | around

    def _expected(self) -> tuple[Numbers, Numbers]:
        """Return the score expected at each point, and which share of its variance is open."""
        known = np.flatnonzero(self.asked)
        known = known[:: -(-len(known) // _LEARNED)]
        score = self._score[known]
        near = _likeness(self._features[known], self._features)
        weights = np.linalg.solve(near[:, known] + _NOISE * np.eye(len(known)), near)
        mean = score.mean()
        return mean + (score - mean) @ weights, 1 - (near * weights).sum(0)

    def _peaks(self, chosen: Flags, height: Numbers) -> Flags:
        """Tell which of the chosen points no chosen neighbour exceeds."""
        row, column = self._place.T + 1
        heights = np.full(self._number.shape, -np.inf)
        heights[row, column] = np.where(chosen, height, -np.inf)
        around = [heights[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
        highest: Flags = heights[row, column] >= np.max(around, axis=0)
        return chosen & highest

    def _beside(self, points: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the neighbours of some points in their rows and columns."""
        row, column = self._place[points].T + 1
        steps = ((-1, 0), (1, 0), (0, -1), (0, 1))
        found = np.concatenate([self._number[row + i, column + j] for i, j in steps])
        return found[found >= 0]


def _seeds(place: npt.NDArray[np.intp]) -> Flags:
    """Tell which points to ask first."""
    for stride in range(_STRIDE, 1, -1):
        chosen: Flags = (place % stride == stride // 2).all(1)
        if np.count_nonzero(chosen) >= _FEWEST:
            return chosen
    return np.ones(len(place), bool)


def _standardised(features: npt.NDArray[np.float32]) -> Numbers:
    """Shift and scale features so that two unrelated points are the root of two apart."""
    spread = features.std(0)
    centred = (features - features.mean(0)) / np.where(spread > 0, spread, 1)
    scaled: Numbers = (centred / np.sqrt(features.shape[1])).astype(np.float64)
    return scaled


def _likeness(some: Numbers, others: Numbers) -> Numbers:
    """Return how much alike points are (S, O): 1 if they are the same."""
    squares = (some**2).sum(1)[:, None] + (others**2).sum(1) - 2 * some @ others.T
    likeness: Numbers = np.exp(-np.maximum(squares, 0) / (2 * _REACH**2))
    return likeness


def _distinct(cover: Flags) -> list[int]:
    """Return which masks, best first, share little with better ones."""
    numbers = cover.astype(np.float32)
    areas = numbers.sum(1)
    kept: list[int] = []
    alive = areas > 0
    for index in range(len(cover)):
        if alive[index]:
            kept.append(index)
            shared = numbers @ numbers[index]
            alive &= shared <= _SAME * np.minimum(areas, areas[index])
    return kept
