"""Runs a whole stack, shows it in one layer an arm, and keeps it up to date with the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_graysam._napari.canvas.source import Source, read_source
from napari_graysam._napari.results.clock import count_points
from napari_graysam._napari.results.combined import COMBINED, SHOWN
from napari_graysam._napari.results.inputs import SETTLED, Run
from napari_graysam._napari.stack.job import StackJob, open_stack
from napari_graysam._napari.stack.layers import plane_entry
from napari_graysam._napari.stack.run import (
    Linked,
    PlaneLost,
    PlaneShown,
    StackEvent,
    StackProgress,
    load_plane,
    retune_stack,
    segment_stack,
)
from napari_graysam._napari.stack.scope import Scope, StackKey, asked_scope, key_of, scopes
from napari_graysam._napari.stack.shown import StackLayers
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.comparison import ARMS
from napari_graysam.errors import GraysamError
from napari_graysam.pipeline.planes import plane_order

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.subject import Subject
    from napari_graysam._napari.panel.sections.run_messages import RunMessages
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam._napari.results.layers import ResultLayers
    from napari_graysam._napari.results.live_update import LiveUpdate
    from napari_graysam.recipe import Recipe
    from napari_graysam.results import Arm, LiveSegmentation, Segmentation

CANCELLED = "Cancelled. The planes that are finished stay; “Continue” goes on with the others."


class StackController:
    """The stacks of one panel.

    Parameters
    ----------
    state
        The panel's.
    layers, live_update
        Of single planes: what is shown of a stack's plane goes through them, too.
    messages
        Say what the user should know.

    Attributes
    ----------
    progressed
        Emitted with a `StackProgress` of a run.
    changed
        Emitted when what is there of a stack has changed.
    """

    progressed = Signal(object)
    changed = Signal()

    def __init__(
        self,
        state: PanelState,
        layers: ResultLayers,
        live_update: LiveUpdate,
        messages: RunMessages,
    ) -> None:
        self._state, self._messages = state, messages
        self._plane_layers, self._live_update = layers, live_update
        self.layers = StackLayers(state.viewer)
        self._jobs: dict[StackKey, StackJob] = {}
        self._running: StackJob | None = None
        self._updating: StackJob | None = None
        self._cancelled = False
        self._adopted: tuple[Subject, tuple[Shown, ...]] | None = None
        self._worker = LatestRequest(self._receive, self._finish, self._fail)
        self._tuner = LatestRequest(self._receive_tuned)
        self._loader = LatestRequest(lambda found: self._adopt(*found))
        self._settled = QTimer(singleShot=True, interval=SETTLED)
        self._settled.timeout.connect(self._retune)
        state.subject_changed.connect(self._on_subject)
        state.recipe_changed.connect(self._on_recipe)
        state.running_changed.connect(self._on_running)
        state.viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Follow nothing more."""
        for worker in (self._worker, self._tuner, self._loader):
            worker.cancel()
        with suppress(RuntimeError):  # Qt may have deleted the timer at the program's end.
            self._settled.stop()
        self.layers.close()
        self._state.subject_changed.disconnect(self._on_subject, missing_ok=True)
        self._state.recipe_changed.disconnect(self._on_recipe, missing_ok=True)
        self._state.running_changed.disconnect(self._on_running, missing_ok=True)
        self._state.viewer.layers.events.removed.disconnect(self._on_removed)

    @property
    def busy(self) -> bool:
        """Whether a stack is run, updated or read, or will be in a moment."""
        workers = (self._worker, self._tuner, self._loader)
        return self._settled.isActive() or any(worker.busy for worker in workers)

    @property
    def scopes(self) -> list[Scope]:
        """The stacks that the shown plane belongs to."""
        source, layer = self._source(), self._state.layer
        if source is None or layer is None:
            return []
        return scopes(source, layer, self._state.recipe)

    @property
    def scope(self) -> Scope | None:
        """The stack that a run segments; None for the shown plane alone."""
        return asked_scope(self.scopes, self._state.recipe.stack.axis)

    @property
    def job(self) -> StackJob | None:
        """What is there of the stack that the shown plane belongs to."""
        found = self._shown()
        return None if found is None else found[0]

    def estimate(self, scope: Scope, arms: int) -> float | None:
        """Return seconds that a whole stack will take, by what the last points took."""
        pace, recipe = self._state.memory.pace, self._state.recipe
        if pace is None or pace.model != recipe.model:
            return None
        return pace.seconds * count_points(recipe) * arms * scope.chosen

    def unfinished(self, arms: Sequence[Arm]) -> int:
        """Return how many planes a run goes on with; 0 where it starts from the beginning."""
        job, scope = self.job, self.scope
        if job is None or scope is None or job.scope.axis != scope.axis:
            return 0
        if not all(job.same_model(arm, self._state.recipe) for arm in arms if arm in job.asked):
            return 0
        there = any(job.there(arm) for arm in arms)
        return len(job.missing(arms)) if there else 0

    def start(self, arms: Sequence[Arm], *, new: bool) -> None:
        """Segment a stack, or go on with what is missing.

        Parameters
        ----------
        arms
            What to segment of every plane.
        new
            Add new layers, and begin from the start.

        Raises
        ------
        GraysamError
            If there is no stack to segment.
        """
        state, scope = self._state, self.scope
        assert state.layer is not None
        assert scope is not None
        source = read_source(state.viewer, state.layer, state.recipe.image)
        source = source.within(state.region)
        job = self._job_for(source, scope, new)
        for arm in arms:
            if not job.same_model(arm, state.recipe):
                job.forget(arm)
        behind = job.to_select(state.recipe)
        job.lacking.clear()
        missing = job.missing(arms)
        if not missing:
            for arm in arms:
                job.forget(arm)
            missing = job.missing(arms)
        job.recipe = state.recipe
        both = state.recipe.both_arms is not None and state.recipe.preprocesses
        for arm in (*arms, *((COMBINED,) if both else ())):
            job.asked.setdefault(arm, state.recipe)
            if arm in behind:
                job.tuned.pop(arm, None)
            else:
                job.tuned[arm] = state.recipe
            self.layers.open(arm, job, new=new)
            job.linked.pop(arm, None)
        self._running, self._cancelled = job, False
        state.running = True
        order = plane_order(missing, source.index[scope.along])
        wanted = {position: missing[position] for position in order}
        self._worker.submit(partial(segment_stack, job, state.recipe, wanted, state.memory))

    def cancel(self) -> bool:
        """Stop after the batch of points that is asked now; return whether there was a run."""
        if self._running is None:
            return False
        self._worker.cancel()
        self._cancelled = True
        return True

    def _job_for(self, source: Source, scope: Scope, new: bool) -> StackJob:
        state = self._state
        assert state.layer is not None
        key = key_of(source, scope.along)
        known = self._jobs.get(key)
        if known is not None and not new:
            same = known.is_of(state.layer, source, state.recipe)
            if same and known.scope.axis == scope.axis:
                return known
        job = open_stack(state.layer, source, scope, state.recipe, state.region)
        if known is not None:
            self._release()
            job.layers.update(known.layers)
        self._jobs[key] = job
        return job

    def _source(self) -> Source | None:
        state = self._state
        try:
            source = read_source(state.viewer, state.layer, state.recipe.image)
        except GraysamError:
            return None
        return source.within(state.region)

    def _shown(self) -> tuple[StackJob, int, Source] | None:
        """Return the stack that is shown, the position in it, and the plane."""
        source = self._source()
        if source is None:
            return None
        for job in self._jobs.values():
            if key_of(source, job.scope.along) == job.key:
                return job, source.index[job.scope.along], source
        return None

    def _receive(self, event: StackEvent) -> None:
        job = self._running
        if job is None:
            return
        if isinstance(event, StackProgress):
            self.progressed.emit(event)
        elif isinstance(event, PlaneShown):
            self._plane_came(job, event)
        elif isinstance(event, PlaneLost):
            job.lacking[event.position] = event.why
        else:
            self._show_linked(job, event)
        if not isinstance(event, StackProgress):
            self.changed.emit()

    def _plane_came(self, job: StackJob, event: PlaneShown) -> None:
        self.layers.refresh(event.arm, job)
        shown = self._shown()
        if shown is not None and shown[:2] == (job, event.position) and event.arm in ARMS:
            self._load(job, event.position)

    def _show_linked(self, job: StackJob, event: Linked) -> None:
        job.linked[event.arm], job.linked_by[event.arm] = event.tables, event.recipe.stack
        self.layers.show_linked(event.arm, job, event.recipe)

    def _finish(self) -> None:
        job, self._running = self._running, None
        self._state.running = False
        if self._cancelled:
            self._state.said.emit(CANCELLED, False)
        if job is not None and job.key in self._jobs:
            self._consider(job, self._state.recipe)
        self.changed.emit()

    def _fail(self, error: Exception) -> None:
        self._messages.report(error)

    def _on_subject(self) -> None:
        self._release()
        shown = self._shown()
        if shown is not None:
            self._load(shown[0], shown[1])
        self.changed.emit()

    def _load(self, job: StackJob, position: int) -> None:
        arms = [arm for arm in job.volumes if position in job.there(arm)]
        if not arms:
            return
        here = set(job.kept.in_memory)
        if all((position, arm) in here for arm in arms if arm in ARMS):
            for found in load_plane(job, position, arms):
                if found is not None:
                    self._adopt(*found)
        else:
            self._loader.submit(partial(load_plane, job, position, arms))

    def _adopt(self, job: StackJob, position: int, found: dict[Arm, LiveSegmentation]) -> None:
        """Let a plane's results be asked, compared and updated as those of a single plane are."""
        shown = self._shown()
        if shown is None or shown[:2] != (job, position) or self._is_known_alone(shown[2]):
            return
        source = replace(
            shown[2],
            array=None,
            contrast_limits=job.source.contrast_limits,
            alone=job.recipe.stack.window == "plane",
        )
        subject = source.subject
        self._adopted = subject, SHOWN
        results: dict[Shown, Segmentation] = {arm: live.result for arm, live in found.items()}
        if COMBINED in job.volumes and len(found) == len(ARMS):
            results[COMBINED] = found[ARMS[-1]].result  # Until both are combined.
        for arm, result in results.items():
            layer = self.layers.layer(arm, job)
            if layer is not None:
                entry = plane_entry(layer, job.volumes[arm], position, source, result)
                self._plane_layers.attach(arm, entry)
        for arm, live in found.items():
            if self.layers.layer(arm, job) is not None:
                self._state.set_result(arm, live.result, live.selector, subject)
                run = Run(job.asked[arm], self._of(live, source), live)
                self._live_update.adopt(arm, run)

    @staticmethod
    def _of(live: LiveSegmentation, source: Source) -> Source:
        """Return the plane as it was read for a result."""
        return replace(source, options=live.result.recipe.image)

    def _is_known_alone(self, source: Source) -> bool:
        """Whether a plane has results of its own, from a run of it alone."""
        subject = source.subject
        mine = self._adopted is not None and self._adopted[0] == subject
        return not mine and bool(self._state.results_of(subject))

    def _release(self) -> None:
        """Let go of the results of the plane that was shown; the stack keeps them."""
        if self._adopted is None:
            return
        (subject, arms), self._adopted = self._adopted, None
        for arm in arms:
            self._plane_layers.detach(arm, subject)
            if arm in self._state.results_of(subject):
                self._live_update.forget(arm, subject)

    def _on_recipe(self, recipe: Recipe, stage: object) -> None:
        for job in self._jobs.values():
            if job.key.layer == getattr(self._state.layer, "unique_id", None):
                self._consider(job, recipe)
        self.changed.emit()

    def _consider(self, job: StackJob, recipe: Recipe) -> None:
        """Update a stack soon if the recipe asks for something else that needs no model."""
        if job is self._running:
            return
        behind = {*job.to_select(recipe), *job.to_link(recipe)}
        if not behind:
            return
        self._tuner.cancel()
        self._updating = job
        for arm in behind:
            self.layers.mark(arm, job, True)
        self._settled.start()

    def _on_running(self, running: bool) -> None:
        if running:
            self._settled.stop()
            self._tuner.cancel()
        elif self._updating is not None:
            self._settled.start()

    def _retune(self) -> None:
        job, state = self._updating, self._state
        if job is None or state.running:
            return
        if self._tuner.busy:
            self._settled.start()
            return
        shown = self._shown()
        first = shown[1] if shown is not None and shown[0] is job else 0
        order = plane_order(job.stack.positions, first)
        select = job.to_select(state.recipe)
        link = tuple({*select, *job.to_link(state.recipe)})
        for arm in link:
            job.linked.pop(arm, None)
        for arm in select:
            job.tuned.pop(arm, None)
        self._tuner.submit(partial(retune_stack, job, state.recipe, order, select, link))

    def _receive_tuned(self, event: StackEvent) -> None:
        job = self._updating
        if job is None:
            return
        if isinstance(event, PlaneShown):
            self.layers.refresh(event.arm, job)
        elif isinstance(event, PlaneLost):
            job.lost.add(event.position)
        elif isinstance(event, Linked):
            if job.same_model(event.arm, event.recipe):
                job.tuned[event.arm] = event.recipe
            self._show_linked(job, event)
            if set(job.linked) == set(job.volumes):
                self._updating = None
                self._consider(job, self._state.recipe)
        if not isinstance(event, StackProgress):
            self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        """Let go of the stacks of a layer that left the viewer."""
        gone = event.value.unique_id
        for key in [key for key in self._jobs if gone in (key.layer, key.region)]:
            if self._jobs[key] is not self._running:
                del self._jobs[key]
        self.changed.emit()
