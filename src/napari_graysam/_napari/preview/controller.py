"""The live preview: what the model will see, as an image layer above the source."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_graysam._napari.canvas.finding import shown_level, visible_part
from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.canvas.part import plane_shape
from napari_graysam._napari.canvas.placement import TRANSFORM
from napari_graysam._napari.canvas.source import Source, read_source
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.preview.layer import PreviewLayer, is_preview
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import ImageError

if TYPE_CHECKING:
    from napari.layers import Image, Layer

    from napari_graysam._napari.preview.compute import Box, Failure, Memory, Request, View

__all__ = ["Preview", "is_preview"]

MARGIN = 64
"""Pixels computed around the visible region, so that borders of steps stay out of sight."""
THROTTLE = 10
"""Milliseconds over which changes are gathered."""
MOVED = 150
"""Milliseconds without a move of the camera before another view is computed."""
SETTLED = 400
"""Milliseconds without a change before a large image is computed as a whole."""


class Preview:
    """Keeps the layer "NAME [preview]" up to date while it is switched on.

    Parameters
    ----------
    state
        The panel's state: its image, recipe and viewer are followed.

    Attributes
    ----------
    enabled_changed
        Emitted with whether the preview is on, whoever switched it.
    problem
        Emitted with a message when the recipe cannot be shown, and with "" when it can again;
        the last good preview stays.
    busy_changed
        Emitted with whether something is being computed.
    updated
        Emitted with the `View` when the layer holds new pixels.
    """

    enabled_changed = Signal(bool)
    problem = Signal(str)
    busy_changed = Signal(bool)
    updated = Signal(object)

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._output = PreviewLayer(state.viewer)
        self._source: Layer | None = None
        self._memory: Memory | None = None
        self._asked: tuple[Any, ...] | None = None
        self._cropped: Request | None = None
        self._message = ""
        self._enabled = self._busy = self._closed = self._in_view = False
        self._near = LatestRequest(self._show, self._report_busy, parallel=1)
        self._whole = LatestRequest(self._show, self._report_busy)
        self._soon = QTimer(singleShot=True, interval=THROTTLE)
        self._soon.timeout.connect(self._submit)
        self._settled = QTimer(singleShot=True, interval=SETTLED)
        self._settled.timeout.connect(self._submit_whole)
        self._moved = QTimer(singleShot=True, interval=MOVED)
        self._moved.timeout.connect(self.update)
        self._connect("connect")

    @property
    def layer(self) -> Image | None:
        """The preview layer, while there is one."""
        return self._output.layer

    @property
    def busy(self) -> bool:
        """Whether something is being computed or about to be."""
        timers = any(one.isActive() for one in (self._soon, self._settled, self._moved))
        return timers or self._near.busy or self._whole.busy

    @property
    def enabled(self) -> bool:
        """Whether the preview is switched on; switching it off removes the layer."""
        return self._enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        if enabled == self._enabled or self._closed:
            return
        self._enabled = enabled
        self._say("")
        if enabled:
            self.update()
        else:
            self._forget()
            self._output.remove()
        self.enabled_changed.emit(enabled)

    def toggle(self) -> None:
        """Show the source in place of the preview, or the preview again; on if it was off."""
        layer = self._output.layer
        if not self._enabled or layer is None:
            self.enabled = True
            return
        layer.visible = not layer.visible
        if not layer.visible and self._source is not None:
            self._source.visible = True

    def update(self) -> None:
        """Show what the recipe makes of the image, soon; nothing while the layer is hidden."""
        layer = self._output.layer
        hidden = layer is not None and not layer.visible
        if self._enabled and not hidden and not self._soon.isActive():
            self._soon.start()

    def close(self) -> None:
        """Stop for good; nothing in the viewer is touched any more."""
        if not self._closed:
            self._closed, self._enabled = True, False
            with suppress(RuntimeError):  # at exit Qt has deleted the timers by itself
                self._forget()
            self._connect("disconnect")

    def _connect(self, how: str) -> None:
        """Connect what is followed in viewer and state, or disconnect it."""
        state, viewer = self._state, self._state.viewer
        getattr(state.recipe_changed, how)(self.update)
        getattr(state.layer_changed, how)(self._follow_layer)
        for event in (viewer.scene.camera.events.center, viewer.scene.camera.events.zoom):
            getattr(event, how)(self._follow_camera)
        for event in (viewer.dims.events.point, viewer.dims.events.order):
            getattr(event, how)(self.update)
        getattr(viewer.dims.events.ndisplay, how)(self.update)
        getattr(viewer.layers.events.removed, how)(self._follow_removal)
        getattr(self._output.made_visible, how)(self.update)

    def _watch(self, layer: Layer | None) -> None:
        """Follow the data and the transform of the source."""
        if layer == self._source:
            return
        for how, watched in (("disconnect", self._source), ("connect", layer)):
            if watched is not None:
                getattr(watched.events.data, how)(self._follow_data)
                for name in (*TRANSFORM, "contrast_limits"):
                    getattr(watched.events[name], how)(self.update)
        self._source = layer

    def _follow_layer(self, layer: Layer | None) -> None:
        if self._enabled and layer != self._source and not is_preview(layer):
            self._forget()
            self._output.remove()
            self.update()

    def _follow_camera(self, *_: object) -> None:
        """Show what is in view when the camera rests, where no more is computed than that."""
        if self._enabled and self._in_view and not self._closed:
            self._moved.start()

    def _follow_data(self) -> None:
        self._memory = self._asked = None
        self.update()

    def _follow_removal(self, event: Any) -> None:
        # napari hands plugins a proxy of each layer: equal to the layer, not identical.
        ours = event.value == self._output.layer
        if self._output.editing or not (ours or event.value == self._source):
            return
        if ours:
            self._output.layer = None
            self.enabled = False
            self._say("The preview layer was removed, so the preview is off.")
            return
        self._forget()
        self._enabled = False
        # A list that is being cleared must not lose another layer at the same time.
        QTimer.singleShot(0, self._output.remove)
        self.enabled_changed.emit(False)
        self._say(f"“{event.value.name}” left the viewer, so its preview was removed too.")

    def _submit(self) -> None:
        """Ask for the current recipe's view: the visible region of a large image first."""
        from napari_graysam._napari.preview.compute import LARGE, Memory, Request, compute

        state = self._state
        if not self._enabled or is_preview(state.layer):
            return
        try:
            source = read_source(state.viewer, state.layer, state.recipe.image)
        except ImageError as error:
            self._asked = None
            self._say(str(error))
            return
        layer, recipe = state.layer, state.recipe
        assert layer is not None
        self._watch(layer)
        rows, columns = source.placement.plane_shape
        box, side = None, int(LARGE**0.5)
        self._in_view = bool(state.extent.why_large(layer, recipe))
        if self._in_view:
            try:
                source = self._in_sight(source, layer, side)
            except ImageError as error:
                self._say(str(error))
                return
        elif rows * columns > LARGE:
            box = visible_box(source, layer, side)
        request = Request(source, pixels_of(layer), recipe.preprocess, recipe.rgb, box)
        asked = _signature(request)
        if asked == self._asked:
            return
        self._asked, self._cropped = asked, None
        self._settled.stop()
        self._whole.cancel()
        memory = self._memory = self._memory or Memory()
        image = partial(memory.cropped, request)
        self._near.submit(partial(compute, request, image, memory.images))
        self._report_busy()

    def _in_sight(self, source: Source, layer: Layer, side: int) -> Source:
        """Return what the canvas shows of an image that may not fit into memory, as it shows it."""
        axes, level = source.placement.axes, shown_level(layer)
        seen = visible_part(self._state.viewer, layer, axes, level)
        part = seen.grown(MARGIN, plane_shape(layer, axes, level))
        return self._state.extent.cut(source, layer, part.middle(side))

    def _submit_whole(self) -> None:
        """Ask for all of an image whose visible region is shown."""
        from napari_graysam._napari.preview.compute import compute
        from napari_graysam.preprocess import Intermediates

        if self._cropped is not None and self._memory is not None:
            request = replace(self._cropped, box=None)
            image = partial(self._memory.gray, request)
            nothing = [Intermediates(0) for _ in range(4)]
            self._whole.submit(partial(compute, request, image, nothing))
            self._report_busy()

    def _show(self, result: View | Failure) -> None:
        from napari_graysam._napari.preview.compute import Failure

        source, request = self._source, result.request
        if not self._enabled or source is None or request.data is not pixels_of(source):
            return
        current = _signature(request) == self._asked
        if isinstance(result, Failure):
            if current:
                self._say(result.message)
            return
        self._say("")
        self._output.draw(result, source)
        if request.box is not None and current:
            self._cropped = request
            self._settled.start()
        self.updated.emit(result)

    def _forget(self) -> None:
        """Stop, and forget the source."""
        self._soon.stop()
        self._settled.stop()
        self._moved.stop()
        self._near.cancel()
        self._whole.cancel()
        self._watch(None)
        self._memory = self._asked = self._cropped = None
        self._report_busy()

    def _say(self, message: str) -> None:
        if message != self._message and not self._closed:
            self._message = message
            self.problem.emit(message)

    def _report_busy(self) -> None:
        busy = self._near.busy or self._whole.busy
        if busy != self._busy and not self._closed:
            self._busy = busy
            self.busy_changed.emit(busy)


def visible_box(source: Source, layer: Layer, side: int) -> Box:
    """Return rows and columns in the canvas, with a margin.

    Parameters
    ----------
    source, layer
        The image and the layer that it was read from.
    side
        Most rows and columns; of a larger region the middle is taken.
    """
    corners = np.asarray(layer.corner_pixels)
    if layer.multiscale:
        corners = corners * layer.downsample_factors[layer.data_level]
    slices = []
    for axis, length in zip(source.placement.axes, source.placement.plane_shape, strict=True):
        first = max(0, int(corners[0, axis]) - MARGIN)
        stop = min(length, int(corners[1, axis]) + 1 + MARGIN)
        if stop - first > side:
            first = (first + stop - side) // 2
            stop = first + side
        slices.append(slice(first, stop))
    return slices[0], slices[1]


def _signature(request: Request) -> tuple[Any, ...]:
    """Return what a view depends on and where it lies, but not which part is computed first."""
    source = request.source
    limits = source.contrast_limits if source.options.window.kind == "limits" else None
    place = [source.placement.options[name] for name in TRANSFORM]
    where = [value if isinstance(value, tuple) else np.asarray(value).tolist() for value in place]
    return id(request.data), source.options, source.plane, limits, request.steps, request.rgb, where
