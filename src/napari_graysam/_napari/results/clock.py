"""How long a run will still take, from the points that were decoded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from napari_graysam.recipe import ModelOptions, Recipe

BEFORE = ("image", "preprocess", "load", "encode")
"""Stages before an arm's first points, of whose time the last run gives an idea."""


NOTABLE = 1.0
"""Seconds of loading that are worth a word, and of which a later start is told."""


class Pace(NamedTuple):
    """Seconds that a point took with a model."""

    model: ModelOptions
    seconds: float


def count_points(recipe: Recipe) -> int:
    """Return about how many points an arm asks: those of all grids, whole."""
    from napari_graysam.propose.grid import layer_grids

    grids = layer_grids(recipe.generator)
    return sum(len(grid) * 4**layer for layer, grid in enumerate(grids))


class Clock:
    """Estimates the time that a run will still take.

    Parameters
    ----------
    recipe
        Of the run.
    arms
        How many arms it has.
    last
        Of the last run; counts until points are decoded, if it was with the same model.

    Attributes
    ----------
    loading
        Seconds that PyTorch and the model have taken to load.
    """

    def __init__(self, recipe: Recipe, arms: int, last: Pace | None = None) -> None:
        self._model = recipe.model
        self._points = count_points(recipe)
        self._arms_left = arms
        self._first: tuple[float, int] | None = None
        self._loading_since: float | None = None
        self.loading = 0.0
        self._each = last.seconds if last is not None and last.model == recipe.model else None

    @property
    def pace(self) -> Pace | None:
        """What is known about the model's points; None before anything is."""
        return None if self._each is None else Pace(self._model, self._each)

    def left(self, stage: str, done: int, total: int) -> float | None:
        """Return seconds until all arms are done; None before anything can be said."""
        now = time.perf_counter()
        if self._loading_since is not None:
            self.loading += now - self._loading_since
        self._loading_since = now if stage == "load" else None
        if stage != "decode":
            self._first = None
            if stage not in BEFORE or self._each is None:
                return None
            return self._each * self._points * self._arms_left
        if self._first is None:
            self._first = (now, done)
        since, first = self._first
        if done > first:
            self._each = (now - since) / (done - first)
        if self._each is None:
            return None
        return self._each * (total - done + total * (self._arms_left - 1))

    def arm_done(self) -> None:
        """Count an arm as done."""
        self._arms_left -= 1
