"""The section Preprocessing: preview, steps and colours."""

from __future__ import annotations

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_graysam._napari.forms.rgb_editor import RgbEditor
from napari_graysam._napari.forms.steps import StepsEditor
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.preview.controller import Preview
from napari_graysam.recipe import Recipe

LONG = 300
"""Milliseconds after which a computation is worth a word."""


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
        self.preview = Preview(state)
        self.native = QWidget()
        self.preview_box = QCheckBox("Preview")
        self.preview_box.setToolTip(
            "Show what the model will see as a layer above the image, while you change the steps."
        )
        self.status = QLabel()
        self._patience = QTimer(self.native, singleShot=True, interval=LONG)
        self.message = QLabel(wordWrap=True, visible=False)
        self.steps = StepsEditor("No steps: the image stays as it is.")
        self.rgb = RgbEditor()
        self._lay_out()
        self._follow(state.recipe)
        self._connect()

    def toggle(self) -> None:
        """Show the image in place of the preview, or the preview again."""
        self.preview.toggle()

    def shut(self) -> None:
        """Remove the preview, for the panel is being closed."""
        self.preview.enabled = False

    def _lay_out(self) -> None:
        column = QVBoxLayout(self.native, spacing=6)
        column.setContentsMargins(4, 4, 4, 4)
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
