"""Results as outlines instead of areas, for all result layers of a viewer at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFormLayout, QSpinBox, QWidget

from napari_graysam._napari.canvas.layers import about

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_WIDEST = 20


class OutlineBox(QWidget):
    """The width of the outlines that results are drawn as; 0 fills them.

    Parameters
    ----------
    viewer
        Its result layers, and those that come later, are drawn so. A layer whose contour was
        set in napari's own controls keeps it until this box is changed.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.width_box = QSpinBox(maximum=_WIDEST, suffix=" px", specialValueText="filled")
        self.width_box.setToolTip(
            "Draw results as outlines of this width, in pixels of the image, so that the image "
            "stays visible inside. No parameter of the recipe: labels stay the same."
        )
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Outlines", self.width_box)
        self.width_box.valueChanged.connect(self._apply)
        viewer.layers.events.inserted.connect(self._on_inserted)

    def _apply(self, width: int) -> None:
        for layer in self._viewer.layers:
            self._draw(layer, width)

    def _on_inserted(self, event: Any) -> None:
        if width := self.width_box.value():
            self._draw(event.value, width)

    def _draw(self, layer: Layer, width: int) -> None:
        if about(layer).get("arm") is not None and hasattr(layer, "contour"):
            layer.contour = width

    def shut(self) -> None:
        """Listen no more."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
