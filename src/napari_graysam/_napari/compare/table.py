"""The table of changes between both layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_graysam._napari.compare.columns import COLUMNS, IN_PIXELS
from napari_graysam._napari.compare.counts import swatch
from napari_graysam.comparison import ARMS, CHANGES, Arm, Change, Comparison, event_table

if TYPE_CHECKING:
    import pandas as pd

_NONE = QModelIndex()
_PADDING = 8
"""Pixels around a header's text."""
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)


@dataclass(frozen=True)
class EventRow:
    """One change: its class, its number in the comparison, and the labels of its objects.

    ``regrouped`` says what was merged or split in it, or pinned apart or whole; empty for nothing.
    """

    change: Change
    event: int
    labels: Mapping[Arm, tuple[int, ...]]
    regrouped: str = ""


class EventModel(QAbstractTableModel):
    """The changes of a comparison, in any order and of some classes or all.

    Attributes
    ----------
    physical
        Whether areas are known in µm².
    """

    def __init__(self) -> None:
        super().__init__()
        self._table: pd.DataFrame | None = None
        self._cells: dict[str, list[Any]] = {}
        self._order: list[int] = []
        self._rows: dict[tuple[Arm, int], int] = {}
        self._names: Mapping[Arm, str] = {arm: arm for arm in ARMS}
        self.physical = False
        self._sorting = (0, Qt.SortOrder.DescendingOrder)
        self._shown: frozenset[Change] = frozenset()
        self._swatches = {change: swatch(change) for change in CHANGES}

    def show_comparison(self, comparison: Comparison | None, names: Mapping[Arm, str]) -> None:
        """Show another comparison, or nothing; ``names`` are what the arms are called."""
        self.beginResetModel()
        self._names = names
        self.physical = comparison is not None and comparison.pixel_size is not None
        self._table = None if comparison is None else event_table(comparison)
        table = self._table
        self._cells = {} if table is None else {str(name): table[name].tolist() for name in table}
        self._arrange()
        self.endResetModel()

    def show_changes(self, changes: frozenset[Change]) -> None:
        """Show only some classes; all for an empty set."""
        self.beginResetModel()
        self._shown = changes
        self._arrange()
        self.endResetModel()

    def _arrange(self) -> None:
        """Bring the changes in order and find each object's row."""
        if self._table is None:
            self._order, self._rows = [], {}
            return
        table = self._table
        if self._shown:
            table = table[table["change"].isin(self._shown)]
        column, direction = self._sorting
        keys: dict[str, Callable[[pd.Series], pd.Series]] = {
            "change": lambda values: values.map(CHANGES.index),
            **{arm: lambda values: values.map(lambda labels: (labels or (0,))[0]) for arm in ARMS},
        }
        name = COLUMNS[column].source(self.physical)
        ordered = table.sort_values(
            name,
            key=keys.get(name),
            ascending=direction == Qt.SortOrder.AscendingOrder,
            kind="stable",
        )
        self._order = ordered.index.tolist()
        self._rows = {
            (arm, label): row
            for row, at in enumerate(self._order)
            for arm in ARMS
            for label in self._cells[arm][at]
        }

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what is selected stays selected."""
        self.layoutAboutToBeChanged.emit()
        before, kept = self._order, self.persistentIndexList()
        self._sorting = (column, order)
        self._arrange()
        place = {at: row for row, at in enumerate(self._order)}
        moved = [self.index(place[before[one.row()]], one.column()) for one in kept]
        self.changePersistentIndexList(kept, moved)
        self.layoutChanged.emit()

    def rowCount(self, parent: QModelIndex = _NONE) -> int:
        """Return the number of changes shown."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex = _NONE) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name or the explanation of a column."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title(self._names, self.physical)
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.explanation(self.physical)
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text, colour or alignment of a cell."""
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if column.right else _LEFT
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.DecorationRole):
            return None
        value = self._cells[column.source(self.physical)][self._order[index.row()]]
        if role == Qt.ItemDataRole.DecorationRole:
            return self._swatches[value] if column.name == "change" else None
        return column.write(value)

    def row(self, number: int) -> EventRow:
        """Return the change in a row."""
        at = self._order[number]
        return EventRow(
            change=self._cells["change"][at],
            event=self._cells["event"][at],
            labels={arm: self._cells[arm][at] for arm in ARMS},
            regrouped=self._cells["regrouped"][at],
        )

    def find(self, arm: Arm, label: int) -> int | None:
        """Return the row of an object's change; None if it is not shown."""
        return self._rows.get((arm, label))

    def changed_rows(self) -> list[int]:
        """Return the rows of all changes that are not kept, from top to bottom."""
        changes = self._cells.get("change", [])
        return [row for row, at in enumerate(self._order) if changes[at] != "kept"]


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
