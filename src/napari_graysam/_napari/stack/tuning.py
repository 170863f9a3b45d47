"""Stacks follow the recipe in the background: selected again and linked, without the model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_graysam._napari.results.settled import SETTLED
from napari_graysam._napari.stack.run import (
    Linked,
    PlaneLost,
    PlaneShown,
    StackEvent,
    StackProgress,
    retune_stack,
)
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.pipeline.planes import plane_order

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.stack.job import StackJob
    from napari_graysam._napari.stack.jobs import StackJobs
    from napari_graysam._napari.stack.shown import StackLayers


class StackTuner:
    """Updates one stack after the other, the shown one first; a newer recipe begins again.

    Parameters
    ----------
    state
        Whose recipe is followed.
    jobs, layers
        The stacks, and their layers.
    fail
        Called with the error that ended an update.

    Attributes
    ----------
    changed
        Emitted when planes have changed or objects were linked.
    said
        Emitted with what the user should know.
    """

    changed = Signal()
    said = Signal(str)

    def __init__(
        self,
        state: PanelState,
        jobs: StackJobs,
        layers: StackLayers,
        fail: Callable[[Exception], None],
    ) -> None:
        self._state, self._jobs, self._layers = state, jobs, layers
        self._job: StackJob | None = None
        self._fail = fail
        self._worker = LatestRequest(self._receive, on_error=self._end)
        self._settled = QTimer(singleShot=True, interval=SETTLED)
        self._settled.timeout.connect(self._begin)

    @property
    def busy(self) -> bool:
        """Whether a stack is updated, or will be in a moment."""
        return self._settled.isActive() or self._worker.busy

    def close(self) -> None:
        """Update nothing more."""
        with suppress(RuntimeError):  # Qt may have deleted the timer at the program's end.
            self._settled.stop()
        self._worker.cancel()

    def pause(self) -> None:
        """Leave the processor to a run; what is not done comes after it."""
        self._settled.stop()
        self._worker.cancel()

    def follow(self) -> None:
        """Update stacks soon, if the recipe asks for something else that needs no model."""
        if self._state.running:
            return
        recipe = self._state.recipe
        behind: list[StackJob] = []
        for job in self._jobs.of_layer():
            arms = {*job.to_select(recipe), *job.to_link(recipe)}
            behind += [job] if arms else []
            for arm in arms:
                self._layers.mark(arm, job, True)
        if behind:
            shown = self._jobs.shown
            self._worker.cancel()
            self._job = shown[0] if shown is not None and shown[0] in behind else behind[0]
            self._settled.start()

    def _begin(self) -> None:
        job, state = self._job, self._state
        if job is None or state.running:
            return
        if self._worker.busy:
            self._settled.start()
            return
        shown = self._jobs.shown
        first = shown[1] if shown is not None and shown[0] is job else 0
        order = plane_order(job.stack.positions, first)
        select = job.to_select(state.recipe)
        link = tuple({*select, *job.to_link(state.recipe)})
        for arm in link:
            if text := self._layers.renew(arm, job):
                self.said.emit(text)
            self._layers.mark(arm, job, True)
            job.linked.pop(arm, None)
        for arm in select:
            job.tuned.pop(arm, None)
        self._worker.submit(partial(retune_stack, job, state.recipe, order, select, link))

    def _end(self, error: Exception) -> None:
        """Say what ended an update; the layers are not waiting for it any more."""
        job, self._job = self._job, None
        if job is not None:
            for arm in job.volumes:
                self._layers.mark(arm, job, False)
        self._fail(error)
        self.changed.emit()

    def _receive(self, event: StackEvent) -> None:
        job = self._job
        if job is None:
            return
        if isinstance(event, PlaneShown):
            self._layers.refresh(event.arm, job)
        elif isinstance(event, PlaneLost):
            job.lost.add(event.position)
        elif isinstance(event, Linked):
            if job.same_model(event.arm, event.recipe):
                job.tuned[event.arm] = event.recipe
            self._layers.show_linked(job, event)
            if job.linked.keys() >= job.volumes.keys():
                self._job = None
                self.follow()
        if not isinstance(event, StackProgress):
            self.changed.emit()
