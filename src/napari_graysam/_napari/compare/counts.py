"""How many objects were kept, changed, gained, lost, split and merged."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QWidget

from napari_graysam.comparison import CHANGES, COLORS, Change

_MEANING: dict[Change, str] = {
    "kept": "In both layers, with nearly the same outline",
    "changed": "In both layers, with another outline",
    "gained": "Only in the second layer",
    "lost": "Only in the first layer",
    "split": "One object in the first layer, several in the second",
    "merged": "Several objects in the first layer, one in the second",
}
_COLUMNS = 3


def swatch(change: Change, size: int = 12) -> QIcon:
    """Return a square in the colour of a class."""
    pixmap = QPixmap(size, size)
    pixmap.fill(QColor(COLORS[change]))
    painter = QPainter(pixmap)
    painter.setPen(QColor(0, 0, 0, 90))
    painter.drawRect(0, 0, size - 1, size - 1)
    painter.end()
    return QIcon(pixmap)


class Counts(QWidget):
    """The counts of all classes; pressing some shows only their objects in the table.

    Attributes
    ----------
    chosen
        Emitted with the classes that are pressed, as a frozen set; empty for all.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        self.buttons: dict[Change, QPushButton] = {}
        for at, change in enumerate(CHANGES):
            button = QPushButton(swatch(change), change)
            button.setCheckable(True)
            button.setToolTip(f"{_MEANING[change]}. Press to list only these.")
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.setStyleSheet("text-align: left; padding: 3px 6px;")
            button.toggled.connect(lambda _: self.chosen.emit(self.pressed))
            layout.addWidget(button, *divmod(at, _COLUMNS))
            self.buttons[change] = button
        self.show_counts({})

    @property
    def pressed(self) -> frozenset[Change]:
        """The classes that are pressed."""
        return frozenset(change for change, button in self.buttons.items() if button.isChecked())

    def show_counts(self, counts: Mapping[Change, int]) -> None:
        """Show the number of each class, or a dash where it is not known."""
        for change, button in self.buttons.items():
            button.setText(f"{change}: {counts[change]:,}" if change in counts else f"{change}: –")
