"""Results follow the recipe: selected again where no model is needed, else marked outdated."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_graysam._napari.results.colors import Positions, object_colors
from napari_graysam._napari.results.combined import (
    COMBINED,
    NOT_ASKED,
    CombinedRun,
    as_read,
    combined,
    of_arm,
    parts_to_combine,
)
from napari_graysam._napari.results.inputs import InputsWatcher, Run
from napari_graysam._napari.results.settled import SETTLED
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError
from napari_graysam.parameters import Part
from napari_graysam.recipe import Recipe, for_image
from napari_graysam.recipe.stages import stage_of

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.subject import Subject
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam._napari.results.layers import ResultLayers
    from napari_graysam.results import Segmentation
    from napari_graysam.select.selector import Selector

_FROM_START = "a run starts with the image encoder"
_AGAIN = {
    "image": _FROM_START,
    "view": _FROM_START,
    "encode": _FROM_START,
    "decode": "a run asks the points again; the encoded image is kept",
}


KEPT = 6
"""Images, planes and regions whose candidates are kept: a store may take a gigabyte."""


class _Retuned(NamedTuple):
    """Newly selected results, for which recipe and of which runs, and why some failed."""

    recipe: Recipe
    runs: dict[Shown, Run]
    results: dict[Shown, Segmentation]
    colors: dict[Shown, Positions]
    problems: dict[Shown, str]


class _Measured(NamedTuple):
    """Results whose tables are there now, and what they are of."""

    subject: Subject | None
    results: dict[Shown, Segmentation]


class LiveUpdate:
    """Selects the arms' objects again whenever the recipe changes; the latest change wins.

    Parameters
    ----------
    state
        Whose recipe is followed, and where the results go.
    layers
        Where they are shown.

    Attributes
    ----------
    outdated
        By arm, why its result is not what a run would give now.
    changed
        Emitted when results were updated, or became outdated.
    message
        Emitted with what the user should know.
    """

    changed = Signal()
    message = Signal(str)

    def __init__(self, state: PanelState, layers: ResultLayers) -> None:
        self._state = state
        self._layers = layers
        self._runs: dict[Subject, dict[Shown, Run]] = {}
        self._reasons: dict[Shown, str] = {}
        self.outdated: dict[Shown, str] = {}
        self._selecting = LatestRequest(self._receive)
        self._measuring = LatestRequest(self._receive)
        self._settled = QTimer(singleShot=True, interval=SETTLED)
        self._settled.timeout.connect(self._measure)
        state.recipe_changed.connect(self._follow)
        state.subject_changed.connect(self._on_subject)
        state.viewer.layers.events.removed.connect(self._on_removed)
        self._inputs = InputsWatcher(state)
        self._inputs.changed.connect(self._report)
        state.running_changed.connect(self._on_running)

    def close(self) -> None:
        """Follow nothing more."""
        self._inputs.close()
        self._state.viewer.layers.events.removed.disconnect(self._on_removed)
        self._state.subject_changed.disconnect(self._on_subject, missing_ok=True)
        self._state.recipe_changed.disconnect(self._follow, missing_ok=True)
        self._state.running_changed.disconnect(self._on_running, missing_ok=True)
        with suppress(RuntimeError):  # Qt may have deleted the timer at the program's end.
            self._settled.stop()
        self._selecting.cancel()
        self._measuring.cancel()

    def adopt(self, arm: Shown, run: Run) -> None:
        """Follow the recipe with the result of a run, and catch up with changes since."""
        runs = self._runs.pop(run.subject, {})
        self._runs[run.subject] = {**runs, arm: run}
        while len(self._runs) > KEPT:
            oldest = next(iter(self._runs))
            for other in self._runs.pop(oldest):
                result = self._state.results_of(oldest).get(other)
                self._state.set_result(other, result, subject=oldest)
        self._on_subject()

    def forget(self, arm: Shown, subject: Subject) -> None:
        """Let go of a result and follow with it no more; its layer stays."""
        self._runs.get(subject, {}).pop(arm, None)
        self._state.set_result(arm, None, subject=subject)
        self._on_subject()

    def run_of(self, arm: Shown) -> Run | None:
        """Return the run that an arm's shown result comes from."""
        return self._shown.get(arm)

    @property
    def _shown(self) -> dict[Shown, Run]:
        """The runs of what is shown."""
        subject = self._state.subject
        return {} if subject is None else self._runs.get(subject, {})

    def _on_subject(self) -> None:
        self._inputs.watch(self._shown)
        self._follow(self._state.recipe, None)

    def _on_removed(self, event: Any) -> None:
        """Let go of the results of a layer that left the viewer."""
        gone = event.value.unique_id
        for subject in [one for one in self._runs if gone in (one.layer, one.region)]:
            for arm in tuple(self._state.results_of(subject)):
                self.forget(arm, subject)
            self._runs.pop(subject, None)

    def _on_running(self, running: bool) -> None:
        if running:
            self._settled.stop()
            self._measuring.cancel()
        elif self._shown:
            self._settled.start()
            self._follow(self._state.recipe, None)  # Both arms may be there to be combined.

    def _follow(self, recipe: Recipe, stage: object) -> None:
        wanted: dict[Shown, tuple[Run, Recipe]] = {}
        self._reasons.clear()
        parts = None if self._state.running else parts_to_combine(self._shown, recipe)
        for arm, run in self._shown.items():
            asked, now = (of_arm(arm, one) for one in (run.asked, recipe))
            first = asked.changed_stage(now)
            if arm == COMBINED and recipe.both_arms is None:
                self._reasons[arm] = NOT_ASKED
                continue
            if first in _AGAIN:
                titles = ", ".join(dict.fromkeys(changed_titles(asked, now)))
                self._reasons[arm] = f"Changed since: {titles}. Run again; {_AGAIN[first]}."
                continue
            current = self._state.results.get(arm)
            now = as_read(now, run.live.result)
            if current is not None and _differs(current, now):
                wanted[arm] = (run, now)
        for arm in set(self._state.results) - set(self._shown):
            result = self._state.results[arm]
            if _differs(result, as_read(of_arm(arm, recipe), result)):
                self._reasons[arm] = "Its candidates were let go of for newer runs: run again."
        if wanted or parts is not None:
            self._measuring.cancel()  # It would slow down what the slider waits for.
            shown = dict(self._state.results)
            self._selecting.submit(partial(_select, recipe, wanted, shown, parts))
        self._report()

    def _report(self) -> None:
        """Say which results are outdated and why: for their inputs, or else for the recipe."""
        self.outdated.clear()
        self.outdated.update(self._reasons)
        self.outdated.update(self._inputs.reasons)
        self.changed.emit()

    def _receive(self, event: _Retuned | _Measured) -> None:
        if isinstance(event, _Measured):
            for arm, result in event.results.items():
                self._layers.set_table(arm, result, event.subject)
            return
        stale = {arm for arm, run in event.runs.items() if self._is_stale(arm, run)}
        for arm, problem in event.problems.items():
            if arm not in stale and self._shown.get(arm) is event.runs[arm]:
                self._reasons[arm] = f"{problem}."
        for arm, result in event.results.items():
            if arm in stale:
                continue
            run = event.runs[arm]
            if text := self._show(arm, run, result, event.colors[arm]):
                self.message.emit(text)
            self._state.set_result(arm, result, run.live.selector, run.subject)
        self._settled.start()
        self._report()
        if event.recipe != self._state.recipe:
            self._follow(self._state.recipe, None)

    def _is_stale(self, arm: Shown, run: Run) -> bool:
        """Whether a run is no longer the one that is followed."""
        runs = self._runs.get(run.subject, {})
        if isinstance(run, CombinedRun):
            return not run.is_of(runs)
        return runs.get(arm) is not run

    def _show(self, arm: Shown, run: Run, result: Segmentation, colors: Positions) -> str:
        """Show a result in its layer; one of both arms gets its own when it first comes."""
        runs = self._runs[run.subject]
        if isinstance(run, CombinedRun):
            runs[arm] = run
            self._reasons.pop(arm, None)
        if self._layers.layer(arm, run.subject) is None and isinstance(run, CombinedRun):
            return self._layers.show(arm, result, run.source, colors, new=False)
        return self._layers.update(arm, result, colors, run.subject)

    def _measure(self) -> None:
        if self._selecting.busy:
            self._settled.start()
            return
        subject, shown = self._state.subject, self._shown
        results = {arm: one for arm, one in self._state.results.items() if arm in shown}
        ahead = {} if self._state.running else self._state.selectors
        self._measuring.submit(partial(_settle, subject, results, dict(ahead)))


def _select(
    recipe: Recipe,
    wanted: Mapping[Shown, tuple[Run, Recipe]],
    shown: dict[Shown, Segmentation],
    parts: tuple[Run, Run] | None = None,
) -> Generator[_Retuned, None, None]:
    """Select each arm's objects again, combine both if asked to, and give all their colours."""
    from napari_graysam.pipeline import retune

    runs = {arm: run for arm, (run, _) in wanted.items()}
    results: dict[Shown, Segmentation] = {}
    problems: dict[Shown, str] = {}
    for arm, (run, asked) in wanted.items():
        try:
            results[arm] = retune(run.live, asked)
        except Exception as error:
            problems[arm] = str(error) or f"{type(error).__name__}: run again"
    if parts is not None:
        problems.pop(COMBINED, None)
        try:
            runs[COMBINED] = combined(parts, recipe)
            results[COMBINED] = runs[COMBINED].live.result
        except GraysamError as error:
            runs[COMBINED] = parts[1]
            problems[COMBINED] = str(error)
    colors = object_colors({**shown, **results})
    yield _Retuned(recipe, runs, results, colors, problems)


def _settle(
    subject: Subject | None,
    results: dict[Shown, Segmentation],
    selectors: dict[Shown, Selector],
) -> Generator[_Measured | None, None, None]:
    """Measure each arm's objects, then prepare for other thresholds; a newer request stops it."""
    for result in results.values():
        _ = result.table
        yield None
    yield _Measured(subject, results)
    recipes = {arm: result.recipe for arm, result in results.items() if arm in selectors}
    ahead = [selectors[arm].prepare(one.generator, one.labels) for arm, one in recipes.items()]
    for _ in zip_longest(*ahead):
        yield None


def _differs(result: Segmentation, recipe: Recipe) -> bool:
    """Whether a recipe would give another result."""
    sized = for_image(recipe, result.labels.shape)
    return result.recipe.changed_stage(sized) is not None


def changed_titles(before: Part, after: Part) -> Iterator[str]:
    """Yield the labels of the parameters in which two recipes differ and that need the model."""
    for name, field in type(before).model_fields.items():
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        stage = stage_of(after, field)
        if stage is None and isinstance(old, Part):
            yield from changed_titles(old, new)
        elif stage in _AGAIN:
            yield field.title or name
