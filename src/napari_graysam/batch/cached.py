"""Planes of a stack whose candidates are on disk: selected again, without the model."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from cachetools import LRUCache

from napari_graysam import pipeline
from napari_graysam.errors import ProposalsError
from napari_graysam.pipeline import ScoreFloors
from napari_graysam.pipeline.kept import size_of
from napari_graysam.progress import Progress
from napari_graysam.recipe import MODEL_STAGES, Recipe
from napari_graysam.results import LiveSegmentation, Segmentation
from napari_graysam.source.stack import Stack

if TYPE_CHECKING:
    from napari_graysam.propose.cache import Cache

BUDGET = 2**30
"""Bytes of planes that are held in memory unless told otherwise."""
_STAGES_OF_A_MODEL = ("verify", "download", "load", "encode")


class CachedPlanes:
    """Planes of a stack, each selected again from the candidates that a run has kept.

    A plane that was selected once is held in memory, the least recently used forgotten first; so
    a threshold that moves costs some milliseconds a plane. Threads may share it.

    Parameters
    ----------
    stack
        The image, as it was run.
    cache
        With the folder of the run: what was given as its cache, or `candidates_folder`.
    budget
        Bytes of planes to hold in memory, at most.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.batch import CachedPlanes, candidates_folder, segment_stack
    >>> from napari_graysam.propose.cache import Cache
    >>> from napari_graysam.source.stack import Stack
    >>> recipe = Recipe().with_values({"stack.axis": "z", "generator.points_per_side": 4})
    >>> image = np.stack([np.eye(64)] * 2)
    >>> _ = segment_stack(image, recipe, "results", name="eye")
    >>> cache = Cache(budget=0, folder=candidates_folder("results", "eye"))
    >>> kept = CachedPlanes(Stack(image, recipe), cache)
    >>> stricter = recipe.with_values({"generator.pred_iou_thresh": 1})
    >>> [(position, len(found.masks)) for position, found in kept.planes(stricter)]
    [(0, 0), (1, 0)]

    See Also
    --------
    segment_stack : Writes the results; with kept candidates it needs no model either.
    """

    def __init__(self, stack: Stack, cache: Cache, budget: int = BUDGET) -> None:
        self.stack, self.cache = stack, cache
        self._live: LRUCache[int, LiveSegmentation] = LRUCache(budget, getsizeof=size_of)
        self._lock = RLock()

    def hold(self, position: int, live: LiveSegmentation) -> None:
        """Take what a run of a plane gave, of `napari_graysam.pipeline.live_steps`."""
        with self._lock:
            self._live.pop(position, None)
            if size_of(live) <= self._live.maxsize:
                self._live[position] = live

    def plane(self, position: int, recipe: Recipe) -> Segmentation:
        """Select the objects of a plane.

        Parameters
        ----------
        position
            Along the axis, counted from 0.
        recipe
            May differ from that of the run in thresholds, duplicates, sizes, nesting and labels.

        Raises
        ------
        ProposalsError
            If that needs the model: the recipe differs in an earlier stage, asks for candidates
            that were not kept, or asks the model again (``refine``, ``second_look``).
        ImageError
            If the plane cannot be read.
        """
        alone = self.stack.plane_recipe(position, recipe)
        with self._lock:
            live = self._live.get(position)
        result = None if live is None else _retuned(live, alone)
        if live is None or result is None:
            live = self._load(position, alone)
            result = live.result
        # Held anew each time, so that what it has learned since is counted.
        self.hold(position, live)
        return result

    def planes(
        self, recipe: Recipe, positions: Iterable[int] | None = None
    ) -> Generator[tuple[int, Segmentation], None, None]:
        """Yield planes with their positions, in the order of these; all planes if omitted."""
        for position in self.stack.positions if positions is None else positions:
            yield position, self.plane(position, recipe)

    def _load(self, position: int, recipe: Recipe) -> LiveSegmentation:
        with self._lock:
            gray = self.stack.plane(position)
        steps = pipeline.live_steps(
            gray, recipe, score_floors=ScoreFloors(1.0, 1.0), cache=self.cache
        )
        try:
            while True:
                _refuse_models(next(steps), self.stack.name(position))
        except StopIteration as stop:
            live: LiveSegmentation = stop.value
            return live
        finally:
            steps.close()


def candidates_folder(folder: str | Path, name: str) -> Path:
    """Return where `segment_stack` keeps candidates, unless it was given a cache of its own.

    Parameters
    ----------
    folder, name
        As for `segment_stack`.

    Examples
    --------
    >>> candidates_folder("results", "cells").as_posix()
    'results/cells.planes/candidates'
    """
    return Path(folder) / f"{name}.planes" / "candidates"


def _retuned(live: LiveSegmentation, recipe: Recipe) -> Segmentation | None:
    """Select again; None where what is held does not suffice, and the folder may have more."""
    if live.result.recipe.changed_stage(recipe) in MODEL_STAGES:
        return None
    try:
        return pipeline.retune(live, recipe)
    except ProposalsError:
        return None


def _refuse_models(step: Progress, name: str) -> None:
    """Stop before a model is loaded or asked."""
    stage = step.stage.rpartition(" ")[2]
    if stage in _STAGES_OF_A_MODEL:
        raise ProposalsError(
            f"the candidates of plane {name} are not kept for this recipe, or it asks the model "
            "once more: run the stack again"
        )
