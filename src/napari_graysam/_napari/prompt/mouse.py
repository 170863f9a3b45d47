"""The prompt tool's mouse: clicks are points, drags are boxes, and the image stays."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.viewer import Viewer

JITTER = 3
"""Canvas pixels that the mouse may move between press and release of a click."""

Position = Sequence[float]


class PromptMouse:
    """Turns clicks and drags on the canvas into prompts.

    Parameters
    ----------
    viewer
        Whose canvas is listened to, between `listen` and `release`.
    point
        Called with a place in the world, and whether it is on the object.
    box, dragging
        Called with two corners in the world, at the end of a drag and during it.
    blocked
        Called with the reason where the active layer takes the clicks itself.
    """

    def __init__(
        self,
        viewer: Viewer,
        *,
        point: Callable[[Position, bool], None],
        box: Callable[[Position, Position], None],
        dragging: Callable[[Position, Position], None],
        blocked: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._point, self._box, self._dragging, self._blocked = point, box, dragging, blocked
        self._panning = False

    def listen(self) -> None:
        """Take clicks from now on."""
        self._viewer.mouse_drag_callbacks.append(self._on_press)

    def release(self) -> None:
        """Leave clicks alone."""
        self._viewer.mouse_drag_callbacks.remove(self._on_press)

    def pan(self) -> Generator[None, None, None]:
        """Let drags move the image until the generator goes on: while a key is down."""
        self._panning = True
        yield
        self._panning = False

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        modifiers = {str(getattr(one, "name", one)).lower() for one in event.modifiers}
        if event.button != 1 or self._panning or modifiers - {"shift"} or not self._is_free():
            return
        start, place = event.position, np.asarray(event.pos)
        camera = viewer.scene.camera
        before, dragged = camera.mouse_pan, False
        try:
            camera.mouse_pan = False
            yield
            while event.type == "mouse_move":
                dragged |= bool(np.abs(np.asarray(event.pos) - place).max() > JITTER)
                if dragged:
                    self._dragging(start, event.position)
                # A layer that is added lets the camera pan again.
                camera.mouse_pan = False
                yield
        finally:
            camera.mouse_pan = before
        if dragged:
            self._box(start, event.position)
        else:
            self._point(event.position, "shift" not in modifiers)

    def _is_free(self) -> bool:
        layer = self._viewer.layers.selection.active
        mode = str(getattr(layer, "mode", "pan_zoom")).lower()
        if layer is None or mode.endswith("pan_zoom"):
            return True
        self._blocked(
            f"“{layer.name}” is in {mode.replace('_', ' ')} mode and takes the clicks: choose its "
            "pan/zoom tool first."
        )
        return False
