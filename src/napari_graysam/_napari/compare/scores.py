"""Scores of both layers against a ground truth."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHeaderView, QLabel, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_graysam.comparison import ARMS, Arm, Scores, score_table

_HINT = (
    "Choose a ground truth above: a Labels layer of the same image in which every object is "
    "labelled by hand."
)


def _signed(difference: float, number: str) -> str:
    """Write a difference with its sign; none where it is zero as written."""
    text = f"{difference:+{number}}"
    return text.replace("-", "−") if any(digit in text for digit in "123456789") else text[1:]


class ScoreTable(QWidget):
    """Average precision, F1, panoptic quality and matched IoU of both layers."""

    def __init__(self) -> None:
        super().__init__()
        self.hint = QLabel(_HINT, wordWrap=True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.hint.setMargin(6)
        self.table = QTableWidget(0, 4)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setWordWrap(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.hint)
        layout.addWidget(self.table, 1)
        self.show_scores(None, {})

    def show_scores(self, scores: Mapping[Arm, Scores] | None, names: Mapping[Arm, str]) -> None:
        """Show the scores of both layers, or say how to get some."""
        self.hint.setVisible(scores is None)
        self.table.setVisible(scores is not None)
        self.table.setRowCount(0)
        if scores is None:
            return
        self.table.setHorizontalHeaderLabels(["", *(names[arm] for arm in ARMS), "Δ"])
        rows = score_table(scores)
        self.table.setRowCount(len(rows))
        for row, (measure, raw, preprocessed, difference) in enumerate(rows.to_numpy().tolist()):
            number = ",.0f" if measure.endswith("objects") else ".3f"
            texts = [measure, f"{raw:{number}}", f"{preprocessed:{number}}"]
            texts.append(_signed(difference, number))
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                if column:
                    right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    item.setTextAlignment(right)
                self.table.setItem(row, column, item)
