"""The choice of what a run segments, and what is said of a stack, below and above the buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam._napari.canvas.source import short_plane
from napari_graysam._napari.large.choice import fits, part_choices
from napari_graysam._napari.large.extent import KINDS
from napari_graysam._napari.large.words import whole_in_words, whole_is_there
from napari_graysam._napari.panel.sections.run_view import duration
from napari_graysam._napari.stack.scope import asked_scope
from napari_graysam._napari.stack.words import progress_in_words, what_is_there

if TYPE_CHECKING:
    from napari_graysam._napari.large.controller import WholeController
    from napari_graysam._napari.large.watch import WholeProgress
    from napari_graysam._napari.panel.sections.run_view import RunView
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.stack.controller import StackController
    from napari_graysam._napari.stack.run import StackProgress


class StackChoice:
    """Shows stacks in the Run section.

    Parameters
    ----------
    state
        Whose recipe has the choice, as ``stack.axis``.
    stacks
        What is there of them.
    whole
        What is there of images in tiles.
    view
        Of the Run section.
    """

    def __init__(
        self,
        state: PanelState,
        stacks: StackController,
        whole: WholeController,
        view: RunView,
    ) -> None:
        self._state, self._stacks, self._whole, self._view = state, stacks, whole, view
        view.scope.activated.connect(self._choose)
        stacks.progressed.connect(self._show_progress)
        whole.progressed.connect(self._show_tiles)

    def show(self, arms: int) -> None:
        """Offer the shown plane and the stacks that it belongs to; say what is there of one.

        Parameters
        ----------
        arms
            How many a run segments.
        """
        source, found = self._stacks.jobs.source, self._stacks.jobs.scopes
        chosen = asked_scope(found, self._state.recipe.stack.axis)
        plane = "" if source is None or not source.plane else f" ({short_plane(source.plane)})"
        choices = [(f"this plane{plane}", "none")] if fits(self._state) else []
        for scope in found:
            seconds = self._stacks.estimate(scope, arms)
            about = "" if seconds is None else f", about {duration(seconds)}"
            choices.append((scope.words + about, scope.axis))
        choices += part_choices(self._state, arms)
        one = "none" if chosen is None else chosen.axis
        self._view.show_scopes(choices, one if self._state.kind == "plane" else self._state.kind)
        job, whole = self._stacks.job, self._whole.jobs.shown
        if self._state.kind == "whole" and whole is not None:
            self._view.show_stack(whole_is_there(self._whole.jobs, whole))
        else:
            self._view.show_stack("" if job is None else what_is_there(job))

    def _choose(self, index: int) -> None:
        chosen = self._view.scope.itemData(index)
        part = chosen in KINDS
        self._state.change({"stack.axis": "none" if part else chosen})
        self._state.extent.choose(chosen if part else "plane")

    def _show_progress(self, progress: StackProgress) -> None:
        self._view.show_planes(progress.done, progress.total, progress_in_words(progress))

    def _show_tiles(self, progress: WholeProgress) -> None:
        tile = progress.stage.startswith("tiles ")
        if not tile:  # Else the bar stays where whole tiles have brought it.
            self._view.show_planes(progress.done, progress.total, whole_in_words(progress))
        else:
            self._view.show_status(whole_in_words(progress))
