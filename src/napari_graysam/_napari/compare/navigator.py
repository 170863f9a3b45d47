"""From one object that differs between the arms to the next."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from napari_graysam._napari.canvas.placement import center_on
from napari_graysam._napari.compare.outline import ChangeOutline, reveal
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.results.identity import comparable
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.comparison import ARMS

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam.comparison import Arm, Change, Event
    from napari_graysam.masks import Mask
    from napari_graysam.results import Segmentation

Box = tuple[int, int, int, int]


class Difference(NamedTuple):
    """A change: in words, its objects, and the box around them in image pixels."""

    words: str
    box: Box
    change: Change
    masks: dict[Arm, tuple[Mask, ...]]


class ChangeNavigator:
    """Goes through the objects that differ between both results, in the comparison's order.

    Parameters
    ----------
    state
        Its results are compared in a worker thread when they are first asked for, and again when
        they have changed.
    on_step
        Called with the number of the change, from 1, and all changes; with 0 where there are
        none.
    """

    def __init__(
        self, state: PanelState, on_step: Callable[[int, tuple[Difference, ...]], None]
    ) -> None:
        self._state = state
        self._on_step = on_step
        self._changes: tuple[Difference, ...] | None = None
        self._at: int | None = None
        self._by = 1
        self._outline = ChangeOutline(state.viewer)
        self._worker = LatestRequest(self._receive)
        state.result_changed.connect(self._forget)

    def step(self, by: int) -> None:
        """Go to the next change (1) or the previous one (-1), around the ends."""
        self._by = by
        results = self._state.results
        if self._changes is not None:
            self._go()
        elif set(ARMS) <= set(results) and comparable(*(results[arm] for arm in ARMS)):
            self._worker.submit(partial(_compare, *(results[arm] for arm in ARMS)))
        else:
            self._on_step(0, ())

    def show(
        self, difference: Difference, placement: Placement, layers: Mapping[Arm, Labels | None]
    ) -> None:
        """Outline a change, turn on the layer that holds it, and move the camera there."""
        reveal(difference.masks, layers)
        self._outline.show(difference.change, difference.masks, placement)
        center_on(self._state.viewer, placement, difference.box)

    def close(self) -> None:
        """Take the outline away."""
        self._outline.remove()

    def _receive(self, changes: tuple[Difference, ...]) -> None:
        self._changes = changes
        self._go()

    def _go(self) -> None:
        changes = self._changes or ()
        before = self._at if self._at is not None else (-1 if self._by > 0 else 0)
        self._at = (before + self._by) % len(changes) if changes else None
        self._on_step(0 if self._at is None else self._at + 1, changes)

    def _forget(self, arm: str) -> None:
        self._worker.cancel()
        self._outline.remove()
        self._changes = self._at = None


def _compare(
    raw: Segmentation, preprocessed: Segmentation
) -> Generator[tuple[Difference, ...], None, None]:
    from napari_graysam.comparison import compare_masks

    shape = (raw.labels.shape[0], raw.labels.shape[1])
    events = compare_masks(raw.masks, preprocessed.masks, shape).events
    yield tuple(_difference(event, raw, preprocessed) for event in events if event.change != "kept")


def _difference(event: Event, raw: Segmentation, preprocessed: Segmentation) -> Difference:
    sides = ((raw, event.raw), (preprocessed, event.preprocessed))
    masks = {
        arm: tuple(result.masks[label - 1] for label in labels)
        for arm, (result, labels) in zip(ARMS, sides, strict=True)
    }
    boxes = [mask.box for arm in ARMS for mask in masks[arm]]
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    named = [
        f"{arm} {', '.join(map(str, labels))}"
        for arm, (_, labels) in zip(ARMS, sides, strict=True)
        if labels
    ]
    words = f"{event.change} ({'; '.join(named)})"
    return Difference(words, (min(x0), min(y0), max(x1), max(y1)), event.change, masks)
