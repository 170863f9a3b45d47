"""The stacks that a panel has segmented, and which of them the viewer shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.stack.opening import open_stack, read_regions
from napari_graysam._napari.stack.scope import Scope, StackKey, asked_scope, key_of, scopes
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.stack.job import StackJob


class StackJobs:
    """One job for each stack.

    Parameters
    ----------
    state
        Whose viewer is looked at.
    """

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._jobs: dict[StackKey, StackJob] = {}

    @property
    def source(self) -> Source | None:
        """The plane that is shown; None where none is."""
        state = self._state
        try:
            source = read_source(state.viewer, state.layer, state.recipe.image)
        except GraysamError:
            return None
        return source.within(state.region)

    @property
    def scopes(self) -> list[Scope]:
        """The stacks that the shown plane belongs to."""
        source, layer = self.source, self._state.layer
        if source is None or layer is None:
            return []
        return scopes(source, layer, self._state.recipe)

    @property
    def scope(self) -> Scope | None:
        """The stack that a run segments; None for the shown plane alone."""
        return asked_scope(self.scopes, self._state.recipe.stack.axis)

    @property
    def shown(self) -> tuple[StackJob, int, Source] | None:
        """What is there of the stack that is shown, the position in it, and the plane."""
        source = self.source
        if source is None:
            return None
        for job in self._jobs.values():
            if key_of(source, job.scope.along) == job.key:
                return job, source.index[job.scope.along], source
        return None

    def of_layer(self) -> Iterator[StackJob]:
        """Yield those of the chosen image."""
        layer = getattr(self._state.layer, "unique_id", None)
        return (job for job in tuple(self._jobs.values()) if job.key.layer == layer)

    def open(self, scope: Scope, *, new: bool) -> StackJob:
        """Return the job of the stack that is shown, another one if it no longer fits.

        Parameters
        ----------
        scope
            Its axis.
        new
            Begin another one in any case, with layers of its own.

        Raises
        ------
        GraysamError
            If there is no stack to segment.
        """
        state = self._state
        source = read_source(state.viewer, state.layer, state.recipe.image)
        source = source.within(state.region)
        assert state.layer is not None
        key = key_of(source, scope.along)
        known = self._jobs.get(key)
        if known is not None and not new and self.goes_on(known, scope):
            positions = known.choosing(state.recipe)
            regions = read_regions(state.region, source, scope, positions)
            if known.has_regions(regions):
                known.choose(state.recipe, regions)
                return known
        job = open_stack(state.layer, source, scope, state.recipe, state.region)
        if known is not None and not new:
            job.layers.update(known.layers)
        self._jobs[key] = job
        return job

    def goes_on(self, job: StackJob, scope: Scope) -> bool:
        """Whether a run of a stack goes on with a job, as far as the regions allow it."""
        source, layer = self.source, self._state.layer
        if source is None or layer is None or job.scope.axis != scope.axis:
            return False
        return job.is_of(layer, source, self._state.recipe)

    def holds(self, job: StackJob) -> bool:
        """Whether a job is still one of these."""
        return self._jobs.get(job.key) is job

    def close(self) -> None:
        """Let go of all stacks, and of their folders."""
        self._jobs.clear()

    def forget_layer(self, layer: Hashable) -> None:
        """Let go of the stacks of an image or a region that left the viewer."""
        for key in [key for key in self._jobs if layer in (key.layer, key.region)]:
            del self._jobs[key]
