"""Which points of a grid to ask, decided round by round from the answers so far.

Most points of a grid lie on background or in an object that another point has already found.
A Gaussian process over the image's features (the encoder's embedding at each point) learns
from the points asked how sure a mask the others would get, and how far off that may be; see
Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), chapter 2. Asked next is
where that could well be surer than the masks found, by the upper confidence bound of Srinivas
et al., "Gaussian Process Optimization in the Bandit Setting" (2010).
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
_LENGTH_SCALE = 1.3
_NOISE = 0.02
# A point may be better than expected by so many standard deviations.
_DEVIATIONS = 3.0
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
        self._best_iou: Numbers = np.zeros(len(place))
        self._best = np.empty(0, np.intp)
        self._best_score: Numbers = np.empty(0)
        self._cover: Flags = np.empty((0, len(place)), bool)

    def next(self) -> npt.NDArray[np.intp]:
        """Return the points to ask now, ascending; none at the end."""
        new = self._worth_asking() if self.asked.any() else _seeds(self._place)
        self.asked |= new
        return np.flatnonzero(new)

    def learn(
        self,
        asked: npt.NDArray[np.intp],
        best_iou: npt.NDArray[np.floating],
        point: npt.NDArray[np.intp],
        score: npt.NDArray[np.floating],
        cover: Flags,
    ) -> None:
        """Take in the answers of a round.

        Parameters
        ----------
        asked
            (A,), the points of the round.
        best_iou
            (A,), the highest predicted IoU that each was answered, of masks not sure enough
            too.
        point
            (K,), the point that each sure mask is the answer to.
        score
            (K,), predicted IoU of the sure masks.
        cover
            bool (K, P), the points that each sure mask covers.
        """
        self._best_iou[asked] = best_iou
        points = np.concatenate([self._best, point])
        scores = np.concatenate([self._best_score, score])
        covers = np.concatenate([self._cover, cover])
        # The order in which the full grid lists candidates decides among equals.
        order = np.lexsort((points, -scores))
        kept = order[_distinct(covers[order])]
        self._best, self._best_score, self._cover = points[kept], scores[kept], covers[kept]

    def _worth_asking(self) -> Flags:
        """Tell which of the points not asked yet to ask next."""
        covering = np.where(self._cover, self._best_score[:, None], 0).max(0, initial=0)
        bound = self._upper_bound()
        better = ~self.asked & (bound > np.maximum(covering, self._threshold))
        return self._peaks(better, bound)

    def _upper_bound(self) -> Numbers:
        """Return the predicted IoU that each point could well have."""
        known = np.flatnonzero(self.asked)
        known = known[:: -(-len(known) // _LEARNED)]
        best_iou = self._best_iou[known]
        near = _kernel(self._features[known], self._features)
        weights = np.linalg.solve(near[:, known] + _NOISE * np.eye(len(known)), near)
        mean = best_iou.mean()
        expected = mean + (best_iou - mean) @ weights
        unexplained = np.maximum(1 - (near * weights).sum(0), 0)
        # Where all answers are alike, features unlike any asked could still be an object's.
        spread = max(best_iou.std(), self._threshold / _DEVIATIONS)
        bound: Numbers = expected + _DEVIATIONS * spread * np.sqrt(unexplained)
        return bound

    def _peaks(self, chosen: Flags, height: Numbers) -> Flags:
        """Tell which of the chosen points no chosen neighbour exceeds."""
        row, column = self._place.T + 1
        heights = np.full(self._place.max(0) + 3, -np.inf)
        heights[row, column] = np.where(chosen, height, -np.inf)
        around = [heights[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
        highest: Flags = heights[row, column] >= np.max(around, axis=0)
        return chosen & highest


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


def _kernel(some: Numbers, others: Numbers) -> Numbers:
    """Return how much alike points are (S, O): 1 if they are the same."""
    squares = (some**2).sum(1)[:, None] + (others**2).sum(1) - 2 * some @ others.T
    similarity: Numbers = np.exp(-np.maximum(squares, 0) / (2 * _LENGTH_SCALE**2))
    return similarity


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
