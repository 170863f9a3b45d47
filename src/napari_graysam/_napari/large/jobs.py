"""What is there of the whole images of a panel, and what of it is not up to date."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.large.inputs import WholeInputs, same_pixels
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
        self._before: tuple[WholeJob | None, dict[Shown, WholeLayer | None]] = None, {}
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

    def put(self, job: WholeJob, arms: Sequence[Shown], *, new: bool = False) -> None:
        """Follow a run of some arms; what is there of the image and still holds stays.

        Parameters
        ----------
        job, arms
            The run.
        new
            Leave the layers of earlier runs alone, and the labels on disk that they show.
        """
        before = self._jobs.get(job.key)
        known = {arm: self._layers.get((job.key, arm)) for arm in arms}
        self._before = before, known
        here = before is not None and before.folder == job.folder
        if before is not None and here:
            job.numbers, job.earlier = dict(before.numbers), dict(before.earlier)
            if holding := self._holding(before, job):
                job.carry_on(before, holding)
        kept = [arm for arm, one in known.items() if new and one is not None and one.whole]
        for arm in kept:
            self._layers[job.key, arm].mark(False)  # It is what it is, and followed no more.
            if arm in job.done:
                job.earlier[arm] = job.stem(arm)
            if here:
                job.renumber(arm)
        self._jobs[job.key] = job
        for arm, one in known.items():
            if one is None or arm in kept:
                self._layers[job.key, arm] = WholeLayer(self._state.viewer, job, arm)
            else:
                one.follow(job)

    def take_back(self, job: WholeJob) -> None:
        """Follow again what was there of the arms that a run was refused for, or did not reach."""
        (before, known), self._before = self._before, (None, {})
        arms = [arm for arm in known if arm not in job.begun]
        if before is None or self._jobs.get(job.key) is not job or not arms:
            return
        if not job.begun:
            self._jobs[job.key] = before
        elif _same_picture(before, job):
            for arm in arms:
                job.earlier.pop(arm, None)
                job.numbers[arm] = before.numbers.get(arm, 1)
            job.carry_on(before, arms)
        else:
            return
        for arm in arms:
            one = known[arm]
            if one is None:
                del self._layers[job.key, arm]
            else:
                self._layers[job.key, arm] = one
                one.follow(self._jobs[job.key])

    def unfinished(self, arms: Sequence[Shown]) -> int:
        """Return how many tiles a run goes on with; 0 where it starts from the beginning."""
        job = self.shown
        if job is None or not any(job.left.get(arm) for arm in arms) or self.inputs.reason(job):
            return 0
        asked = self._now(job)
        if not all(same_tiles(of_arm(arm, job.recipe), of_arm(arm, asked)) for arm in arms):
            return 0
        return sum(job.left.get(arm, 0) for arm in arms)

    def outdated(self, job: WholeJob) -> list[Shown]:
        """Return the arms whose labels the recipe asks otherwise, from the same candidates."""
        asked, stale = self._now(job), self.stale(job)
        return [
            arm
            for arm, of in job.done.items()
            if arm not in stale and of_arm(arm, of) != of_arm(arm, asked)
        ]

    def stale(self, job: WholeJob) -> list[Shown]:
        """Return the arms for which image, region or recipe ask the model for something else."""
        if self.inputs.reason(job):
            return list(job.done)
        asked = self._now(job)
        return [arm for arm, of in job.done.items() if not _same_candidates(arm, of, asked)]

    def to_do(self, asked: Sequence[Arm]) -> tuple[int, bool]:
        """Return how many tiles a run goes on with, and whether it only selects again.

        Parameters
        ----------
        asked
            The arms that the recipe asks for.
        """
        if self._state.running:
            return 0, False
        return self.unfinished(self._joined(asked)), bool(self._again(asked))

    def arms_of(self, arms: Sequence[Arm], asked: Sequence[Arm]) -> Sequence[Shown]:
        """Return what a run of some arms segments.

        Parameters
        ----------
        arms, asked
            Those that are wanted, and those that the recipe asks for.
        """
        again = self._again(asked)
        if again and tuple(arms) == tuple(asked):
            return again  # “Select again” asks no model for an arm that is not there.
        return self._joined(arms)

    def _again(self, asked: Sequence[Arm]) -> list[Shown]:
        """Return the arms to select again; none where one that is asked for misses tiles."""
        job, wanted = self.shown, self._joined(asked)
        if job is None:
            return []
        stopped = {arm for arm in job.left if arm not in job.done}
        if set(wanted) & {*stopped, *self.stale(job)}:
            return []
        return self.outdated(job)

    def _holding(self, before: WholeJob, job: WholeJob) -> list[Shown]:
        """Return the arms that a new job can take over from the one before."""
        if self.inputs.reason(before):
            return []
        done = [arm for arm, of in before.done.items() if _same_candidates(arm, of, job.recipe)]
        return done + [
            arm
            for arm in before.left
            if arm not in before.done
            and same_tiles(of_arm(arm, before.recipe), of_arm(arm, job.recipe))
        ]

    def mark(self) -> None:
        """Say in the layers' names what is outdated."""
        job = self.shown
        if job is None:
            return
        behind = {*self.stale(job), *self.outdated(job)}
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


def _same_candidates(arm: Shown, one: Recipe, other: Recipe) -> bool:
    return same_tiles(of_arm(arm, one), of_arm(arm, other), candidates=True)


def _same_picture(one: WholeJob, other: WholeJob) -> bool:
    """Whether results of two jobs can stand side by side, as of one image."""
    here = one.folder == other.folder and one.inside == other.inside
    same = one.recipe.image == other.recipe.image and one.recipe.tiles == other.recipe.tiles
    return here and same and same_pixels(one.pixels, other.pixels)
