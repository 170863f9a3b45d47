"""Where the results of a whole image go, and how many processes work: beside the buttons."""

from __future__ import annotations

from pathlib import Path

from psygnal import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_graysam._napari.large.run import Team

REPLACE = "Replace what is there"
MOST_PROCESSES = 64


class OutputRow(QWidget):
    """A folder, whether what is in it may be replaced, and who works.

    Attributes
    ----------
    chosen
        Emitted with the folder that the user has typed or chosen.
    """

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.line = QLineEdit()
        self.line.setToolTip(
            "Labels (OME-Zarr), tables and NAME.tiles, from which a stopped run goes on"
        )
        self.browse = QPushButton("…", toolTip="Choose a folder")
        self.browse.setFixedWidth(28)
        self.replace = QCheckBox(REPLACE)
        self.replace.setToolTip(
            "On: labels of the same name, and tiles of another recipe, in this folder are removed."
        )
        self.processes = QSpinBox(minimum=1, maximum=MOST_PROCESSES)
        self.processes.setMaximumWidth(72)
        self.processes.setToolTip(
            "How many tiles are segmented at once, each by a process with a model of its own.\n"
            "One already uses all cores: more pay with several GPUs, or with many cores and "
            "memory for as many models."
        )
        self.scheduler = QLineEdit(placeholderText="tcp://host:8786")
        self.scheduler.setToolTip(
            "Address of a Dask scheduler, whose workers segment the tiles in place of processes "
            "on this computer;\nthey must see the image and the folder under the same paths"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(_row(QLabel("Results in"), self.line, self.browse))
        layout.addLayout(
            _row(QLabel("Processes"), self.processes, QLabel("or scheduler"), self.scheduler)
        )
        layout.addWidget(self.replace)
        self.scheduler.textChanged.connect(self._on_scheduler)
        self.line.editingFinished.connect(lambda: self.chosen.emit(self.line.text()))
        self.browse.clicked.connect(self._browse)
        self.hide()

    def show_folder(self, folder: str) -> None:
        """Show a folder, unless the user is typing."""
        if not self.line.hasFocus() and self.line.text() != folder:
            self.line.setText(folder)

    @property
    def team(self) -> Team:
        """Who works."""
        address = self.scheduler.text().strip()
        return Team(scheduler=address) if address else Team(self.processes.value())

    def show_running(self, running: bool) -> None:
        """Let nothing be changed that a run has begun with."""
        for widget in (self.line, self.browse, self.replace, self.scheduler):
            widget.setEnabled(not running)
        self.processes.setEnabled(not running and not self.scheduler.text().strip())

    def _on_scheduler(self, text: str) -> None:
        self.processes.setEnabled(not text.strip())

    def _browse(self) -> None:
        start = Path(self.line.text())
        here = next((str(one) for one in (start, *start.parents) if one.is_dir()), "")
        folder = QFileDialog.getExistingDirectory(self, "Folder for the results", here)
        if folder:
            self.line.setText(folder)
            self.chosen.emit(folder)


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(4)
    for widget in widgets:
        row.addWidget(widget)
    return row
