"""What is there of the whole images of a panel, and what of it is not up to date."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.large.inputs import WholeInputs
from napari_graysam._napari.large.job import WholeJob, for_compute, key_of, same_tiles
from napari_graysam._napari.large.layers import WholeLayer
from napari_graysam._napari.results.combined import COMBINED, of_arm
from napari_graysam.comparison import ARMS
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.recipe import Recipe
    from napari_graysam.results import Arm


class WholeJobs:
    """The whole images that were segmented, with their layers.

    Parameters
    ----------
    state
        The panel's.

    Attributes
    ----------
    inputs
        Knows whether they are of the image and region as they are.
    """

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._jobs: dict[Hashable, WholeJob] = {}
        self._layers: dict[tuple[Hashable, Shown], WholeLayer] = {}
        self.inputs = WholeInputs(state, lambda: self.shown)

    @property
    def shown(self) -> WholeJob | None:
        """What is there of the image, plane and region that are chosen."""
        state = self._state
        try:
            source = read_source(state.viewer, state.layer, state.recipe.image)
        except GraysamError:
            return None
        return self._jobs.get(key_of(source.within(state.region)))

    def layer(self, arm: Shown, *, finished: bool = False) -> Any:
        """Return the layer of an arm of the shown image; None where there is none.

        Parameters
        ----------
        arm
            Of which.
        finished
            Whether only a layer counts whose labels are written.
        """
        job = self.shown
        shown = None if job is None else self._layers.get((job.key, arm))
        if shown is None or not (shown.whole if finished else shown.present):
            return None
        return shown.layer

    def layer_of(self, job: WholeJob, arm: Shown) -> WholeLayer:
        """Return what shows an arm of an image that was put here."""
        return self._layers[job.key, arm]

    def put(self, job: WholeJob, arms: Sequence[Shown], *, new: bool = False) -> dict[Shown, str]:
        """Follow a run of some arms; what is there of the image and still holds stays.

        Parameters
        ----------
        job, arms
            The run.
        new
            Leave the layers of earlier runs alone, and the labels on disk that they show.

        Returns
        -------
        dict
            Of arms that are selected again into a new layer, how the names of their files began.
        """
        before = self._jobs.get(job.key)
        here = before is not None and before.folder == job.folder
        reusable = False
        if before is not None and here:
            job.numbers, reusable = before.numbers, not self.stale(before)
            if reusable:
                job.carry_on(before)
        known = {arm: self._layers.get((job.key, arm)) for arm in arms}
        kept = [arm for arm, one in known.items() if new and one is not None and one.whole]
        earlier: dict[Shown, str] = {}
        for arm in kept:
            self._layers[job.key, arm].mark(False)  # It is what it is, and followed no more.
            if reusable:
                earlier[arm] = job.stem(arm)
            if here:
                job.renumber(arm)
        self._jobs[job.key] = job
        for arm, one in known.items():
            if one is None or arm in kept:
                self._layers[job.key, arm] = WholeLayer(self._state.viewer, job, arm)
            else:
                one.follow(job)
        return earlier

    def unfinished(self, arms: Sequence[Shown]) -> int:
        """Return how many tiles a run goes on with; 0 where it starts from the beginning."""
        job = self.shown
        if job is None or not any(job.left.get(arm) for arm in arms) or self.inputs.reason(job):
            return 0
        if not same_tiles(job.recipe, self._now(job)):
            return 0
        return sum(job.left.get(arm, 0) for arm in arms)

    def outdated(self, job: WholeJob) -> list[Shown]:
        """Return the arms whose labels the recipe asks otherwise, from the same candidates."""
        asked = self._now(job)
        if self.stale(job):
            return []
        return [arm for arm, of in job.done.items() if of_arm(arm, of) != of_arm(arm, asked)]

    def stale(self, job: WholeJob) -> bool:
        """Whether image, region or recipe ask the model for something else than what is there."""
        if not job.done:
            return False
        changed = not same_tiles(job.recipe, self._now(job), candidates=True)
        return changed or bool(self.inputs.reason(job))

    def to_do(self, asked: Sequence[Arm]) -> tuple[int, bool]:
        """Return how many tiles a run goes on with, and whether it only selects again.

        Parameters
        ----------
        asked
            The arms that the recipe asks for.
        """
        if self._state.running:
            return 0, False
        job = self.shown
        again = job is not None and bool(self.outdated(job))
        return self.unfinished(self._joined(asked)), again

    def arms_of(self, arms: Sequence[Arm], asked: Sequence[Arm]) -> Sequence[Shown]:
        """Return what a run of some arms segments.

        Parameters
        ----------
        arms, asked
            Those that are wanted, and those that the recipe asks for.
        """
        job = self.shown
        behind = [] if job is None else self.outdated(job)
        if behind and tuple(arms) == tuple(asked):
            return behind  # “Select again” asks no model for an arm that is not there.
        return self._joined(arms)

    def mark(self) -> None:
        """Say in the layers' names what is outdated."""
        job = self.shown
        if job is None:
            return
        behind = job.done if self.stale(job) else self.outdated(job)
        for arm in job.done:
            self._layers[job.key, arm].mark(arm in behind)

    def _now(self, job: WholeJob) -> Recipe:
        """Return what a run would ask now of the image of a job, as its `recipe`."""
        state, source = self._state, job.source
        with suppress(GraysamError):
            now = read_source(state.viewer, state.layer, state.recipe.image)
            if key_of(now.within(state.region)) == job.key:
                source = now
        return for_compute(state.recipe, source)

    def _joined(self, arms: Sequence[Arm]) -> Sequence[Shown]:
        """Return both arms as one run where the recipe joins them."""
        if tuple(arms) == ARMS and self._state.recipe.both_arms is not None:
            return (COMBINED,)
        return arms
