"""The plane of a stack that is shown: asked, compared and updated as a plane that is run alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari_graysam._napari.results.combined import COMBINED, SHOWN
from napari_graysam._napari.results.inputs import Run
from napari_graysam._napari.stack.layers import plane_entry
from napari_graysam._napari.stack.run import load_plane
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.comparison import ARMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.canvas.subject import Subject
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam._napari.results.layers import ResultLayers
    from napari_graysam._napari.results.live_update import LiveUpdate
    from napari_graysam._napari.stack.job import StackJob
    from napari_graysam._napari.stack.jobs import StackJobs
    from napari_graysam.results import Arm, LiveSegmentation, Segmentation


class ShownPlane:
    """Hands the results of the shown plane to the panel, and takes them back when it moves on.

    Parameters
    ----------
    state
        The panel's.
    jobs
        The stacks.
    layers, live_update
        Of single planes.
    """

    def __init__(
        self, state: PanelState, jobs: StackJobs, layers: ResultLayers, live_update: LiveUpdate
    ) -> None:
        self._state, self._jobs = state, jobs
        self._layers, self._live_update = layers, live_update
        self._subject: Subject | None = None
        self._loader = LatestRequest(lambda found: self._adopt(*found))

    @property
    def busy(self) -> bool:
        """Whether a plane is being read from disk."""
        return self._loader.busy

    def close(self) -> None:
        """Read nothing more."""
        self._loader.cancel()

    def follow(self) -> None:
        """Hand over the results of what is shown now."""
        self.release()
        shown = self._jobs.shown
        if shown is not None:
            self._load(shown[0], shown[1])

    def came(self, job: StackJob, position: int) -> None:
        """Hand over new results of a plane, if it is the one that is shown."""
        shown = self._jobs.shown
        if shown is not None and shown[:2] == (job, position):
            self._load(job, position)

    def release(self) -> None:
        """Let go of the results of the plane that was shown; the stack keeps them."""
        subject, self._subject = self._subject, None
        if subject is None:
            return
        for arm in SHOWN:
            self._layers.detach(arm, subject)
            if arm in self._state.results_of(subject):
                self._live_update.forget(arm, subject)

    def _load(self, job: StackJob, position: int) -> None:
        arms = [arm for arm in ARMS if position in job.there(arm)]
        if not arms:
            return
        here = set(job.kept.in_memory)
        if here.issuperset((position, arm) for arm in arms):
            for found in load_plane(job, position, arms):
                if found is not None:
                    self._adopt(*found)
        else:
            self._loader.submit(partial(load_plane, job, position, arms))

    def _adopt(self, job: StackJob, position: int, found: Mapping[Arm, LiveSegmentation]) -> None:
        shown = self._jobs.shown
        if shown is None or shown[:2] != (job, position):
            return
        source = replace(
            shown[2],
            array=None,
            contrast_limits=job.source.contrast_limits,
            alone=job.recipe.stack.window == "plane",
        )
        subject = source.subject
        if subject != self._subject and self._state.results_of(subject):
            return  # It has been run alone.
        self._subject = subject
        self._attach(job, position, found, source)
        for arm, live in found.items():
            self._state.set_result(arm, live.result, live.selector, subject)
            read = replace(source, options=live.result.recipe.image)
            self._live_update.adopt(arm, Run(job.asked[arm], read, live))

    def _attach(
        self,
        job: StackJob,
        position: int,
        found: Mapping[Arm, LiveSegmentation],
        source: Source,
    ) -> None:
        """Let the shown plane's results be written into the stack's layers."""
        results: dict[Shown, Segmentation] = {arm: live.result for arm, live in found.items()}
        if COMBINED in job.volumes and len(found) == len(ARMS):
            results[COMBINED] = found[ARMS[-1]].result  # Until both are combined.
        for arm, result in results.items():
            entry = plane_entry(job.layers[arm], job.volumes[arm], position, source, result)
            self._layers.attach(arm, entry)
