"""Starting, watching and cancelling a run, and what came out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.canvas.region import LayerRegion
from napari_graysam._napari.canvas.source import short_plane
from napari_graysam._napari.large.controller import WholeController
from napari_graysam._napari.panel.sections.run_job import Job
from napari_graysam._napari.panel.sections.run_messages import RunMessages
from napari_graysam._napari.panel.sections.run_view import ResultLine, RunView
from napari_graysam._napari.results.combined import COMBINED, SHOWN
from napari_graysam._napari.results.identity import comparable
from napari_graysam._napari.results.inputs import Run
from napari_graysam._napari.results.layers import ResultLayers
from napari_graysam._napari.results.live_update import LiveUpdate
from napari_graysam._napari.results.run import ArmDone, RunEvent, RunProgress, run_arms
from napari_graysam._napari.stack.choice import StackChoice
from napari_graysam._napari.stack.controller import StackController
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.comparison import ARMS
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.subject import Subject
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.results import Arm, Segmentation


CANCELLED = "Cancelled. Results that were finished stay."


class RunSection:
    """Runs one arm or both in a thread and shows the results as layers.

    Parameters
    ----------
    state
        The panel's.

    Attributes
    ----------
    native
        The widget.
    layers
        The result layers.
    live_update
        Follows the recipe after a run.
    """

    title = "Run"

    def __init__(self, state: PanelState) -> None:
        self.state = state
        self.layers = ResultLayers(state.viewer)
        self.live_update = LiveUpdate(state, self.layers)
        self._seconds: dict[tuple[Subject, Shown], float] = {}
        self._worker = LatestRequest(self._receive, self._finish, self._fail)
        self._job: Job | None = None
        self._messages = RunMessages(state)
        self.stacks = StackController(state, self.layers, self.live_update, self._messages)
        self._closed = self._cancelled = False
        self.native = RunView()
        self.whole = WholeController(state, self._messages)
        self.native.add_output(self.whole.output)
        self._choice = StackChoice(state, self.stacks, self.whole, self.native)
        self._connect()
        self._show_state()

    def _connect(self) -> None:
        view = self.native
        view.both.clicked.connect(lambda: self.run(self._asked))
        view.raw.clicked.connect(lambda: self.run(("raw",)))
        view.preprocessed.clicked.connect(lambda: self.run(("preprocessed",)))
        view.cancel.clicked.connect(lambda: self.cancel())
        view.destroyed.connect(self._close)
        for signal, slot in self._listening():
            signal.connect(slot)

    def _listening(self) -> Sequence[tuple[Any, Callable[..., None]]]:
        state, live_update = self.state, self.live_update
        return (
            (state.running_changed, self._show_state),
            (state.layer_changed, self._show_state),
            (state.recipe_changed, self._show_state),
            (state.result_changed, self._show_results),
            (state.subject_changed, self._show_state),
            (state.run_asked, self._run_shown),
            (live_update.changed, self._show_results),
            (live_update.message, self._messages.inform),
            (self.stacks.changed, self._show_state),
            (self.whole.changed, self._show_state),
            (state.extent.changed, self._show_state),
            (state.region_changed, self._show_state),
        )

    def run(self, arms: Sequence[Arm] = ARMS) -> None:
        """Start a run; say why where that is not possible.

        Parameters
        ----------
        arms
            What to segment, in this order.
        """
        if self.state.running:
            return
        if self.state.kind == "whole":
            self._run_whole(arms)
            return
        if not self.state.in_parts and self.stacks.jobs.scope is not None:
            self._run_stack(arms)
            return
        self._run_plane(arms)

    def _run_plane(self, arms: Sequence[Arm], *, look: bool = True) -> None:
        """Segment the plane that is shown, or the part in view; without a look the last part."""
        recipe, layer = self.state.recipe, self.state.layer
        try:
            if look:
                self.state.look_at_part()
            source = self.state.read_source()
            region = self.state.read_region(source)
        except GraysamError as error:
            self._messages.warn(str(error))
            return
        assert layer is not None
        self._job = Job(recipe, source, layer, pixels_of(layer))
        self._start(arms, region)

    def _run_stack(self, arms: Sequence[Arm]) -> None:
        """Segment every plane of the stack that is shown."""
        self._cancelled = False
        try:
            self.stacks.start(arms, new=self.native.new_layers.isChecked())
        except GraysamError as error:
            self._messages.warn(str(error))
            return
        self._messages.begin()
        self.native.show_status("Starting…")

    def _run_whole(self, arms: Sequence[Shown]) -> None:
        """Segment all tiles of a large image, each with both arms where the recipe joins them."""
        job = self.whole.job
        behind = [] if job is None else self.whole.outdated(job)
        if behind and tuple(arms) == self._asked:
            arms = behind  # “Select again” asks no model for an arm that is not there.
        elif tuple(arms) == ARMS and self.state.recipe.both_arms is not None:
            arms = (COMBINED,)
        self._cancelled = False
        try:
            self.whole.start(arms)
        except GraysamError as error:
            self._messages.warn(str(error))
            return
        self._messages.begin()
        self.native.show_status("Starting…")

    @property
    def _asked(self) -> tuple[Arm, ...]:
        """The arms that the recipe asks for; both for a comparison, and to combine them."""
        return ("raw",) if self.state.recipe.arms == "raw" else ARMS

    def _run_shown(self) -> None:
        """Run the arms that have results; both where none has."""
        arms = tuple(arm for arm in ARMS if arm in self.state.results) or ARMS
        if self.state.in_parts and not self.state.running:
            self._run_plane(arms, look=False)
        else:
            self.run(arms)

    def _start(self, arms: Sequence[Arm], region: LayerRegion | None) -> None:
        job = self._job
        assert job is not None
        known = self.state.results_of(job.source.subject)
        others = {arm: result for arm, result in known.items() if arm not in arms}
        self.state.running = True
        self._cancelled = False
        self._messages.begin()
        self.native.show_status("Starting…")
        self._worker.submit(
            partial(run_arms, job.source, job.recipe, arms, region, others, self.state.memory)
        )

    def cancel(self) -> None:
        """Stop the run within one batch of points; results that are there stay."""
        if self._worker.busy or self.stacks.cancel() or self.whole.cancel():
            self._worker.cancel()
            self._cancelled = True
            self.native.show_status("Cancelling after this batch…")
            self.native.cancel.setEnabled(False)

    def toggle_arms(self) -> None:
        """Show the other arm's layer instead of the visible one."""
        if self.layers.toggle(self.state.subject) is None:
            self._messages.inform(
                "There are no two results to switch between: run both arms first."
            )

    def _forget_incomparable(self, event: ArmDone, subject: Subject) -> None:
        """Let go of a result of what the image or region held before; its layer stays."""
        for arm, result in tuple(self.state.results_of(subject).items()):
            if not comparable(result, event.live.result):
                self.live_update.forget(arm, subject)

    def _receive(self, event: RunEvent) -> None:
        if self._closed or self._job is None:
            return
        if isinstance(event, RunProgress):
            self.native.show_progress(event)
        else:
            self._arm_done(event, self._job)

    def _fail(self, error: Exception) -> None:
        if not self._closed:
            self._messages.report(error)

    def _arm_done(self, event: ArmDone, job: Job) -> None:
        """Show an arm's result, in pieces between which the window answers."""
        self._seconds[job.source.subject, event.arm] = event.seconds
        message = self.layers.show(
            event.arm,
            event.live.result,
            job.source,
            event.colors[event.arm],
            new=self.native.new_layers.isChecked(),
        )
        self.layers.queue.add(
            partial(self._recolor_others, event, job),
            partial(self._adopt, event, job),
            partial(self._notify, message, job),
            event.displayed.set,
        )

    def _recolor_others(self, event: ArmDone, job: Job) -> None:
        for arm, colors in event.colors.items():
            if arm != event.arm:
                self.layers.recolor(arm, colors, job.source.subject)

    def _adopt(self, event: ArmDone, job: Job) -> None:
        if self._closed:
            return
        subject = job.source.subject
        self.state.set_result(event.arm, event.live.result, event.live.selector, subject)
        self.live_update.adopt(event.arm, Run(job.recipe, job.source, event.live))
        self._forget_incomparable(event, subject)

    def _notify(self, message: str, job: Job) -> None:
        """Say what the user should know, each thing once a run."""
        if not self._closed:
            self._messages.inform_once(message, job.what_happened(self.state))

    def _finish(self) -> None:
        self._job = None
        self.layers.queue.add(self._end)

    def _end(self) -> None:
        if not self._closed:
            self.state.running = False
            if self._cancelled:
                self.state.said.emit(CANCELLED, False)

    def _close(self, *_: object) -> None:
        """Stop everything when the panel or the viewer goes."""
        self._closed = True
        self.live_update.close()
        self.stacks.close()
        self.whole.close()
        self.state.close()
        with suppress(RuntimeError):  # Qt may have deleted the window at the program's end.
            self.layers.queue.finish()  # Or layers would stay hidden.
        for signal, slot in self._listening():
            signal.disconnect(slot, missing_ok=True)
        self._worker.cancel()

    def _show_state(self, *_: object) -> None:
        subject, region = self.state.subject, self.state.region
        self._choice.show(len(self._asked))
        self.native.show_subject(
            "" if self.state.layer is None or subject is None else self.state.layer.name,
            "" if subject is None or self.native.scope.count() > 1 else short_plane(subject.plane),
            "" if region is None else region.name,
        )
        self.native.show_running(self.state.running, possible=self.state.layer is not None)
        self._show_hint()

    def _show_results(self, *_: object) -> None:
        for arm in SHOWN:
            result = self.state.results.get(arm)
            self.native.show_result(arm, None if result is None else self._line(arm, result))
        self._show_hint()

    def _show_hint(self) -> None:
        recipe, hint = self.state.recipe, self._outdated_together
        if self.state.kind == "whole":
            self._show_whole()
        else:
            unfinished = 0 if self.state.running else self.stacks.unfinished(self._asked)
            self.native.show_asked(recipe.arms, unfinished)
        if self.state.running:
            hint = ""
        elif self.state.layer is None:
            hint = "Choose an image to segment."
        elif self.stacks.jobs.scope is not None and self.stacks.jobs.scope.chosen == 0:
            hint = "stack.first and stack.last choose no plane of this stack."
        elif self._nothing_there:
            whole = self.stacks.jobs.scope is not None
            subject = self.state.subject
            title = self.state.layer.name if whole or subject is None else subject.title
            hint = f"“{title}” is not segmented yet."
        elif not hint and not recipe.preprocesses:
            hint = "No preprocessing is on: raw and preprocessed will be the same."
        self.native.show_hint(hint)

    @property
    def _nothing_there(self) -> bool:
        """Whether nothing of what a run would segment is there."""
        state = self.state
        if state.subject is None:
            return False
        if state.kind == "whole":
            return self.whole.job is None
        return not state.results and not self.stacks.job

    def _show_whole(self) -> None:
        """Say on the main button what a run of the whole image would do."""
        whole, running = self.whole, self.state.running
        job, joined = whole.job, self.state.recipe.both_arms is not None
        left = 0 if running else whole.unfinished((COMBINED,) if joined else self._asked)
        again = not running and job is not None and bool(whole.outdated(job))
        self.native.show_asked(self.state.recipe.arms, left, "tile", again=again)

    @property
    def _outdated_together(self) -> str:
        """Why both results are outdated, where it is for the same reason."""
        reasons = [self.live_update.outdated.get(arm, "") for arm in ARMS]
        return reasons[0] if reasons[0] == reasons[1] else ""

    def _outdated_alone(self, arm: Shown) -> str:
        """Why a result is outdated, unless that is said of both arms."""
        why = self.live_update.outdated.get(arm, "")
        return "" if why == self._outdated_together else why

    def _line(self, arm: Shown, result: Segmentation) -> ResultLine:
        subject = self.state.subject
        return ResultLine(
            objects=len(result.masks),
            unmasked=result.unmasked,
            seconds=None if subject is None else self._seconds.get((subject, arm)),
            outdated=self._outdated_alone(arm),
            notes=result.notes,
        )
