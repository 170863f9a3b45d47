"""Which setting to take, and whether it is better than the one that was there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TIE = 0.01
"""Gains below this are ties: the recipe stays as it is."""
_FLAT = 0.005
_ALONE = 0.03

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """What a search ends with.

    Attributes
    ----------
    index
        Of the setting to use.
    kept
        The recipe's own setting stays: no other is shown to be better.
    score, own_score
        Mean over the images, of the setting and of the recipe's own.
    gain
        Mean gain on images that had no part in the choice; None with one image.
    interval
        95 % confidence interval of that gain (Student's t); None with one image.
    reason
        In a sentence.
    """

    index: int
    kept: bool
    score: float
    own_score: float
    gain: float | None
    interval: tuple[float, float] | None
    reason: str


def choose(scores: Floats, own: int, distance: Floats) -> Choice:
    """Choose a setting, and check the gain on images that had no part in the choice.

    Of the settings that are as good as the best but for 0.005, the one nearest to the recipe's
    own is taken. With several images, each is left out once and scored with the setting that
    the others choose; a mean gain of no more than 0.01 is a tie, and keeps the recipe's own.

    Parameters
    ----------
    scores
        (S, N), of each setting on each image.
    own
        The setting that the recipe has.
    distance
        (S,), how far each is from it.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.tune import choose
    >>> found = choose(np.array([[0.5, 0.6], [0.7, 0.8]]), 0, np.array([0.0, 1.0]))
    >>> found.index, round(found.gain, 2)
    (1, 0.2)
    """
    best = _best(scores.mean(1), distance)
    before, after = float(scores[own].mean()), float(scores[best].mean())
    count = scores.shape[1]
    if count == 1:
        kept = best == own or after - before <= _ALONE
        reason = (
            "one image cannot show that a gain holds for others"
            if not kept
            else f"no other setting gains more than {_ALONE} on this one image"
        )
        index = own if kept else best
        return Choice(index, kept, float(scores[index].mean()), before, None, None, reason)
    gains = np.array([_left_out(scores, own, distance, image) for image in range(count)])
    mean = float(gains.mean())
    interval = _interval(gains)
    kept = best == own or mean <= TIE or after - before <= TIE
    reason = (
        f"on images left out of the choice it gains {mean:+.3f}, 95 % between {interval[0]:+.3f} "
        f"and {interval[1]:+.3f}"
    )
    if kept:
        reason += f": no more than {TIE}, a tie"
    index = own if kept else best
    return Choice(index, kept, float(scores[index].mean()), before, mean, interval, reason)


def _best(means: Floats, distance: Floats) -> int:
    good = np.flatnonzero(means >= means.max() - _FLAT)
    return int(good[np.lexsort((-means[good], distance[good]))[0]])


def _left_out(scores: Floats, own: int, distance: Floats, image: int) -> float:
    chosen = _best(np.delete(scores, image, axis=1).mean(1), distance)
    return float(scores[chosen, image] - scores[own, image])


def _interval(gains: Floats) -> tuple[float, float]:
    from scipy.stats import t

    half = float(t.ppf(0.975, gains.size - 1) * gains.std(ddof=1) / np.sqrt(gains.size))
    return float(gains.mean()) - half, float(gains.mean()) + half
