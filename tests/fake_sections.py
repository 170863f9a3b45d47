"""Tiny sections, for tests of what holds sections together."""

from types import SimpleNamespace
from typing import Any

from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_graysam._napari.panel.state import PanelState


class _Section:
    title = ""

    def __init__(self, state: PanelState) -> None:
        self.state = state
        self.native = QWidget()
        layout = QVBoxLayout(self.native)
        layout.addWidget(QLabel(f"about {self.title}"))
        self.resets = 0

    def reset_choices(self, event=None) -> None:
        self.resets += 1


class Image(_Section):
    title = "Image"


class Preprocessing(_Section):
    title = "Preprocessing"

    def __init__(self, state: PanelState) -> None:
        super().__init__(state)
        self.preview_box = QCheckBox(toolTip="Show the preview.")

    def toggle(self) -> None:
        self.toggled = True


class Thresholds(_Section):
    title = "Thresholds"


class Run(_Section):
    """Notes what it is asked to do; `runs` are those it pretends to have done."""

    title = "Run"

    def __init__(self, state: PanelState) -> None:
        super().__init__(state)
        self.calls: list[str] = []
        self.runs: dict[str, SimpleNamespace] = {}
        self.native.new_layers = QCheckBox()
        self.native.both, self.native.cancel = QPushButton("Both"), QPushButton("Cancel")
        self.shown: dict[str, Any] = {}
        self.layers = SimpleNamespace(layer=self.shown.get)
        self.live_update = SimpleNamespace(run_of=self.runs.get)

    def run(self) -> None:
        self.calls.append("run")

    def cancel(self) -> None:
        self.calls.append("cancel")

    def toggle_arms(self) -> None:
        self.calls.append("arms")
