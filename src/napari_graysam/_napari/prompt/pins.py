"""Objects that are kept or removed by hand: the recipe's pins."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_graysam._napari.prompt.compute import (
    Regrouped,
    Removed,
    remove_at,
    take_back,
    take_back_at,
)
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.comparison import ARMS

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.large.prompting import WholePrompts
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.recipe import Pin
    from napari_graysam.results import Arm, Segmentation

Steps = Callable[[], Generator[Any, None, None]]
REMOVED = "Removed. Undo brings it back."
REMOVED_LATER = "“Select again” removes it from the whole image. Undo brings it back."
RETURNED = "What was {} is as before, and pinned. Undo takes the pin back."
RETURNED_LATER = (
    "What was {} is pinned as it was before: “Select again” paints it. Undo takes the pin back."
)
_KINDS = {
    "add": "addition",
    "remove": "removal",
    "apart": "return of a merge",
    "whole": "return of a split",
}


class PinEditor:
    """Adds pins to the recipe and takes them back.

    Parameters
    ----------
    state
        Its recipe is changed.
    placement
        Returns where the result of an arm lies; None where there is none.
    say
        Called with what has become of a request.
    on_error
        Called with the error that ended one.
    whole
        Knows objects of whole images; None where there are none.

    Attributes
    ----------
    returned
        Emitted with a place ``(x, y)`` on an object whose merge or split was taken back, or the
        pin that did so.
    """

    returned = Signal(object)

    def __init__(
        self,
        state: PanelState,
        placement: Callable[[Arm], Placement | None],
        say: Callable[[str], None],
        on_error: Callable[[Exception], None],
        whole: WholePrompts | None = None,
    ) -> None:
        self._whole = whole
        self._state = state
        self._placement = placement
        self._say = say
        self._worker = LatestRequest(self._apply_removal, on_error=on_error)

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The recipe's pins."""
        return self._state.recipe.labels.pinned

    @property
    def _in_whole(self) -> WholePrompts | None:
        return self._whole if self._whole is not None and self._whole.wanted else None

    def cancel(self) -> None:
        """Forget a removal that is not done yet."""
        self._worker.cancel()

    def add(self, pin: Pin) -> None:
        """Put a pin behind the others."""
        self._set((*self.pins, pin))

    def undo(self) -> None:
        """Take back the last pin."""
        if not self.pins:
            self._say("There is no pin to take back.")
            return
        *kept, last = self.pins
        self._set(tuple(kept))
        self._say(f"The last {_KINDS.get(last.kind, last.kind)} is taken back.")

    def remove(self, first: str) -> None:
        """Remove the object under the mouse.

        Parameters
        ----------
        first
            The arm whose result counts if it has one.
        """
        whole = self._in_whole
        self._ask(remove_at, first, None if whole is None else whole.removing)

    def take_back(self, first: str) -> None:
        """Take back the merge or the split that the object under the mouse comes from.

        Parameters
        ----------
        first
            The arm whose result counts if it has one.
        """
        whole = self._in_whole
        self._ask(take_back_at, first, None if whole is None else whole.returning)

    def take_back_of(self, objects: Sequence[tuple[Segmentation, Sequence[int]]]) -> None:
        """Take back the merges or splits that objects come from, or such a return.

        Parameters
        ----------
        objects
            Results of the panel, and labels of objects in each.
        """
        self._worker.submit(partial(take_back, objects))

    def _ask(
        self,
        ask: Callable[..., Generator[Removed | Regrouped, None, None]],
        first: str,
        in_whole: Callable[[Sequence[float], str], Steps | str] | None,
    ) -> None:
        """Ask what to do about the object under the mouse, in a result or in a whole image."""
        if in_whole is None:
            self._at_mouse(ask, first)
            return
        steps = in_whole(self._state.viewer.cursor.position, first)
        if isinstance(steps, str):
            self._say(steps)
        else:
            self._worker.submit(steps)

    def _at_mouse(
        self, ask: Callable[..., Generator[Removed | Regrouped, None, None]], first: str
    ) -> None:
        """Ask what to do about the object under the mouse."""
        viewer = self._state.viewer
        arms = [arm for arm in ARMS if arm in self._state.results]
        for arm in sorted(arms, key=lambda arm: arm != first):
            placement = self._placement(arm)
            if placement is not None:
                pixel = placement.pixel_at(viewer.cursor.position, viewer.layers.units)
                if pixel is not None:
                    self._worker.submit(partial(ask, self._state.results[arm], *pixel))
                    return
        self._say("There is no result under the mouse: segment the image first.")

    def _apply_removal(self, removed: Removed | Regrouped) -> None:
        if isinstance(removed, Regrouped):
            self._apply_return(removed)
        elif removed.pin is None:
            self._say("There is no object under the mouse.")
        elif removed.pin in self.pins:
            self._set(tuple(pin for pin in self.pins if pin != removed.pin))
            self._say("The pinned object is taken back.")
        else:
            self.add(removed.pin)
            self._say(REMOVED if self._in_whole is None else REMOVED_LATER)

    def _apply_return(self, found: Regrouped) -> None:
        """Pin what was merged or split as it was before, or take such pins back."""
        if found.pins:
            self._set((*self.pins, *found.pins))
            done = RETURNED if self._in_whole is None else RETURNED_LATER
            self._say(done.format(found.kind))
        elif found.held:
            self._set(tuple(pin for pin in self.pins if pin not in found.held))
            self._say(f"No pin keeps it from being {found.kind} any more.")
        else:
            self._say("No merge and no split made the object.")
        if found.place is not None:
            self.returned.emit(found.place)

    def _set(self, pins: tuple[Pin, ...]) -> None:
        recipe = self._state.recipe
        self._state.recipe = recipe.replace(labels=recipe.labels.replace(pinned=pins))
