"""The search itself: candidates of every image once, thresholds thousands of times."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import UsageError
from napari_graysam.pipeline import live_steps
from napari_graysam.progress import Progress, renamed, run
from napari_graysam.recipe import Recipe
from napari_graysam.tune.choice import Choice, choose
from napari_graysam.tune.grid import (
    Setting,
    Values,
    changes,
    default_grid,
    distances,
    own_values,
    settings,
)
from napari_graysam.tune.objective import Objective
from napari_graysam.tune.truth import METRICS, Metric, Truth

if TYPE_CHECKING:
    import pandas as pd

    from napari_graysam.propose.cache import Cache

_RESCORED = 24
"""Settings whose label images are painted and scored in the end, best first."""
_REPORT_EVERY = 20


@dataclass(eq=False)
class Tuning:
    """What a search found; also of one that was stopped.

    Attributes
    ----------
    recipe
        To start from.
    grid
        Values tried, by name.
    metric
        What was to be reached.
    scores
        float64 (S, N), of each setting on each image; NaN where it was not tried.
    exact
        Settings whose score is that of the painted label image.
    """

    recipe: Recipe
    grid: dict[str, Values]
    metric: Metric
    scores: NDArray[np.float64]
    exact: set[int] = field(default_factory=set)

    @cached_property
    def values(self) -> list[Values]:
        """Of each setting."""
        return list(product(*self.grid.values()))

    @property
    def own(self) -> int:
        """The setting that the recipe has."""
        return self.values.index(own_values(self.recipe, list(self.grid)))

    @property
    def tried(self) -> NDArray[np.intp]:
        """Settings that were tried on every image."""
        return np.flatnonzero(np.isfinite(self.scores).all(axis=1))

    @cached_property
    def choice(self) -> Choice:
        """Which setting to take; its index is among all settings."""
        tried = self.tried
        if self.own not in tried:
            raise UsageError("the search was stopped before anything was tried: give it more time")
        own = int(np.flatnonzero(tried == self.own)[0])
        distance = distances(self.grid, self.values[self.own])[tried]
        chosen = choose(self.scores[tried], own, distance)
        return Choice(**{**vars(chosen), "index": int(tried[chosen.index])})

    @property
    def best(self) -> Recipe:
        """The recipe with the chosen setting; unchanged where nothing is shown to be better."""
        return self.with_setting(self.choice.index)

    def with_setting(self, index: int) -> Recipe:
        """Return the recipe with a setting's values."""
        if index == self.own:
            return self.recipe
        return self.recipe.with_values(changes(list(self.grid), self.values[index]))

    @property
    def ranking(self) -> NDArray[np.intp]:
        """Tried settings, best first; equals in the order tried."""
        tried = self.tried
        return tried[np.argsort(-self.scores[tried].mean(1), kind="stable")]

    def table(self, most: int = 100) -> pd.DataFrame:
        """One row a setting, best first: values, mean score, each image's score."""
        import pandas as pd

        chosen, rows = self.choice.index, []
        for rank, index in enumerate(self.ranking[:most].tolist(), 1):
            row: dict[str, Any] = {"rank": rank, "score": float(self.scores[index].mean())}
            row |= changes(list(self.grid), self.values[index])
            row |= {f"image {i}": value for i, value in enumerate(self.scores[index].tolist(), 1)}
            notes = [("own", index == self.own), ("chosen", index == chosen)]
            row["note"] = ", ".join(name for name, true in notes if true)
            rows.append(row)
        return pd.DataFrame(rows)

    @property
    def importances(self) -> dict[str, float]:
        """Share of the scores' variance that each parameter explains alone, of 1.

        The main effects of an analysis of variance over the full grid, where every combination
        was tried (functional ANOVA, Hutter et al. 2014).
        """
        means = self.scores.mean(1).reshape([len(values) for values in self.grid.values()])
        if not np.isfinite(means).all() or means.var() == 0:
            return dict.fromkeys(self.grid, 0.0)
        axes = range(means.ndim)
        return {
            name: float(means.mean(tuple(a for a in axes if a != axis)).var() / means.var())
            for axis, name in enumerate(self.grid)
        }


def tune(
    images: Sequence[Any],
    truths: Sequence[Truth],
    recipe: Recipe | None = None,
    *,
    metric: Metric = "ap50",
    grid: Mapping[str, Values] | None = None,
    cache: Cache | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Tuning:
    """Search thresholds, suppression and level for what is known of some images.

    Parameters
    ----------
    images
        As for `napari_graysam.segment`.
    truths
        Of each image: labels, some painted objects, or clicks.
    recipe
        To start from, and to stay with where nothing is better; ``raw`` if omitted.
    metric
        What to reach.
    grid
        Values to try, by dotted path; `default_grid` if omitted.
    cache
        Of features and proposals.
    on_progress
        Called with each `Progress`.

    Raises
    ------
    TruthError
        If a truth is not of its image.
    UsageError
        If there are no images, or not as many truths.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.tune import Truth, tune
    >>> truth = np.zeros((64, 64), int)
    >>> truth[16:40, 20:44] = 1
    >>> recipe = Recipe.preset("raw").with_values({"generator.points_per_side": 4})
    >>> found = tune([truth * 200.0], [Truth(truth)], recipe)
    >>> found.choice.score >= found.choice.own_score
    True

    See Also
    --------
    tune_steps : With progress, to be stopped.
    """
    return run(
        tune_steps(images, truths, recipe, metric=metric, grid=grid, cache=cache), on_progress
    )


def tune_steps(
    images: Sequence[Any],
    truths: Sequence[Truth],
    recipe: Recipe | None = None,
    *,
    metric: Metric = "ap50",
    grid: Mapping[str, Values] | None = None,
    cache: Cache | None = None,
    on_start: Callable[[Tuning], None] | None = None,
) -> Generator[Progress, None, Tuning]:
    """Do as `tune`, yielding `Progress`.

    Parameters
    ----------
    images, truths, recipe, metric, grid, cache
        As for `tune`.
    on_start
        Given the `Tuning` before the search: it holds what was found when the generator is
        closed in the middle.

    Examples
    --------
    See `tune`.
    """
    recipe = Recipe.preset("raw") if recipe is None else recipe
    if metric not in METRICS:
        raise UsageError(f"metric is {metric!r}; expected one of {', '.join(METRICS)}")
    if not images or len(images) != len(truths):
        raise UsageError(
            f"{len(images)} images and {len(truths)} ground truths: give one truth for each image, "
            "and at least one image"
        )
    objectives: list[Objective] = []
    sized: list[Recipe] = []
    for number, (image, truth) in enumerate(zip(images, truths, strict=True), 1):
        steps = live_steps(image, recipe, cache=cache)
        live = yield from renamed(steps, f"image {number} of {len(images)}")
        objectives.append(Objective(live.selector, truth, metric, recipe.both_arms))
        sized.append(live.result.recipe)
    if any(one != sized[0] for one in sized):
        raise UsageError(
            f"image.object_diameter is {recipe.image.object_diameter:g}, which sets other values "
            "in images of other sizes: tune images of one size, or set points and areas instead"
        )
    recipe = sized[0]
    names = default_grid(recipe) if grid is None else dict(grid)
    mine = own_values(recipe, list(names))
    for name, value in zip(names, mine, strict=True):
        if value not in names[name]:
            names[name] = (*names[name], value)
    every = list(settings(recipe, names))
    tuning = Tuning(recipe, names, metric, np.full((len(every), len(images)), np.nan))
    if on_start is not None:
        on_start(tuning)
    # The recipe's own first: a search that is stopped at once still knows it.
    order = [tuning.own, *(i for i in range(len(every)) if i != tuning.own)]
    for done, index in enumerate(order):
        if done % _REPORT_EVERY == 0:
            yield Progress("search", done, len(every))
        _try(tuning, objectives, every, index, exact=False)
    yield Progress("search", len(every), len(every))
    yield from _rescore(tuning, objectives, every)
    return tuning


def _try(
    tuning: Tuning,
    objectives: Sequence[Objective],
    every: Sequence[Setting],
    index: int,
    exact: bool,
) -> None:
    setting = every[index]
    for image, objective in enumerate(objectives):
        value = objective.exact if exact else objective
        tuning.scores[index, image] = value(setting.generator, setting.labels)
    if exact:
        tuning.exact.add(index)


def _rescore(
    tuning: Tuning, objectives: Sequence[Objective], every: Sequence[Setting]
) -> Generator[Progress, None, None]:
    """Score the label images of the best settings, of the recipe's own and of the choice."""
    best = [tuning.own, *tuning.ranking[:_RESCORED].tolist()]
    for done, index in enumerate(best):
        yield Progress("paint", done, len(best))
        _try(tuning, objectives, every, index, exact=True)
    while (chosen := tuning.choice.index) not in tuning.exact:
        _try(tuning, objectives, every, chosen, exact=True)
        del tuning.choice
    yield Progress("paint", len(best), len(best))
