"""Combo boxes of layers that follow the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_graysam._napari.forms.elide import elide

if TYPE_CHECKING:
    from napari.layers import Layer


class LayerChoice(QComboBox):
    """A choice among layers, or none.

    Parameters
    ----------
    none
        What the first entry, for no layer, says.

    Attributes
    ----------
    layer_changed
        Emitted when another layer is chosen, by the user or because the chosen one has gone.
    """

    layer_changed = Signal()

    def __init__(self, none: str) -> None:
        super().__init__()
        self._layers: list[Layer | None] = [None]
        self.addItem(none)
        elide(self)
        self.setMinimumContentsLength(10)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.currentIndexChanged.connect(lambda _: self.layer_changed.emit())

    @property
    def layer(self) -> Layer | None:
        """The chosen layer; one that is not offered chooses none."""
        return self._layers[max(0, self.currentIndex())]

    @layer.setter
    def layer(self, layer: Layer | None) -> None:
        self.setCurrentIndex(self._layers.index(layer) if layer in self._layers else 0)

    def offer(self, layers: Sequence[Layer]) -> None:
        """Offer other layers; the chosen one stays chosen if it is among them."""
        before = self.layer
        none = self.itemText(0)
        self.blockSignals(True)
        self.clear()
        self._layers = [None, *layers]
        self.addItems([none, *(layer.name for layer in layers)])
        self.layer = before
        self.blockSignals(False)
        if self.layer != before:
            self.layer_changed.emit()
