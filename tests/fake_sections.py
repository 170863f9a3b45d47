"""Tiny sections, for tests of what holds sections together."""

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_graysam._napari.state import PanelState


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


class Thresholds(_Section):
    title = "Thresholds"


class Run(_Section):
    title = "Run"

    def __init__(self, state: PanelState) -> None:
        super().__init__(state)
        self.calls: list[str] = []

    def run(self, *arms: str) -> None:
        self.calls.append(" ".join(arms))

    def cancel(self) -> None:
        self.calls.append("cancel")
