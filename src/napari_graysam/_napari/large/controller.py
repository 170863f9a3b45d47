"""Runs whole images in tiles and shows them in one layer an arm, as their tiles come."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.large.job import (
    WholeJob,
    check_folder,
    default_folder,
    for_compute,
    key_of,
    open_job,
    same_tiles,
)
from napari_graysam._napari.large.layers import WholeLayer
from napari_graysam._napari.large.output import REPLACE, OutputRow
from napari_graysam._napari.large.run import (
    Noted,
    TilesSeen,
    WholeDone,
    WholeEvent,
    WholeProgress,
    segment_whole,
)
from napari_graysam._napari.results.clock import Pace
from napari_graysam._napari.results.combined import of_arm
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError, OutputError, UsageError

if TYPE_CHECKING:
    from napari_graysam._napari.panel.sections.run_messages import RunMessages
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown

CANCELLED = "Cancelled. The tiles that are finished are kept in {}; “Continue” goes on from there."


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
        self.output = OutputRow()
        self._folders: dict[Hashable, str] = {}
        self._jobs: dict[Hashable, WholeJob] = {}
        self._layers: dict[tuple[Hashable, Shown], WholeLayer] = {}
        self._running: WholeJob | None = None
        self._cancelled = self._closed = False
        self._worker = LatestRequest(self._receive, self._finish, self._fail)
        self.output.chosen.connect(self._choose_folder)
        self._listeners = Listeners()
        for emitter in (state.recipe_changed, state.extent.changed, state.layer_changed):
            self._listeners.add(emitter, self._follow)
        self._listeners.add(state.subject_changed, self._follow)

    def close(self) -> None:
        """Stop; finished tiles stay where they are."""
        self._closed = True
        self._listeners.clear()
        self._worker.cancel()

    @property
    def busy(self) -> bool:
        """Whether an image is segmented."""
        return self._worker.busy

    @property
    def wanted(self) -> bool:
        """Whether a run would segment a whole image in tiles."""
        return self._state.kind == "whole"

    @property
    def job(self) -> WholeJob | None:
        """What is there of the image that is shown."""
        state = self._state
        try:
            source = read_source(state.viewer, state.layer, state.recipe.image)
        except GraysamError:
            return None
        return self._jobs.get(key_of(source.within(state.region)))

    def layer(self, arm: Shown) -> Any:
        """Return the layer of an arm of the shown image; None where there is none."""
        job = self.job
        shown = None if job is None else self._layers.get((job.key, arm))
        return shown.layer if shown is not None and shown.present else None

    def unfinished(self, arms: Sequence[Shown]) -> int:
        """Return how many tiles a run goes on with; 0 where it starts from the beginning."""
        job = self.job
        if job is None or not any(job.left.get(arm) for arm in arms):
            return 0
        asked = for_compute(self._state.recipe, job.source)
        if not same_tiles(job.recipe, asked):
            return 0
        return sum(job.left.get(arm, 0) for arm in arms)

    def outdated(self, job: WholeJob) -> list[Shown]:
        """Return the arms whose labels the recipe asks otherwise, from the same candidates."""
        recipe = self._state.recipe
        asked = for_compute(recipe, job.source)
        if self.stale(job):
            return []
        return [arm for arm, of in job.done.items() if of_arm(arm, of) != of_arm(arm, asked)]

    def stale(self, job: WholeJob) -> bool:
        """Whether the recipe asks the model for something else than what is there."""
        asked = for_compute(self._state.recipe, job.source)
        return bool(job.done) and not same_tiles(job.recipe, asked, candidates=True)

    def start(self, arms: Sequence[Shown]) -> None:
        """Segment all tiles, or go on with what is missing, or select objects again.

        Raises
        ------
        GraysamError
            If the image, the recipe or the folder does not allow it.
        """
        state = self._state
        folder = check_folder(self.output.line.text())
        before, job = self.job, open_job(state, folder)
        if state.layer is not None:
            self._folders[state.layer.unique_id] = str(folder)
        if before is not None and before.folder == folder and not self.stale(before):
            for name in ("left", "done", "objects", "notes"):
                setattr(job, name, getattr(before, name))
        self._jobs[job.key] = job
        for arm in arms:
            known = self._layers.get((job.key, arm))
            if known is not None:
                known.follow(job)
            else:
                self._layers[job.key, arm] = WholeLayer(state.viewer, job, arm)
        allowed = self.output.replace.isChecked()
        overwrite = {arm: allowed or arm in job.done for arm in arms}
        self._running, self._cancelled = job, False
        state.running = True
        self._worker.submit(partial(segment_whole, job, job.recipe, tuple(arms), overwrite))

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
            self._layers[job.key, event.arm].show_tiles(event)
            if event.pace is not None:
                self._state.memory.pace = Pace(job.recipe.model, event.pace)
            self.changed.emit()
        elif isinstance(event, WholeDone):
            self._arm_done(job, event)

    def _arm_done(self, job: WholeJob, event: WholeDone) -> None:
        self._layers[job.key, event.arm].show_done(event)
        job.left[event.arm] = 0
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
        self._state.running = False
        if self._cancelled:
            self._state.said.emit(CANCELLED.format(job.folder), False)
        self._follow()

    def _choose_folder(self, folder: str) -> None:
        if self._state.layer is not None:
            self._folders[self._state.layer.unique_id] = folder

    def _follow(self, *_: object) -> None:
        """Offer a folder for the chosen image, and mark what is outdated."""
        layer = self._state.layer
        self.output.setVisible(self.wanted)
        if layer is not None and self.wanted:
            default = self._folders.get(layer.unique_id)
            self.output.show_folder(default or str(default_folder(layer)))
        job = self.job
        if job is not None:
            behind = job.done if self.stale(job) else self.outdated(job)
            for arm in job.done:
                self._layers[job.key, arm].mark(arm in behind)
        self.changed.emit()
