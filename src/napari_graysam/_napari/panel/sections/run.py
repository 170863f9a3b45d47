"""Starting, watching and cancelling a run, and what came out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.source import short_plane
from napari_graysam._napari.large.controller import WholeController
from napari_graysam._napari.panel.sections.plane_runs import PlaneRuns
from napari_graysam._napari.panel.sections.run_messages import RunMessages
from napari_graysam._napari.panel.sections.run_view import ResultLine, RunView
from napari_graysam._napari.results.combined import SHOWN
from napari_graysam._napari.results.layers import ResultLayers
from napari_graysam._napari.results.live_update import LiveUpdate
from napari_graysam._napari.stack.choice import StackChoice
from napari_graysam._napari.stack.controller import StackController
from napari_graysam.comparison import ARMS
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.results import Arm, Segmentation


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
    planes, stacks, whole
        Run planes, stacks, and large images in tiles.
    """

    title = "Run"

    def __init__(self, state: PanelState) -> None:
        self.state = state
        self.layers = ResultLayers(state.viewer)
        self.live_update = LiveUpdate(state, self.layers)
        self._messages = RunMessages(state)
        self.native = RunView()
        self.planes = PlaneRuns(
            state,
            self.layers,
            self.live_update,
            self._messages,
            self.native.new_layers.isChecked,
        )
        self.stacks = StackController(state, self.layers, self.live_update, self._messages)
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
        self.planes.progressed.connect(view.show_progress)
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
        state, new = self.state, self.native.new_layers.isChecked()
        if state.running:
            return
        if state.kind == "whole":
            wanted = self.whole.jobs.arms_of(arms, self._asked)
            self._try(lambda: self.whole.start(wanted, new=new))
        elif not state.in_parts and self.stacks.jobs.scope is not None:
            self._try(lambda: self.stacks.start(arms, new=new))
        else:
            self._try(lambda: self.planes.start(arms))

    def _try(self, start: Callable[[], None]) -> None:
        """Start a run; say why where that is not possible."""
        try:
            start()
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
            self._try(lambda: self.planes.start(arms, look=False))
        else:
            self.run(arms)

    def cancel(self) -> None:
        """Stop the run within one batch of points; results that are there stay."""
        if self.planes.cancel() or self.stacks.cancel() or self.whole.cancel():
            self.native.show_status("Cancelling after this batch…")
            self.native.cancel.setEnabled(False)

    def toggle_arms(self) -> None:
        """Show the other arm's layer instead of the visible one."""
        if self.layers.toggle(self.state.subject) is None:
            self._messages.inform(
                "There are no two results to switch between: run both arms first."
            )

    def _close(self, *_: object) -> None:
        """Stop everything when the panel or the viewer goes."""
        self.planes.close()
        self.live_update.close()
        self.stacks.close()
        self.whole.close()
        self.state.close()
        with suppress(RuntimeError):  # Qt may have deleted the window at the program's end.
            self.layers.queue.finish()  # Or layers would stay hidden.
        for signal, slot in self._listening():
            signal.disconnect(slot, missing_ok=True)

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
            left, again = self.whole.jobs.to_do(self._asked)
            self.native.show_asked(recipe.arms, left, "tile", again=again)
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
            return self.whole.jobs.shown is None
        return not state.results and not self.stacks.job

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
        return ResultLine(
            objects=len(result.masks),
            unmasked=result.unmasked,
            seconds=self.planes.seconds(arm),
            outdated=self._outdated_alone(arm),
            notes=result.notes,
        )
