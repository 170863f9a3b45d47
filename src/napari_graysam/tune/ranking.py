"""The settings of a search in order, one for each score."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_graysam.tune.grid import distances

if TYPE_CHECKING:
    from napari_graysam.tune.tuner import Tuning

_DIGITS = 9
"""After which scores count as equal."""


class Rank(NamedTuple):
    """One score: the setting nearest to the recipe's own, and how many give that score.

    Attributes
    ----------
    place
        1 for the best score.
    setting
        Its number.
    score
        Mean over the images.
    alike
        Number of settings with this score.
    own, chosen
        Whether it is the setting that the recipe has, and the one to take.
    """

    place: int
    setting: int
    score: float
    alike: int
    own: bool
    chosen: bool


def ranks(tuning: Tuning, most: int = 100) -> list[Rank]:
    """Return the best scores, and those of the recipe's own setting and of the chosen one.

    Parameters
    ----------
    tuning
        What was found.
    most
        Scores to return, best first; own and chosen are added where they come later.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.tune import Tuning, ranks
    >>> grid = {"generator.pred_iou_thresh": (0.3, 0.5, 0.8), "labels.min_area": (0, 12)}
    >>> recipe = Recipe.preset("raw").with_values({"generator.pred_iou_thresh": 0.8,
    ...     "labels.min_area": 12})
    >>> scores = np.array([[0.6], [0.6], [0.6], [0.6], [0.2], [0.2]])
    >>> best, own = ranks(Tuning(recipe, grid, "ap50", scores))
    >>> best.setting, best.alike, own.setting, own.own
    (3, 4, 5, True)
    """
    tried, own, chosen = tuning.tried, tuning.own, tuning.choice.index
    means = np.round(tuning.scores[tried].mean(1), _DIGITS)
    distance = distances(tuning.grid, tuning.values[own])[tried]
    special = ~np.isin(tried, (own, chosen))
    order = np.lexsort((distance, special, -means))
    firsts = np.flatnonzero(np.diff(means[order], prepend=np.inf))
    counts = np.diff(firsts, append=order.size)
    found = []
    for place, (first, alike) in enumerate(zip(firsts.tolist(), counts.tolist(), strict=True), 1):
        index, score = int(tried[order[first]]), float(means[order[first]])
        if place <= most or index in (own, chosen):
            found.append(Rank(place, index, score, alike, index == own, index == chosen))
    return found
