"""Whose candidates are listed: of the shown plane, or part of an image."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Protocol

from napari_graysam._napari.inspect.answers import Answer, explain
from napari_graysam._napari.results.combined import SHOWN

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam._napari.results.combined import Shown

Ask = Callable[[], Generator[Answer | str | None, None, None]]
"""For a worker thread: yields what is being done, then the answer."""
NO_CANDIDATES = "This result kept no candidates: segment again, then click."


class Results(Protocol):
    """Results that can be asked."""

    def arms(self) -> list[Shown]:
        """Return the arms that have one."""

    def placement(self, arm: Shown) -> Placement | None:
        """Return where the result of an arm lies."""

    def ask(self, arm: Shown, pixel: tuple[int, int]) -> Ask | str:
        """Return what answers for a pixel, or why nothing can."""


class PlaneResults:
    """The results of the shown plane, in memory.

    Parameters
    ----------
    state
        Has the results.
    placement
        Returns where the result of an arm lies; None where there is none.
    """

    def __init__(self, state: PanelState, placement: Callable[[Shown], Placement | None]) -> None:
        self._state, self.placement = state, placement

    def arms(self) -> list[Shown]:
        """Return the arms that have one."""
        return [arm for arm in SHOWN if arm in self._state.results]

    def ask(self, arm: Shown, pixel: tuple[int, int]) -> Ask | str:
        """Return what answers for a pixel, or why nothing can."""
        selector = self._state.selectors.get(arm)
        if selector is None:
            return NO_CANDIDATES
        return partial(explain, selector, pixel, self._state.results[arm])
