"""The ranked table of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem

from napari_graysam._napari.tune.words import score_name, title_of, value_text

if TYPE_CHECKING:
    from napari_graysam._napari.tune.compute import Found
    from napari_graysam.tune import Rank

_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_FIRST = {
    "#": "Place of the score",
    "Score": "1 at best",
    "": "The panel's own setting, and the one that is proposed",
    "Alike": "How many settings have this score; the row shows the one nearest to the panel's",
}


class RankTable(QTableWidget):
    """One row for each score, best first.

    Attributes
    ----------
    chosen
        Emitted when another row is selected.
    """

    chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._ranks: tuple[Rank, ...] = ()
        self.verticalHeader().hide()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.itemSelectionChanged.connect(self.chosen)

    @property
    def rank(self) -> Rank | None:
        """The selected row's."""
        rows = self.selectionModel().selectedRows()
        return self._ranks[rows[0].row()] if rows else None

    def show_found(self, found: Found | None) -> None:
        """Fill the table and select the proposed setting; None empties it."""
        with QSignalBlocker(self):
            self.clear()
            self._ranks = () if found is None else found.ranks
            self.setRowCount(len(self._ranks))
            if found is None:
                self.setColumnCount(0)
            else:
                self._fill(found)
        self.chosen.emit()

    def _fill(self, found: Found) -> None:
        names = list(found.tuning.grid)
        tips = {**_FIRST, "Score": f"{score_name(found)}, 1 at best"}
        titles = [*tips, *(title_of(name) for name in names)]
        self.setColumnCount(len(titles))
        self.setHorizontalHeaderLabels(titles)
        for column, title in enumerate(titles):
            self.horizontalHeaderItem(column).setToolTip(tips.get(title, title))
        for row, rank in enumerate(self._ranks):
            notes = [("own", rank.own), ("proposed", rank.chosen)]
            note = ", ".join(text for text, true in notes if true)
            first = (str(rank.place), f"{rank.score:.3f}", note, f"{rank.alike:,}")
            values = [value_text(value) for value in found.tuning.values[rank.setting]]
            for column, text in enumerate((*first, *values)):
                item = QTableWidgetItem(text)
                item.setTextAlignment(_RIGHT if column in (0, 1, 3) else _LEFT)
                self.setItem(row, column, item)
        self.resizeColumnsToContents()
        self.selectRow(next(row for row, rank in enumerate(self._ranks) if rank.chosen))
