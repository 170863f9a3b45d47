"""Runs whole images in tiles and shows them in one layer an arm, as their tiles come."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.large.folder import check_folder, default_folder
from napari_graysam._napari.large.job import WholeJob, open_job
from napari_graysam._napari.large.jobs import WholeJobs
from napari_graysam._napari.large.output import REPLACE, OutputRow
from napari_graysam._napari.large.prompting import WholePrompts
from napari_graysam._napari.large.run import Asked, WholeDone, WholeEvent, segment_whole
from napari_graysam._napari.large.saving import WholeSaver
from napari_graysam._napari.large.watch import Noted, TilesSeen, WholeProgress
from napari_graysam._napari.large.why import WholeResults
from napari_graysam._napari.results.clock import Pace
from napari_graysam._napari.results.combined import SHOWN
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import OutputError, UsageError

if TYPE_CHECKING:
    from napari_graysam._napari.panel.sections.run_messages import RunMessages
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown

CANCELLED = "Cancelled. The tiles that are finished are kept in {}; “Continue” goes on from there."

CANCELLED_EARLY = "Cancelled before the first tile. What was there is as it was."


class WholeController:
    """The whole images of one panel.

    Parameters
    ----------
    state
        The panel's.
    messages
        Say what the user should know.

    Attributes
    ----------
    jobs
        What is there.
    saver, results
        Save it elsewhere, and answer why a place is unmasked.
    prompts
        Objects by hand.
    output
        Where results go, for the Run section.
    progressed
        Emitted with a `WholeProgress`.
    changed
        Emitted when what is there of an image has changed.
    """

    progressed = Signal(object)
    changed = Signal()

    def __init__(self, state: PanelState, messages: RunMessages) -> None:
        self._state, self._messages = state, messages
        self.jobs = WholeJobs(state)
        self.saver = WholeSaver(state, self.jobs)
        self.results = WholeResults(state, self.jobs)
        self.prompts = WholePrompts(state, self.jobs)
        self.output = OutputRow()
        self._folders: dict[Hashable, str] = {}
        self._running: WholeJob | None = None
        self._cancelled = self._closed = False
        self._worker = LatestRequest(self._receive, self._finish, self._fail)
        self.output.chosen.connect(self._choose_folder)
        self._listeners = Listeners()
        for emitter in (state.recipe_changed, state.extent.changed, state.layer_changed):
            self._listeners.add(emitter, self._follow)
        for emitter in (state.subject_changed, state.running_changed, self.jobs.inputs.changed):
            self._listeners.add(emitter, self._follow)

    def close(self) -> None:
        """Stop; finished tiles stay where they are."""
        self._closed = True
        self._listeners.clear()
        self.jobs.inputs.close()
        self.saver.close()
        self._worker.cancel()

    @property
    def open(self) -> bool:
        """Whether the panel is there."""
        return not self._closed

    @property
    def busy(self) -> bool:
        """Whether an image is segmented."""
        return self._worker.busy

    @property
    def wanted(self) -> bool:
        """Whether a run would segment a whole image in tiles."""
        return self._state.kind == "whole"

    def start(self, arms: Sequence[Shown], *, new: bool = False) -> None:
        """Segment all tiles, or go on with what is missing, or select objects again.

        Parameters
        ----------
        arms
            Which.
        new
            Leave finished layers of earlier runs alone, and what they show on disk.

        Raises
        ------
        GraysamError
            If the image, the recipe or the folder does not allow it.
        """
        state = self._state
        if self.saver.busy:
            raise UsageError("Results are being saved: run again when that is done.")
        folder = check_folder(self.output.line.text())
        job = open_job(state, folder)
        if state.layer is not None:
            self._folders[state.layer.unique_id] = self.output.line.text().strip()
        self.jobs.put(job, arms, new=new)
        allowed = self.output.replace.isChecked()
        overwrite = {arm: allowed or arm in job.done for arm in arms}
        self._running, self._cancelled = job, False
        state.running = True
        asked = Asked(job.recipe, tuple(arms), overwrite, dict(job.earlier), self.output.team)
        self._worker.submit(partial(segment_whole, job, asked))

    def cancel(self) -> bool:
        """Stop within one batch of points; return whether there was a run."""
        if self._running is None:
            return False
        self._worker.cancel()
        self._cancelled = True
        return True

    def _receive(self, event: WholeEvent) -> None:
        job = self._running
        if job is None or self._closed:
            return
        if isinstance(event, WholeProgress):
            self.progressed.emit(event)
        elif isinstance(event, Noted):
            self._messages.inform_once(event.text)
        elif isinstance(event, TilesSeen):
            self.jobs.layer_of(job, event.arm).show_tiles(event)
            if event.pace is not None:
                self._state.memory.pace = Pace(job.recipe.model, event.pace)
            self.changed.emit()
        elif isinstance(event, WholeDone):
            self._arm_done(job, event)

    def _arm_done(self, job: WholeJob, event: WholeDone) -> None:
        self.jobs.layer_of(job, event.arm).show_done(event)
        job.begin(event.arm)
        job.left[event.arm], job.digest = 0, event.about["image"]["digest"]
        job.done[event.arm] = event.recipe
        job.objects[event.arm] = event.outcome.objects or 0
        job.notes[event.arm] = event.outcome.notes
        self.changed.emit()

    def _fail(self, error: Exception) -> None:
        if self._closed:
            return
        if isinstance(error, OutputError | UsageError):
            error = type(error)(str(error).replace("--overwrite", f"tick “{REPLACE}”"))
        self._messages.report(error)

    def _finish(self) -> None:
        job, self._running = self._running, None
        if self._closed or job is None:
            return
        self.jobs.take_back(job)
        self._state.running = False
        if self._cancelled:
            text = CANCELLED.format(job.folder) if job.begun else CANCELLED_EARLY
            self._state.said.emit(text, False)
        self._follow()
        for arm in SHOWN:
            self._state.result_changed.emit(arm)

    def _choose_folder(self, folder: str) -> None:
        if self._state.layer is not None:
            self._folders[self._state.layer.unique_id] = folder

    def _follow(self, *_: object) -> None:
        """Offer a folder for the chosen image, and mark what is outdated."""
        layer = self._state.layer
        self.output.setVisible(self.wanted)
        self.output.show_running(self._state.running)
        if layer is not None and self.wanted:
            default = self._folders.get(layer.unique_id)
            self.output.show_folder(default or str(default_folder(layer)))
        self.jobs.mark()
        self.changed.emit()
