"""Search of what needs the model: preprocessing, window, frame and grid of points, by optuna.

A trial runs the model on the images one after the other and looks for its best thresholds on
their candidates. Trials that are surely worse than the best so far are ended early (Wilcoxon
signed-rank test over the images, `optuna.pruners.WilcoxonPruner`).
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_graysam.errors import OutputError, UsageError
from napari_graysam.pipeline import fingerprint_of
from napari_graysam.progress import Progress, renamed
from napari_graysam.recipe import Recipe, presets
from napari_graysam.tune.grid import Values
from napari_graysam.tune.truth import Metric, Truth
from napari_graysam.tune.tuner import Tuning, tune_steps

if TYPE_CHECKING:
    import optuna

    from napari_graysam.propose.cache import Cache

COARSE: dict[str, Values] = {
    "generator.pred_iou_thresh": (0.3, 0.4, 0.5, 0.6, 0.7),
    "generator.stability_score_thresh": (0.0, 0.3, 0.6),
}
"""Thresholds that are tried for each chain."""
_LEAST = 3
"""Trials after which a worse one may be ended early."""


@dataclass(eq=False)
class Study:
    """What a search over preprocessing found; also of one that was stopped.

    Attributes
    ----------
    recipe
        To start from.
    tunings
        Recipe before its thresholds were searched, and what that gave; the first is of `recipe`.
    pruned
        Trials that were ended early.
    """

    recipe: Recipe
    tunings: list[tuple[Recipe, Tuning]] = field(default_factory=list)
    pruned: int = 0

    @property
    def best(self) -> tuple[Recipe, Tuning]:
        """The trial with the best mean score; the first one on ties."""
        if not self.tunings:
            raise UsageError("the search was stopped before a trial was done: give it more time")
        means = [float(np.nanmax(tuning.scores.mean(1))) for _, tuning in self.tunings]
        best = int(np.argmax(means))
        return self.tunings[best if means[best] > means[0] + 0.01 else 0]


def study_steps(
    images: Sequence[Any],
    truths: Sequence[Truth],
    recipe: Recipe | None = None,
    *,
    metric: Metric = "ap50",
    seconds: float = 600,
    journal: str | os.PathLike[str] | None = None,
    cache: Cache | None = None,
    seed: int = 0,
    on_start: Callable[[Study], None] | None = None,
) -> Generator[Progress, None, Study]:
    """Search preprocessing, window, frame and points, yielding `Progress`.

    Parameters
    ----------
    images, truths, metric, cache
        As for `tune_steps`.
    recipe
        Tried first.
    seconds
        After which no other trial begins.
    journal
        File where trials are kept: the same search goes on from it another time.
    seed
        Of the sampler.
    on_start
        Given the `Study` before the search: it holds what was found when the generator is
        closed in the middle.

    Raises
    ------
    UsageError
        If optuna is not installed, there is no time, or the journal is of other images.
    OutputError
        If the journal cannot be read or written.
    """
    recipe = Recipe.preset("raw") if recipe is None else recipe
    if seconds <= 0:
        raise UsageError(f"the search has {seconds:g} seconds: give it at least one")
    optuna_study = _open(images, recipe, metric, journal, seed)
    found = Study(recipe)
    if on_start is not None:
        on_start(found)
    until, began = time.monotonic() + seconds, time.monotonic()
    number = 0
    while number == 0 or time.monotonic() < until:
        trial = optuna_study.ask()
        asked = _suggest(trial, recipe)
        spent = int(time.monotonic() - began)
        yield Progress("seconds", min(spent, int(seconds)), int(seconds))
        number += 1
        tuning = yield from _run(trial, asked, images, truths, metric, cache)
        if tuning is None:
            optuna_study.tell(trial, state=_state("PRUNED"))
            found.pruned += 1
            continue
        optuna_study.tell(trial, float(np.nanmax(tuning.scores.mean(1))))
        found.tunings.append((asked, tuning))
    yield Progress("seconds", int(seconds), int(seconds))
    return found


def _run(
    trial: optuna.Trial,
    recipe: Recipe,
    images: Sequence[Any],
    truths: Sequence[Truth],
    metric: Metric,
    cache: Cache | None,
) -> Generator[Progress, None, Tuning | None]:
    """Return the thresholds' search of one trial; None where it was ended early."""
    parts: list[Tuning] = []
    for step, (image, truth) in enumerate(zip(images, truths, strict=True)):
        steps = tune_steps([image], [truth], recipe, metric=metric, grid=COARSE, cache=cache)
        parts.append((yield from renamed(steps, f"trial {trial.number + 1}")))
        trial.report(float(np.nanmax(parts[-1].scores)), step)
        if trial.number >= _LEAST and trial.should_prune():
            return None
    scores = np.concatenate([part.scores for part in parts], axis=1)
    return Tuning(recipe, parts[0].grid, metric, scores, parts[0].exact)


def _open(
    images: Sequence[Any],
    recipe: Recipe,
    metric: Metric,
    journal: str | os.PathLike[str] | None,
    seed: int,
) -> optuna.Study:
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            "the search over preprocessing needs optuna: pip install 'napari-graysam[tune]', or "
            "search thresholds only"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None if journal is None else _storage(Path(journal))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=2)
    study = optuna.create_study(
        storage=storage,
        study_name="graysam",
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=8),
        pruner=pruner,
    )
    about = _about(images, recipe, metric)
    known = study.user_attrs.get("about")
    if known is None:
        study.set_user_attr("about", about)
        study.enqueue_trial({"chain": "own", "low": "own", "points": "own", "frame": "own"})
    elif known != about:
        raise UsageError(
            f"{journal} holds a search over other images, another recipe or another metric: "
            "name another file, or remove this one"
        )
    return study


def _storage(path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = JournalFileOpenLock(str(path))
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"the journal {path} cannot be used: {error}") from error


def _about(images: Sequence[Any], recipe: Recipe, metric: Metric) -> str:
    prints = [fingerprint_of(image, recipe).model_dump(mode="json") for image in images]
    return json.dumps([metric, prints], sort_keys=True)


def _suggest(trial: optuna.Trial, recipe: Recipe) -> Recipe:
    """Ask for a chain of the presets, the window's low end, points and frame."""
    chain = trial.suggest_categorical("chain", ["own", "none", *_chains()])
    low = trial.suggest_categorical("low", ["own", "0", "0.5", "2"])
    points = trial.suggest_categorical("points", ["own", "24", "48"])
    frame = trial.suggest_categorical("frame", ["own", "1.5"])
    if chain == "none":
        recipe = recipe.raw_arm()
    elif chain != "own":
        source = Recipe.preset(chain)
        recipe = recipe.replace(preprocess=source.preprocess, rgb=source.rgb)
    if low != "own":
        high = 100 - float(low) / 2
        window = {"kind": "percentiles", "low": float(low), "high": high}
        recipe = recipe.with_values({"image.window": json.dumps(window)})
    if points != "own":
        recipe = recipe.with_values({"generator.points_per_side": int(points)})
    if frame != "own" and recipe.model.name == "graysam-small" and recipe.model.frame is None:
        recipe = recipe.with_values({"model.frame_scale": float(frame)})
    return recipe


def _chains() -> list[str]:
    return [name for name in presets() if Recipe.preset(name).preprocess]


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]
