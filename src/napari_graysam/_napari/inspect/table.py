"""A table of candidate masks and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_graysam._napari.forms.wording import sentence

if TYPE_CHECKING:
    from napari_graysam.select.explanation import Explanation

COLUMNS = {
    "Object": "The label of the object that this mask became",
    "IoU": "Predicted IoU: the model's own estimate of the mask's quality",
    "Stab.": "Stability score: how little the mask changes with its threshold",
    "Area": "Pixels inside the mask, px²",
    "What became of it": "Whether the mask is in the result, or what dropped it",
}
NUMBERS = range(1, 4)
"""Columns that are aligned on the right."""
HEIGHT = 150
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class ExplanationTable(QTableWidget):
    """Shows explanations, a row each, in their order.

    Attributes
    ----------
    highlighted
        Emitted with the explanation under the mouse, or else the chosen one, or None.
    chosen
        Emitted with the explanation of the chosen row, or None.
    """

    highlighted = Signal(object)
    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self._explanations: tuple[Explanation, ...] = ()
        self.setHorizontalHeaderLabels(list(COLUMNS))
        for column, text in enumerate(COLUMNS.values()):
            self.horizontalHeaderItem(column).setToolTip(text)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFixedHeight(HEIGHT)
        self.setMouseTracking(True)
        self.viewport().installEventFilter(self)
        self.cellEntered.connect(lambda row, _: self.highlighted.emit(self._explanations[row]))
        self.itemSelectionChanged.connect(self._on_choice)

    @property
    def explanation(self) -> Explanation | None:
        """The explanation of the chosen row."""
        rows = self.selectionModel().selectedRows()
        return self._explanations[rows[0].row()] if rows else None

    def show_explanations(self, explanations: Sequence[Explanation]) -> None:
        """Fill the table; what was chosen before stays chosen where it is listed again."""
        before = self.explanation
        with QSignalBlocker(self):
            self.setRowCount(len(explanations))
            self._explanations = tuple(explanations)
            for row, explanation in enumerate(explanations):
                for column, text in enumerate(_cells(explanation)):
                    item = QTableWidgetItem(text)
                    item.setToolTip(sentence(explanation.text))
                    item.setTextAlignment(_RIGHT if column in NUMBERS else _LEFT)
                    self.setItem(row, column, item)
            self.clearSelection()
            candidates = [explanation.candidate for explanation in explanations]
            if before is not None and before.candidate in candidates:
                self.selectRow(candidates.index(before.candidate))
        self._on_choice()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Notice that the mouse has left the rows."""
        if event.type() == QEvent.Type.Leave:
            self.highlighted.emit(self.explanation)
        return bool(super().eventFilter(watched, event))

    def _on_choice(self) -> None:
        self.chosen.emit(self.explanation)
        self.highlighted.emit(self.explanation)


def _cells(explanation: Explanation) -> tuple[str, ...]:
    label = "–" if explanation.label is None else str(explanation.label)
    scores = f"{explanation.predicted_iou:.2f}", f"{explanation.stability:.2f}"
    return label, *scores, f"{explanation.area:,}", sentence(explanation.text)
