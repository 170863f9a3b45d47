"""The one control of presets, at the top of the panel."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.forms.fields import guard_wheel
from napari_graysam.recipe import Recipe, presets
from napari_graysam.recipe.shipped import preset_texts

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState

OF_MODEL = ("arithmetic", "frame", "frame_scale")
"""Parameters of the model part that a preset sets; the rest says which model and where."""


def with_preset(recipe: Recipe, name: str) -> Recipe:
    """Return a preset as a whole; which image, which model and what was kept by hand stay."""
    preset = Recipe.preset(name, model=recipe.model.name)
    suited = {field: getattr(preset.model, field) for field in OF_MODEL}
    batch, labels = recipe.generator.points_per_batch, recipe.labels
    return preset.replace(
        image=recipe.image,
        model=recipe.model.replace(**suited),
        generator=preset.generator.replace(points_per_batch=batch),
        labels=preset.labels.replace(keep=labels.keep, pinned=labels.pinned),
    )


class _Described(QStandardItemModel):
    """Presets whose descriptions are read from their files when a tooltip asks for them."""

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return an item's text, its preset, or what that is for."""
        if role != Qt.ItemDataRole.ToolTipRole:
            return super().data(index, role)
        name = super().data(index, Qt.ItemDataRole.UserRole)
        return f"<qt>{escape(presets()[name])}</qt>" if name else None


class PresetBar(QWidget):
    """Chooses a preset, which is applied whole; says if the recipe has been edited since.

    Parameters
    ----------
    state
        Whose recipe is shown and replaced.
    """

    def __init__(self, state: PanelState) -> None:
        super().__init__()
        self._state = state
        self._presets = tuple(preset_texts())
        self.choice = QComboBox()
        self.choice.setModel(_Described(self.choice))
        self.choice.setToolTip(
            "<qt>Takes all parameters of a preset; the image, the model and masks kept by hand "
            "stay. Recipe ▸ Undo brings back what was before.</qt>"
        )
        self.choice.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        guard_wheel(self.choice)
        self.edited = QLabel("edited")
        self.edited.setStyleSheet("font-style: italic;")
        self.reset = QPushButton("Reset to preset")
        self.reset.setToolTip("Back to the preset's own values")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        row, below = QHBoxLayout(), QHBoxLayout()
        row.addWidget(QLabel("Preset"))
        row.addWidget(self.choice, 1)
        below.addStretch(1)
        below.addWidget(self.edited)
        below.addWidget(self.reset)
        column.addLayout(row)
        column.addLayout(below)
        self.choice.activated.connect(lambda row: self.take(self.choice.itemData(row)))
        self.reset.clicked.connect(lambda: self.take(self._state.recipe.name))
        # Not a lambda: the garbage collector may have emptied it when Qt destroys the widget.
        self._listeners = Listeners()
        self._listeners.add(state.recipe_changed, self._follow)
        self.destroyed.connect(self._listeners.clear)
        self._follow(state.recipe)

    def take(self, name: str) -> None:
        """Apply a preset."""
        if name in self._presets:
            self._state.replace(with_preset(self._state.recipe, name))
        self._follow(self._state.recipe)

    def _follow(self, recipe: Recipe) -> None:
        known = recipe.name in self._presets
        self.choice.clear()
        if not known:
            self.choice.addItem(recipe.name or "a recipe of your own", "")
        for name in self._presets:
            self.choice.addItem(name, name)
        self.choice.setCurrentIndex(self.choice.findData(recipe.name) if known else 0)
        edited = known and recipe != with_preset(recipe, recipe.name)
        self.edited.setVisible(edited)
        self.reset.setVisible(edited)
