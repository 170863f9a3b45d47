"""The preview's layer: made, filled, moved and removed without disturbing the user's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_graysam._napari.canvas.layers import KEY, about, same_selection

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.preview.compute import Box, View


def is_preview(layer: Layer | None) -> bool:
    """Whether a layer is a preview that this program made."""
    return bool(about(layer).get("preview"))


class PreviewLayer:
    """The image layer "NAME [preview]" of one viewer, while there is one.

    Parameters
    ----------
    viewer
        Where the layer is added.

    Attributes
    ----------
    made_visible
        Emitted when the user makes the hidden layer visible.
    """

    made_visible = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.layer: Image | None = None
        self.editing = False
        """Whether a change of the layer list is our own."""

    def draw(self, view: View, source: Layer) -> None:
        """Put pixels into the layer; make it above the source where there is none of their kind.

        A new layer takes the place of one that a closed panel has left behind.

        Parameters
        ----------
        view
            What to show.
        source
            The layer that the pixels come from.
        """
        placement = boxed(view.request.source.placement, view.request.box)
        pixels = placement.arrange(view.pixels)
        colour = view.pixels.ndim == 3
        old = self.layer
        if old is None or (old.rgb, old.ndim) != (colour, len(placement.shape)):
            self.remove()
            self._add(pixels, colour, placement, source, visible=old is None or old.visible)
            return
        placement.apply_to(old)
        old.data = pixels

    def remove(self) -> None:
        """Remove the layer, if there is one."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            layer.events.visible.disconnect(self._report_visible)
            with self._keep_selection():
                self._viewer.layers.remove(layer)

    def _add(
        self, pixels: Any, colour: bool, placement: Placement, source: Layer, *, visible: bool
    ) -> None:
        from napari.layers import Image

        limits = {} if colour else {"contrast_limits": (0, 1)}
        self.layer = layer = Image(
            pixels,
            rgb=colour,
            name=f"{source.name} [preview]",
            metadata={KEY: {"preview": True, "source": source.name}},
            interpolation2d=source.interpolation2d,
            visible=visible,
            **limits,
            **placement.options,
        )
        layer.events.visible.connect(self._report_visible)
        layers = self._viewer.layers
        with self._keep_selection():
            for left in [other for other in layers if is_preview(other)]:
                layers.remove(left)
            layers.insert(layers.index(source) + 1, layer)

    def _report_visible(self) -> None:
        if self.layer is not None and self.layer.visible:
            self.made_visible.emit()

    @contextmanager
    def _keep_selection(self) -> Iterator[None]:
        self.editing = True
        try:
            with same_selection(self._viewer.layers):
                yield
        finally:
            self.editing = False


def boxed(placement: Placement, box: Box | None) -> Placement:
    """Return where a part of a plane lies, given as rows and columns; None for all."""
    if box is None:
        return placement
    rows, columns = box
    return placement.part((columns.start, rows.start, columns.stop, rows.stop))
