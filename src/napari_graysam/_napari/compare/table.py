"""The table of changes between both layers."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_graysam._napari.compare.columns import IN_PIXELS
from napari_graysam._napari.compare.event_model import EventModel, EventRow
from napari_graysam.comparison import ARMS, Arm, Change, Comparison

_PADDING = 8
"""Pixels around a header's text."""


class EventTable(QTableView):
    """The view on `EventModel`.

    Attributes
    ----------
    picked
        Emitted with the `EventRow` that was selected.
    """

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.events = EventModel()
        self.setModel(self.events)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setResizeContentsPrecision(50)
        header.setStyleSheet("QHeaderView::section { padding: 2px; }")
        header.setMinimumSectionSize(16)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        self.selectionModel().currentRowChanged.connect(self._on_row)

    def show_comparison(self, comparison: Comparison | None, names: Mapping[Arm, str]) -> None:
        """Show another comparison; what is selected stays so if its object is still there."""
        before = self.selected
        self.events.show_comparison(comparison, names)
        self._fit(before)

    def show_changes(self, changes: frozenset[Change]) -> None:
        """Show only some classes; what is selected stays so if it is shown."""
        before = self.selected
        self.events.show_changes(changes)
        self._fit(before)

    def _fit(self, before: EventRow | None) -> None:
        self._narrow()
        if before is not None:
            arm = next(arm for arm in ARMS if before.labels[arm])
            self.select(arm, before.labels[arm][0])

    def _narrow(self) -> None:
        """Give every column the width of its texts; Qt's own are wider than the dock."""
        metrics = self.horizontalHeader().fontMetrics()
        for column in IN_PIXELS:
            self.setColumnHidden(column, not self.events.physical)
        for column in range(self.events.columnCount()):
            title = self.events.headerData(column, Qt.Orientation.Horizontal)
            header = metrics.horizontalAdvance(title) + _PADDING
            self.setColumnWidth(column, max(header, self.sizeHintForColumn(column) + 2))

    @property
    def selected(self) -> EventRow | None:
        """The selected change."""
        current = self.currentIndex()
        return self.events.row(current.row()) if current.isValid() else None

    def select(self, arm: Arm, label: int) -> bool:
        """Select an object's change without emitting `picked`; False if it is not shown."""
        row = self.events.find(arm, label)
        if row is None:
            self.clearSelection()
            return False
        self.blockSignals(True)
        self.selectRow(row)
        self.scrollTo(self.events.index(row, 0))
        self.blockSignals(False)
        return True

    def step(self, direction: int) -> None:
        """Select the next change that is not kept (1) or the one before (-1), round and round."""
        rows = self.events.changed_rows()
        if not rows:
            return
        current = self.currentIndex().row()
        ahead = [row for row in rows if (row - current) * direction > 0]
        first, wrapped = (0, rows[0]) if direction > 0 else (-1, rows[-1])
        self.selectRow(ahead[first] if ahead else wrapped)
        self.scrollTo(self.currentIndex())

    def _on_row(self, current: QModelIndex, _: QModelIndex) -> None:
        if current.isValid():
            self.picked.emit(self.events.row(current.row()))
