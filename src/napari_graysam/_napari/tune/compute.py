"""The search itself, for a worker thread: plain events come out, nothing of the viewer goes in."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.region import LayerRegion
from napari_graysam._napari.canvas.source import Source
from napari_graysam._napari.results.clock import Clock
from napari_graysam._napari.results.run import Memory
from napari_graysam._napari.threads import heavy_imports
from napari_graysam._napari.tune.known import Known
from napari_graysam.errors import UsageError
from napari_graysam.recipe import Explicit, Recipe

if TYPE_CHECKING:
    from napari_graysam.progress import Progress
    from napari_graysam.recipe import ImageOptions
    from napari_graysam.tune import Metric, Rank, Study, Tuning

SHOWN = 100
"""Scores in the table."""
_SOON = 0.05
"""Share of a search after which its remaining time is told."""


class Step(NamedTuple):
    """Where a search is: ``done`` of ``total`` of a stage; ``left`` seconds, None if unknown."""

    stage: str
    done: int
    total: int
    left: float | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """What is searched.

    Attributes
    ----------
    source, region
        The image, and where points are allowed.
    recipe
        The panel's.
    known
        What the user knows.
    metric
        What is to be reached.
    seconds
        For a search over preprocessing; None searches thresholds and labels only.
    memory
        Of the panel's runs.
    stop
        Set it to end the search with the best so far.
    """

    source: Source
    recipe: Recipe
    region: LayerRegion | None
    known: Known
    metric: Metric
    seconds: float | None
    memory: Memory
    stop: Event = field(default_factory=Event)


@dataclass(frozen=True, eq=False)
class Found:
    """What a search gave, also one that was stopped.

    Attributes
    ----------
    request
        What was asked for.
    image
        What was segmented.
    tuning
        The settings and their scores.
    ranks
        The best of them.
    before
        Score of the panel's recipe.
    trials
        Preprocessings that were tried; 0 where none were to be.
    stopped
        Whether the user ended it.
    """

    request: Request
    image: Any
    tuning: Tuning
    ranks: tuple[Rank, ...]
    before: float
    trials: int
    stopped: bool

    def recipe(self, index: int) -> Recipe:
        """Return the panel's recipe with a setting's values."""
        asked, found = self.request.recipe, self.tuning.with_setting(index)
        window = found.image.window
        if window == searched_options(self.request.source).window:
            window = asked.image.window
        return found.replace(
            image=asked.image.replace(window=window),
            second_look=asked.second_look,
            refine=asked.refine,
        )


def searched_options(source: Source) -> ImageOptions:
    """Return how the image is read: contrast limits of the layer are given as numbers."""
    options = source.options
    if options.window.kind == "limits" and source.contrast_limits is not None:
        low, high = source.contrast_limits
        return options.replace(window=Explicit(low=low, high=high))
    return options


def search(request: Request) -> Generator[Step | Found, None, None]:
    """Search, and yield progress and in the end what was found.

    The candidates are those of the first pass: second look and refinement wait for the next run.

    Raises
    ------
    GraysamError
        If the image, what is known of it or the recipe does not allow it, or the search was
        stopped before anything was tried.
    """
    import matplotlib.figure  # noqa: F401 - for the plots

    yield Step("image", 0, 1)
    image, recipe, inside = _prepared(request)
    truth = request.known.truth(request.source.placement.plane_shape, inside)
    yield Step("load", 0, 1)
    heavy_imports.load()
    cache, before, trials = request.memory.cache(), None, 0
    from napari_graysam.tune import study_steps, tune_steps

    if request.seconds is not None:
        studies: list[Study] = []
        asked = study_steps(
            [image],
            [truth],
            recipe,
            metric=request.metric,
            seconds=request.seconds,
            cache=cache,
            on_start=studies.append,
        )
        stopped = yield from _reported(asked, request, _OfStudy(request.seconds))
        study = studies[0] if studies else None
        if study is None or (stopped and not study.tunings):
            raise _nothing_tried()
        recipe, tuning = study.best
        first = study.tunings[0][1]
        before, trials = float(first.scores[first.own].mean()), len(study.tunings) + study.pruned
        if stopped:
            yield _found(request, image, tuning, before, trials, stopped)
            return
    started: list[Tuning] = []
    steps = tune_steps(
        [image], [truth], recipe, metric=request.metric, cache=cache, on_start=started.append
    )
    stopped = yield from _reported(steps, request, _OfSettings(recipe, request.memory))
    if not started or started[0].own not in started[0].tried:
        raise _nothing_tried()
    yield _found(request, image, started[0], before, trials, stopped)


def _prepared(request: Request) -> tuple[Any, Recipe, NDArray[np.bool_] | None]:
    """Return the image, the recipe to start from, and the pixels of the region."""
    from napari_graysam.source.gray import to_gray

    source, region = request.source, request.region
    options = searched_options(source)
    inside = None if region is None else region.mask()
    if region is not None:
        options = options.replace(region=region.polygons())
    recipe = request.recipe.replace(
        image=options, second_look=request.recipe.second_look.replace(rounds=0), refine=False
    )
    gray = to_gray(source.array, options)
    # Other windows are tried on the pixels themselves.
    return (gray if request.seconds is None else np.asarray(source.array)), recipe, inside


def _nothing_tried() -> UsageError:
    return UsageError("The search was cancelled before anything was tried; nothing has changed.")


def _found(
    request: Request, image: Any, tuning: Tuning, before: float | None, trials: int, stopped: bool
) -> Found:
    from napari_graysam.tune import ranks

    before = tuning.choice.own_score if before is None else before
    return Found(request, image, tuning, tuple(ranks(tuning, SHOWN)), before, trials, stopped)


class _OfSettings:
    """Estimates the time that is left of a search of thresholds."""

    def __init__(self, recipe: Recipe, memory: Memory) -> None:
        self._clock = Clock(recipe, 1, memory.pace)
        self._began: float | None = None

    def step(self, progress: Progress) -> Step:
        stage = progress.stage.rpartition(": ")[2]
        if stage != "search":
            left = self._clock.left(stage, progress.done, progress.total)
            return Step(stage, progress.done, progress.total, left)
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        left = None
        if progress.done > _SOON * progress.total:
            left = (now - self._began) * (progress.total / progress.done - 1)
        return Step(stage, progress.done, progress.total, left)


class _OfStudy:
    """Tells the time that is left of a search over preprocessing."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._began = seconds, time.monotonic()
        self._trial = "trial 1"

    def step(self, progress: Progress) -> Step:
        first, _, _ = progress.stage.partition(": ")
        if first.startswith("trial"):
            self._trial = first
        spent = min(time.monotonic() - self._began, self._seconds)
        return Step(self._trial, int(spent), int(self._seconds), self._seconds - spent)


def _reported(
    steps: Generator[Progress, None, Any], request: Request, times: _OfSettings | _OfStudy
) -> Generator[Step, None, bool]:
    """Pass progress on; return whether the user has stopped it."""
    with closing(steps):
        for progress in steps:
            yield times.step(progress)
            if request.stop.is_set():
                return True
    return False
