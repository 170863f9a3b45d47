"""The section Preprocessing: preset, preview, steps and colours."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_graysam._napari.forms.fields import guard_wheel
from napari_graysam._napari.forms.rgb_editor import RgbEditor
from napari_graysam._napari.forms.steps import StepsEditor
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.preview.controller import Preview
from napari_graysam.preprocess import BaseStep, Rgb
from napari_graysam.recipe import Recipe, presets

OWN = "Your own steps"
LONG = 300
"""Milliseconds after which a computation is worth a word."""
Enhancement = tuple[tuple[BaseStep, ...], Rgb]


class PreprocessSection:
    """Edits ``recipe.preprocess`` and ``recipe.rgb``, and shows what they do.

    Parameters
    ----------
    state
        Whose recipe is shown and changed.

    Attributes
    ----------
    preview
        The preview layer's keeper; its ``toggle()`` compares before and after.
    """

    title = "Preprocessing"

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._own: Enhancement = _enhancement(state.recipe)
        self.preview = Preview(state)
        self.native = QWidget()
        self.preset = QComboBox()
        self.preview_box = QCheckBox("Preview")
        self.preview_box.setToolTip(
            "Show what the model will see as a layer above the image, while you change the steps."
        )
        self.status = QLabel()
        self._patience = QTimer(self.native, singleShot=True, interval=LONG)
        self.message = QLabel(wordWrap=True, visible=False)
        self.steps = StepsEditor("No steps: the image stays as it is.")
        self.rgb = RgbEditor()
        self._fill_presets()
        self._lay_out()
        self._follow(state.recipe)
        self._connect()

    def toggle(self) -> None:
        """Show the image in place of the preview, or the preview again."""
        self.preview.toggle()

    def shut(self) -> None:
        """Remove the preview, for the panel is being closed."""
        self.preview.enabled = False

    def _fill_presets(self) -> None:
        self._presets: dict[str, Enhancement] = {}
        self.preset.addItem(OWN)
        self.preset.setItemData(0, "Back to what you had before.", Qt.ItemDataRole.ToolTipRole)
        for row, (name, description) in enumerate(presets().items(), 1):
            self._presets[name] = _enhancement(Recipe.preset(name))
            self.preset.addItem(name)
            text = f"<qt>{escape(description)}</qt>"
            self.preset.setItemData(row, text, Qt.ItemDataRole.ToolTipRole)
        self.preset.setToolTip(
            "<qt>Take the steps and colours of a preset; everything else stays as it is.</qt>"
        )
        guard_wheel(self.preset)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self.native, spacing=6)
        column.setContentsMargins(4, 4, 4, 4)
        chooser = QHBoxLayout()
        chooser.addWidget(QLabel("Preset"))
        chooser.addWidget(self.preset, 1)
        column.addLayout(chooser)
        preview = QHBoxLayout()
        preview.addWidget(self.preview_box)
        preview.addStretch(1)
        preview.addWidget(self.status)
        column.addLayout(preview)
        column.addWidget(self.message)
        column.addWidget(self.steps)
        column.addWidget(self.rgb)
        column.addStretch(1)

    def _connect(self) -> None:
        state = self._state
        state.recipe_changed.connect(self._follow)
        self.preset.activated.connect(self._take_preset)
        self.steps.steps_changed.connect(
            lambda steps: setattr(state, "recipe", state.recipe.replace(preprocess=steps))
        )
        self.rgb.rgb_changed.connect(
            lambda rgb: setattr(state, "recipe", state.recipe.replace(rgb=rgb))
        )
        self.preview_box.toggled.connect(lambda on: setattr(self.preview, "enabled", on))
        self.preview.enabled_changed.connect(lambda on: self.preview_box.setChecked(on))
        self.preview.problem.connect(self._say)
        self.preview.busy_changed.connect(self._report_busy)
        self._patience.timeout.connect(lambda: self.status.setText("Computing…"))
        self.native.destroyed.connect(self._close)

    def _follow(self, recipe: Recipe) -> None:
        """Show a recipe, wherever it comes from."""
        self.steps.steps = recipe.preprocess
        self.rgb.rgb = recipe.rgb
        shown = _enhancement(recipe)
        name = next((name for name, preset in self._presets.items() if preset == shown), None)
        if name is None:
            self._own = shown
        self.preset.setCurrentText(OWN if name is None else name)

    def _take_preset(self, row: int) -> None:
        steps, rgb = self._own if row == 0 else self._presets[self.preset.itemText(row)]
        self._state.recipe = self._state.recipe.replace(preprocess=steps, rgb=rgb)
        self._follow(self._state.recipe)

    def _report_busy(self, busy: bool) -> None:
        if busy:
            self._patience.start()
        else:
            self._patience.stop()
            self.status.setText("")

    def _say(self, text: str) -> None:
        self.message.setText(f"⚠ {text}" if text else "")
        self.message.setVisible(bool(text))

    def _close(self) -> None:
        self._state.recipe_changed.disconnect(self._follow)
        self.preview.close()


def _enhancement(recipe: Recipe) -> Enhancement:
    return recipe.preprocess, recipe.rgb
