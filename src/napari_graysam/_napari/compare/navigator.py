"""From one object that differs between the arms to the next, and from one arm to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_graysam._napari.panel.state import PanelState
from napari_graysam.comparison import ARMS

if TYPE_CHECKING:
    from napari_graysam.comparison import Event

Box = tuple[int, int, int, int]


class Walk:
    """Goes through the objects that differ between both results, in the comparison's order.

    Parameters
    ----------
    state
        Its results are compared when they are first asked for, and again when they change.
    """

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._events: tuple[Event, ...] | None = None
        self._at: int | None = None
        state.result_changed.connect(self._forget)

    def _forget(self, arm: str) -> None:
        self._events = self._at = None

    @property
    def events(self) -> tuple[Event, ...]:
        """What differs; nothing while a result is missing."""
        if self._events is None:
            results = self._state.results
            if not set(ARMS) <= set(results):
                return ()
            from napari_graysam.comparison import compare_masks

            raw, other = (results[arm] for arm in ARMS)
            shape = (raw.labels.shape[0], raw.labels.shape[1])
            if other.labels.shape != shape:
                return ()
            found = compare_masks(raw.masks, other.masks, shape).events
            self._events = tuple(event for event in found if event.change != "kept")
        return self._events

    def step(self, by: int) -> tuple[str, Box] | None:
        """Go on or back, around the ends.

        Parameters
        ----------
        by
            1 for the next object, -1 for the one before.

        Returns
        -------
        (str, (x0, y0, x1, y1)) or None
            What differs, in words, and the box around it in image pixels; None where there is
            nothing to go to.
        """
        events = self.events
        if not events:
            return None
        before = self._at if self._at is not None else (-1 if by > 0 else 0)
        self._at = (before + by) % len(events)
        event = events[self._at]
        number = f"{self._at + 1} of {len(events)}"
        return f"{number}: {_words(event)}", self._box(event)

    def _box(self, event: Event) -> Box:
        boxes = np.array(
            [
                self._state.results[arm].masks[label - 1].box
                for arm, labels in zip(ARMS, (event.raw, event.preprocessed), strict=True)
                for label in labels
            ]
        )
        x0, y0 = boxes[:, :2].min(axis=0).tolist()
        x1, y1 = boxes[:, 2:].max(axis=0).tolist()
        return x0, y0, x1, y1


def _words(event: Event) -> str:
    """Name an event and its objects."""
    sides = [
        f"{arm} {', '.join(map(str, labels))}"
        for arm, labels in zip(ARMS, (event.raw, event.preprocessed), strict=True)
        if labels
    ]
    return f"{event.change} ({'; '.join(sides)})"
