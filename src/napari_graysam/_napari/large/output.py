"""Where the results of a whole image go: a folder beside the buttons."""

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
    QVBoxLayout,
    QWidget,
)

REPLACE = "Replace what is there"


class OutputRow(QWidget):
    """A folder, and whether what is in it may be replaced.

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
        row = QHBoxLayout()
        row.setSpacing(4)
        for widget in (QLabel("Results in"), self.line, self.browse):
            row.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.replace)
        self.line.editingFinished.connect(lambda: self.chosen.emit(self.line.text()))
        self.browse.clicked.connect(self._browse)
        self.hide()

    def show_folder(self, folder: str) -> None:
        """Show a folder, unless the user is typing."""
        if not self.line.hasFocus() and self.line.text() != folder:
            self.line.setText(folder)

    def _browse(self) -> None:
        start = Path(self.line.text())
        here = next((str(one) for one in (start, *start.parents) if one.is_dir()), "")
        folder = QFileDialog.getExistingDirectory(self, "Folder for the results", here)
        if folder:
            self.line.setText(folder)
            self.chosen.emit(folder)
