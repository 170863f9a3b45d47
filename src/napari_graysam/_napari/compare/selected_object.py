"""From the table to the layers and back: selected labels, the camera, clicks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_graysam._napari.canvas.placement import center_on
from napari_graysam._napari.compare.compute import Outcome
from napari_graysam._napari.compare.event_model import EventRow
from napari_graysam._napari.compare.outline import ChangeOutline, reveal
from napari_graysam._napari.compare.planes import placement_of
from napari_graysam.comparison import ARMS, CODES, Arm, event_box

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

_SHARE = 0.4
"""Share of the canvas that an object takes up after the camera has moved to it."""
_STILL = 4
"""Pixels of the screen that a mouse may move in a click."""


def other_arm(arm: Arm) -> Arm:
    """Return the arm that a given one is compared with."""
    return ARMS[1 - ARMS.index(arm)]


class SelectedObject:
    """Keeps the labels that are selected in both layers and the table's row the same.

    Parameters
    ----------
    viewer
        Whose mouse and camera are used.
    on_picked
        Called with the arm and the label of an object that was clicked or selected in a layer.
    is_active
        Whether clicks count at the moment.
    """

    def __init__(
        self,
        viewer: Viewer,
        on_picked: Callable[[Arm, int], None],
        is_active: Callable[[], bool],
    ) -> None:
        self._viewer = viewer
        self._on_picked = on_picked
        self._is_active = is_active
        self._layers: dict[Arm, Labels] = {}
        self._callbacks: dict[Arm, Callable[..., None]] = {}
        self._outcome: Outcome | None = None
        self._alone: dict[Arm, bool] = {}
        self._busy = False
        self.difference: Layer | None = None
        self.outline = ChangeOutline(viewer)
        viewer.mouse_drag_callbacks.append(self._on_mouse)

    def attach(self, layers: Mapping[Arm, Labels], outcome: Outcome) -> None:
        """Link two layers that have been compared; those linked before are let go."""
        same = dict(layers) == self._layers
        if not same:
            self.detach()
            self._layers = dict(layers)
            for arm, layer in self._layers.items():
                self._callbacks[arm] = callback = partial(self._on_selected, arm)
                layer.events.selected_label.connect(callback)
        self._outcome = outcome

    def detach(self) -> None:
        """Let both layers go."""
        self.outline.remove()
        self.show_alone(False)
        for arm, layer in self._layers.items():
            layer.events.selected_label.disconnect(self._callbacks[arm])
        self._layers, self._callbacks, self._outcome = {}, {}, None

    def release(self) -> None:
        """Let the viewer go."""
        self.detach()
        if self._on_mouse in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_mouse)
        self._on_picked, self._is_active = lambda arm, label: None, lambda: False

    def show(self, row: EventRow, picked: tuple[Arm, int] | None = None) -> None:
        """Select the first objects of a change in both layers, and outline all.

        Parameters
        ----------
        row
            The change.
        picked
            The arm and the label that were clicked; None moves the camera to the objects, and
            turns their layer on.
        """
        if self._outcome is None:
            return
        labels = {arm: next(iter(row.labels[arm]), 0) for arm in ARMS}
        labels.update([] if picked is None else [picked])
        self._busy = True
        try:
            for arm, layer in self._layers.items():
                layer.selected_label = labels[arm]
        finally:
            self._busy = False
        placement = placement_of(self._layers["raw"], self._viewer.dims)
        if not self._viewer.canvas.grid.enabled:  # Another layer would shift the cells.
            masks = self._outcome.outlined(row.labels)
            if masks is None:
                self.outline.remove()
            else:
                self.outline.show(row.change, masks, placement)
        if picked is None:
            reveal(row.labels, self._layers)
            box = event_box(self._outcome.comparison, row.event)
            center_on(self._viewer, placement, box, share=_SHARE)

    def show_alone(self, alone: bool) -> None:
        """Show only the selected object in each layer, or what was shown before."""
        if alone:
            self._alone = {arm: layer.show_selected_label for arm, layer in self._layers.items()}
            for layer in self._layers.values():
                layer.show_selected_label = True
            return
        for arm, before in self._alone.items():
            self._layers[arm].show_selected_label = before
        self._alone = {}

    def _on_selected(self, arm: Arm, event: Any = None) -> None:
        if not self._busy and self._outcome is not None and self._is_active():
            self._on_picked(arm, int(self._layers[arm].selected_label))

    def _on_mouse(self, viewer: Viewer, event: Any) -> Generator[None, None, None]:
        """Tell a click from a drag."""
        start = np.asarray(event.pos)
        wanted = event.button == 1 and not event.modifiers and self._can_click()
        yield
        while event.type == "mouse_move":
            wanted = wanted and bool(np.abs(np.asarray(event.pos) - start).max() <= _STILL)
            yield
        if wanted:
            self.click(event.position, tuple(getattr(event, "viewbox", None) or (0, 0)))

    def _can_click(self) -> bool:
        active = self._viewer.layers.selection.active
        idle = active is None or str(getattr(active, "mode", "pan_zoom")) == "pan_zoom"
        return idle and self._outcome is not None and self._is_active()

    def click(self, position: tuple[float, ...], cell: tuple[int, int] = (0, 0)) -> None:
        """Pick the object at a position of the world.

        Parameters
        ----------
        position
            World coordinates.
        cell
            Row and column in napari's grid, where it is on.
        """
        outcome = self._outcome
        if outcome is None:
            return
        pixel = placement_of(self._layers["raw"], self._viewer.dims).pixel_at(
            position, self._viewer.layers.units
        )
        if pixel is None:
            return
        x, y = pixel
        found = {arm: outcome.label_at(arm, x, y) for arm in ARMS}
        code = outcome.code_at(x, y)
        for arm in self._preferred(cell, found, code):
            if found[arm]:
                self._on_picked(arm, found[arm])
                return

    def _preferred(
        self, cell: tuple[int, int], found: Mapping[Arm, int], code: int
    ) -> tuple[Arm, ...]:
        """Order the arms by which one a click is meant for."""
        layers, grid = self._viewer.layers, self._viewer.canvas.grid
        clickable = [*self._layers.values(), *([self.difference] if self.difference else [])]
        at_hand = [one for one in reversed(layers) if one in clickable and one.visible]
        if grid.enabled:
            inside = [layers[index] for index in grid.contents_at(cell, layers)]
            at_hand = [one for one in at_hand if one in inside] or at_hand
        active = layers.selection.active
        target = active if active in at_hand else next(iter(at_hand), None)
        if target is not None and target == self.difference and self._outcome is not None:
            first = next((arm for arm in ARMS if self._code(arm, found[arm]) == code), ARMS[0])
        else:
            first = next((arm for arm, one in self._layers.items() if one == target), ARMS[0])
        return first, other_arm(first)

    def _code(self, arm: Arm, label: int) -> int:
        """Return the code of the class that an object is in."""
        assert self._outcome is not None
        objects = self._outcome.comparison.objects
        change = objects.loc[(objects["arm"] == arm) & (objects["index"] == label), "change"]
        return CODES[change.iloc[0]] if len(change) else 0
