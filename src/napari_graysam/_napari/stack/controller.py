"""Runs a whole stack and shows it in one layer an arm, as its planes come."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.results.clock import count_points
from napari_graysam._napari.results.combined import COMBINED
from napari_graysam._napari.stack.jobs import StackJobs
from napari_graysam._napari.stack.plane import ShownPlane
from napari_graysam._napari.stack.run import (
    Linked,
    PlaneLost,
    PlaneShown,
    StackEvent,
    StackProgress,
    segment_stack,
)
from napari_graysam._napari.stack.saving import StackSaver
from napari_graysam._napari.stack.shown import StackLayers
from napari_graysam._napari.stack.tuning import StackTuner
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.comparison import ARMS
from napari_graysam.pipeline.planes import plane_order
from napari_graysam.stack.laptracking import check_laptrack

if TYPE_CHECKING:
    from napari_graysam._napari.panel.sections.run_messages import RunMessages
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam._napari.results.layers import ResultLayers
    from napari_graysam._napari.results.live_update import LiveUpdate
    from napari_graysam._napari.stack.job import StackJob
    from napari_graysam._napari.stack.scope import Scope
    from napari_graysam.recipe import Recipe
    from napari_graysam.results import Arm

CANCELLED = "Cancelled. The planes that are finished stay; “Continue” goes on with the others."
REMOVED = (
    "The run was stopped, because “{}” was removed. The planes that were finished stay in their "
    "layer, not linked."
)


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
    jobs
        The stacks that were run.
    layers, saver
        Show and save them.
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
        self.jobs = StackJobs(state)
        self.layers = StackLayers(state.viewer)
        self._plane = ShownPlane(state, self.jobs, layers, live_update)
        self._tuner = StackTuner(state, self.jobs, self.layers, self._fail)
        self.saver = StackSaver(state, self.jobs)
        self._tuner.changed.connect(self.changed.emit)
        self._tuner.said.connect(messages.inform_once)
        self._running: StackJob | None = None
        self._stopped = ""
        self._closed = False
        self._worker = LatestRequest(self._receive, self._finish, self._fail)
        self._listeners = Listeners()
        for emitter, slot in (
            (state.subject_changed, self._on_subject),
            (state.recipe_changed, self._on_recipe),
            (state.running_changed, self._on_running),
            (state.viewer.layers.events.removed, self._on_removed),
        ):
            self._listeners.add(emitter, slot)

    def close(self) -> None:
        """Follow nothing more."""
        self._closed = True
        self._listeners.clear()
        self._worker.cancel()
        for part in (self._tuner, self._plane, self.layers, self.saver, self.jobs):
            part.close()

    @property
    def busy(self) -> bool:
        """Whether a stack is run, updated or read, or will be in a moment."""
        parts = (self._worker, self._tuner, self._plane, self.saver)
        return any(part.busy for part in parts)

    @property
    def job(self) -> StackJob | None:
        """What is there of the stack that is shown."""
        shown = self.jobs.shown
        return None if shown is None else shown[0]

    def estimate(self, scope: Scope, arms: int) -> float | None:
        """Return seconds that a whole stack will take, by what the last points took."""
        pace, recipe = self._state.memory.pace, self._state.recipe
        if pace is None or pace.model != recipe.model:
            return None
        return pace.seconds * count_points(recipe) * arms * scope.chosen

    def unfinished(self, arms: Sequence[Arm]) -> int:
        """Return how many planes a run goes on with; 0 where it starts from the beginning."""
        job, scope, recipe = self.job, self.jobs.scope, self._state.recipe
        if job is None or scope is None or not self.jobs.goes_on(job, scope):
            return 0
        if not all(job.same_model(arm, recipe) for arm in arms if arm in job.asked):
            return 0
        there = [arm for arm in arms if job.there(arm)]
        return len(job.missing(there, job.choosing(recipe)))

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
            If there is no stack to segment, or it cannot be linked as the recipe asks.
        """
        recipe, scope = self._state.recipe, self.jobs.scope
        assert scope is not None
        if recipe.stack.link == "laptrack":
            check_laptrack(scope.axis)
        before = self.job
        job = self.jobs.open(scope, new=new)
        if job is not before:
            self._plane.release()
        missing = job.prepare(arms, recipe)
        both = recipe.both_arms is not None and recipe.preprocesses
        for arm in (*arms, *((COMBINED,) if both else ())):
            job.ask(arm, recipe)
            self.layers.open(arm, job, new=new)
        self._running, self._stopped = job, ""
        self._state.running = True
        shown = self.jobs.shown
        order = plane_order(missing, 0 if shown is None else shown[1])
        wanted = {position: missing[position] for position in order}
        self._worker.submit(partial(segment_stack, job, recipe, wanted, self._state.memory))

    def cancel(self) -> bool:
        """Stop after the batch of points that is asked now; return whether there was a run."""
        if self._running is None:
            return False
        self._worker.cancel()
        self._stopped = CANCELLED
        return True

    def _receive(self, event: StackEvent) -> None:
        job = self._running
        if job is None:
            return
        if isinstance(event, StackProgress):
            self.progressed.emit(event)
            return
        if isinstance(event, PlaneShown):
            self._plane_came(job, event.position, event.arm)
        elif isinstance(event, PlaneLost):
            job.lacking[event.position] = event.why
        elif isinstance(event, Linked):
            self.layers.show_linked(job, event)
        self.changed.emit()

    def _plane_came(self, job: StackJob, position: int, arm: Shown) -> None:
        if text := self.layers.renew(arm, job):
            self._messages.inform_once(text)
        self.layers.refresh(arm, job)
        if arm in ARMS:
            self._plane.came(job, position)

    def _fail(self, error: Exception) -> None:
        if not self._closed:
            self._messages.report(error)

    def _finish(self) -> None:
        self._running = None
        if self._closed:
            return
        self._state.running = False
        if self._stopped:
            self._state.said.emit(self._stopped, False)
        self.changed.emit()

    def _on_subject(self) -> None:
        self._plane.follow()
        self.changed.emit()

    def _on_recipe(self, recipe: Recipe, stage: object) -> None:
        self._tuner.follow()
        self.changed.emit()

    def _on_running(self, running: bool) -> None:
        if running:
            self._tuner.pause()
        else:
            self._tuner.follow()

    def _on_removed(self, event: Any) -> None:
        self.jobs.forget_layer(event.value.unique_id)
        if self._running is not None and not self.jobs.holds(self._running):
            self._worker.cancel()
            self._stopped = REMOVED.format(event.value.name)
        self.changed.emit()
