"""A check in a worker thread, when image and region have not changed for a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.canvas.placement import TRANSFORM
from napari_graysam._napari.threads.latest_request import LatestRequest, Steps

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState

SETTLED = 250
"""Milliseconds without a change after which the pixels are read again."""
_MOVES = (*(name for name in TRANSFORM if name not in ("units", "axis_labels")), "data")


class SettledCheck:
    """Follows the chosen image and region, and what else is given.

    Parameters
    ----------
    state
        Whose image and region are followed.
    emitters
        Of whatever else may change the answer.
    wanted
        Returns whether there is anything to check.
    check
        Called in the GUI thread; may `submit` what takes long.
    receive
        Called there with each tuple that this yields.
    """

    def __init__(
        self,
        state: PanelState,
        emitters: Iterable[Any],
        wanted: Callable[[], object],
        check: Callable[[], None],
        receive: Callable[..., None],
    ) -> None:
        self._state, self._wanted = state, wanted
        self._worker = LatestRequest(lambda found: receive(*found))
        self._timer = QTimer(singleShot=True, interval=SETTLED)
        self._timer.timeout.connect(check)
        self._listeners, self._layers = Listeners(), Listeners()
        for emitter in emitters:
            self._listeners.add(emitter, self.soon)
        for emitter in (state.layer_changed, state.region_changed):
            self._listeners.add(emitter, self._follow_layers)
        self._follow_layers()

    @property
    def busy(self) -> bool:
        """Whether a check is running or about to."""
        return self._timer.isActive() or self._worker.busy

    def close(self) -> None:
        """Follow nothing more."""
        self._listeners.clear()
        self._layers.clear()
        with suppress(RuntimeError):  # Qt may have deleted the timer at the program's end.
            self._timer.stop()
        self._worker.cancel()

    def soon(self, *_: object) -> None:
        """Check when nothing has changed for a moment."""
        if self._wanted():
            self._timer.start()

    def submit(self, steps: Steps) -> None:
        """Compute in the worker thread."""
        self._worker.submit(steps)

    def _follow_layers(self, *_: object) -> None:
        """Follow the chosen image and region, moved or edited, and no others."""
        self._layers.clear()
        image, region = self._state.layer, self._state.region
        watched = [
            (image, "data"),
            (image, "contrast_limits"),
            *((region, name) for name in _MOVES),
        ]
        # Of strokes, undo and redo, a Labels layer tells by these alone.
        watched += [(region, name) for name in ("paint", "set_data") if hasattr(region, "paint")]
        for layer, name in watched:
            if layer is not None:
                self._layers.add(getattr(layer.events, name), self.soon)
        self.soon()
