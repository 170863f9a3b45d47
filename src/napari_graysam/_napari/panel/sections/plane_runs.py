"""Runs of the plane that is shown, or of a part of a large image, and their results as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.panel.sections.run_job import Job
from napari_graysam._napari.results.identity import comparable
from napari_graysam._napari.results.inputs import Run
from napari_graysam._napari.results.run import ArmDone, RunEvent, RunProgress, run_arms
from napari_graysam._napari.threads.latest_request import LatestRequest

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.subject import Subject
    from napari_graysam._napari.panel.sections.run_messages import RunMessages
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam._napari.results.layers import ResultLayers
    from napari_graysam._napari.results.live_update import LiveUpdate
    from napari_graysam.results import Arm

CANCELLED = "Cancelled. Results that were finished stay."


class PlaneRuns:
    """Segments one plane at a time in a thread.

    Parameters
    ----------
    state
        The panel's.
    layers, live_update
        Show the results, and follow the recipe with them.
    messages
        Say what the user should know.
    new_layers
        Returns whether earlier results keep their layers.

    Attributes
    ----------
    progressed
        Emitted with a `RunProgress`.
    """

    progressed = Signal(object)

    def __init__(
        self,
        state: PanelState,
        layers: ResultLayers,
        live_update: LiveUpdate,
        messages: RunMessages,
        new_layers: Callable[[], bool],
    ) -> None:
        self._state, self._layers, self._live_update = state, layers, live_update
        self._messages, self._new_layers = messages, new_layers
        self._seconds: dict[tuple[Subject, Shown], float] = {}
        self._worker = LatestRequest(self._receive, self._finish, self._fail)
        self._job: Job | None = None
        self._closed = self._cancelled = False

    @property
    def busy(self) -> bool:
        """Whether a plane is segmented."""
        return self._worker.busy

    def close(self) -> None:
        """Stop, and show nothing more."""
        self._closed = True
        self._worker.cancel()

    def seconds(self, arm: Shown) -> float | None:
        """Return how long the shown result of an arm took."""
        subject = self._state.subject
        return None if subject is None else self._seconds.get((subject, arm))

    def start(self, arms: Sequence[Arm], *, look: bool = True) -> None:
        """Segment the plane that is shown, or the part in view; without a look the last part.

        Raises
        ------
        GraysamError
            If nothing can be segmented.
        """
        state = self._state
        if look:
            state.look_at_part()
        source = state.read_source()
        region = state.read_region(source)
        recipe, layer = state.recipe, state.layer
        assert layer is not None
        self._job = Job(recipe, source, layer, pixels_of(layer))
        known = state.results_of(source.subject)
        others = {arm: result for arm, result in known.items() if arm not in arms}
        state.running = True
        self._cancelled = False
        self._worker.submit(partial(run_arms, source, recipe, arms, region, others, state.memory))

    def cancel(self) -> bool:
        """Stop within one batch of points; return whether there was a run."""
        if not self._worker.busy:
            return False
        self._worker.cancel()
        self._cancelled = True
        return True

    def _receive(self, event: RunEvent) -> None:
        if self._closed or self._job is None:
            return
        if isinstance(event, RunProgress):
            self.progressed.emit(event)
        else:
            self._arm_done(event, self._job)

    def _fail(self, error: Exception) -> None:
        if not self._closed:
            self._messages.report(error)

    def _arm_done(self, event: ArmDone, job: Job) -> None:
        """Show an arm's result, in pieces between which the window answers."""
        self._seconds[job.source.subject, event.arm] = event.seconds
        message = self._layers.show(
            event.arm,
            event.live.result,
            job.source,
            event.colors[event.arm],
            new=self._new_layers(),
        )
        self._layers.queue.add(
            partial(self._recolor_others, event, job),
            partial(self._adopt, event, job),
            partial(self._notify, message, job),
            event.displayed.set,
        )

    def _recolor_others(self, event: ArmDone, job: Job) -> None:
        for arm, colors in event.colors.items():
            if arm != event.arm:
                self._layers.recolor(arm, colors, job.source.subject)

    def _adopt(self, event: ArmDone, job: Job) -> None:
        if self._closed:
            return
        subject = job.source.subject
        self._state.set_result(event.arm, event.live.result, event.live.selector, subject)
        self._live_update.adopt(event.arm, Run(job.recipe, job.source, event.live))
        self._forget_incomparable(event, subject)

    def _forget_incomparable(self, event: ArmDone, subject: Subject) -> None:
        """Let go of a result of what the image or region held before; its layer stays."""
        for arm, result in tuple(self._state.results_of(subject).items()):
            if not comparable(result, event.live.result):
                self._live_update.forget(arm, subject)

    def _notify(self, message: str, job: Job) -> None:
        """Say what the user should know, each thing once a run."""
        if not self._closed:
            self._messages.inform_once(message, job.what_happened(self._state))

    def _finish(self) -> None:
        self._job = None
        self._layers.queue.add(self._end)

    def _end(self) -> None:
        if not self._closed:
            self._state.running = False
            if self._cancelled:
                self._state.said.emit(CANCELLED, False)
