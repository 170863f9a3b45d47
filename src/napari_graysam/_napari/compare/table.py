"""The table of objects of both layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_graysam._napari.compare.counts import swatch
from napari_graysam.comparison import ARMS, CHANGES, Arm, Change, Comparison

if TYPE_CHECKING:
    import pandas as pd

_NONE = QModelIndex()
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)


def _number(pattern: str) -> Callable[[Any], str]:
    return lambda value: "" if np.isnan(value) else pattern.format(value).replace("-", "−")


class _Column(NamedTuple):
    """A column: its header, the comparison's column, what it means and how it is written."""

    header: str
    name: str
    tip: str
    write: Callable[[Any], str] = str
    right: bool = True


_COLUMNS = (
    _Column("Change", "change", "What became of the object", right=False),
    _Column("Layer", "arm", "The layer the object is in", right=False),
    _Column("Label", "index", "The object's label"),
    _Column("IoU", "iou", "Overlap with its best partner (IoU)", _number("{:.2f}")),
    _Column("Area", "area", "Area in pixels", "{:,}".format),
    _Column("Partners", "partners", "Labels of the same object in the other layer"),
    _Column(
        "Δ area",
        "delta_area",
        "Area in the second layer minus that in the first, in pixels",
        _number("{:+,.0f}"),
    ),
    _Column("Score", "predicted_iou", "Predicted IoU", _number("{:.2f}")),
    _Column(
        "Δ score",
        "delta_predicted_iou",
        "Predicted IoU in the second layer minus that in the first",
        _number("{:+.2f}"),
    ),
    _Column(
        "Δ stability",
        "delta_stability",
        "Stability score in the second layer minus that in the first",
        _number("{:+.2f}"),
    ),
)


@dataclass(frozen=True)
class ObjectRow:
    """One object of one layer, and its partners in the other."""

    arm: Arm
    label: int
    change: Change
    event: int
    partners: tuple[int, ...]


class ObjectModel(QAbstractTableModel):
    """The objects of a comparison, in any order and of some classes or all."""

    def __init__(self) -> None:
        super().__init__()
        self._cells: dict[str, list[Any]] = {column.name: [] for column in _COLUMNS}
        self._events: list[int] = []
        self._table: pd.DataFrame | None = None
        self._order: list[int] = []
        self._rows: dict[tuple[Arm, int], int] = {}
        self._names: Mapping[Arm, str] = {arm: arm for arm in ARMS}
        self._sorting = (0, Qt.SortOrder.DescendingOrder)
        self._shown: frozenset[Change] = frozenset()
        self._swatches = {change: swatch(change) for change in CHANGES}

    def show_comparison(self, comparison: Comparison | None, names: Mapping[Arm, str]) -> None:
        """Show another comparison, or nothing; ``names`` are what the arms are called."""
        self.beginResetModel()
        self._names = names
        self._table = None if comparison is None else comparison.objects
        for column in _COLUMNS:
            self._cells[column.name] = (
                [] if self._table is None else self._table[column.name].tolist()
            )
        self._events = [] if self._table is None else self._table["event"].tolist()
        self._arrange()
        self.endResetModel()

    def show_changes(self, changes: frozenset[Change]) -> None:
        """Show only objects of some classes; all for an empty set."""
        self.beginResetModel()
        self._shown = changes
        self._arrange()
        self.endResetModel()

    def _arrange(self) -> None:
        """Bring the objects in order and find each one's row."""
        if self._table is None:
            self._order, self._rows = [], {}
            return
        table = self._table
        if self._shown:
            table = table[table["change"].isin(self._shown)]
        column, direction = self._sorting
        keys: dict[str, Callable[[pd.Series], pd.Series]] = {
            "change": lambda values: values.map(CHANGES.index),
            "arm": lambda values: values.map(ARMS.index),
        }
        ordered = table.sort_values(
            _COLUMNS[column].name,
            key=keys.get(_COLUMNS[column].name),
            ascending=direction == Qt.SortOrder.AscendingOrder,
            kind="stable",
        )
        self._order = ordered.index.tolist()
        arms, labels = self._cells["arm"], self._cells["index"]
        self._rows = {(arms[at], labels[at]): row for row, at in enumerate(self._order)}

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
        """Return the number of objects shown."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex = _NONE) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(_COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name or the explanation of a column."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = _COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.header
        return column.tip if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text, colour or alignment of a cell."""
        column = _COLUMNS[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if column.right else _LEFT
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.DecorationRole):
            return None
        value = self._cells[column.name][self._order[index.row()]]
        if role == Qt.ItemDataRole.DecorationRole:
            return self._swatches[value] if column.name == "change" else None
        return self._names[value] if column.name == "arm" else column.write(value)

    def row(self, number: int) -> ObjectRow:
        """Return the object in a row."""
        at = self._order[number]
        return ObjectRow(
            arm=self._cells["arm"][at],
            label=int(self._cells["index"][at]),
            change=self._cells["change"][at],
            event=self._events[at],
            partners=tuple(int(label) for label in self._cells["partners"][at].split()),
        )

    def find(self, arm: Arm, label: int) -> int | None:
        """Return the row of an object; None if it is not shown."""
        return self._rows.get((arm, label))

    def first_rows(self) -> list[int]:
        """Return the first row of every event that is not kept, from top to bottom."""
        seen: dict[int, int] = {}
        changes = self._cells["change"]
        for row, at in enumerate(self._order):
            if changes[at] != "kept":
                seen.setdefault(self._events[at], row)
        return list(seen.values())


class ObjectTable(QTableView):
    """The view on `ObjectModel`.

    Attributes
    ----------
    picked
        Emitted with the `ObjectRow` that was selected.
    """

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.objects = ObjectModel()
        self.setModel(self.objects)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setResizeContentsPrecision(50)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        self.selectionModel().currentRowChanged.connect(self._on_row)

    def show_comparison(self, comparison: Comparison | None, names: Mapping[Arm, str]) -> None:
        """Show another comparison; the selected object stays selected if it is still there."""
        before = self.selected
        self.objects.show_comparison(comparison, names)
        self._fit(before)

    def show_changes(self, changes: frozenset[Change]) -> None:
        """Show only some classes; the selected object stays selected if it is shown."""
        before = self.selected
        self.objects.show_changes(changes)
        self._fit(before)

    def _fit(self, before: ObjectRow | None) -> None:
        self.resizeColumnsToContents()
        if before is not None:
            self.select(before.arm, before.label)

    @property
    def selected(self) -> ObjectRow | None:
        """The selected object."""
        current = self.currentIndex()
        return self.objects.row(current.row()) if current.isValid() else None

    def select(self, arm: Arm, label: int) -> bool:
        """Select an object without emitting `picked`; False if it is not shown."""
        row = self.objects.find(arm, label)
        if row is None:
            self.clearSelection()
            return False
        self.blockSignals(True)
        self.selectRow(row)
        self.scrollTo(self.objects.index(row, 0))
        self.blockSignals(False)
        return True

    def step(self, direction: int) -> None:
        """Select the next event that is not kept (1) or the one before (-1), round and round."""
        rows = self.objects.first_rows()
        if not rows:
            return
        current = self.currentIndex().row()
        own = self.selected
        if direction > 0:
            ahead = [row for row in rows if row > current]
        else:
            ahead = [row for row in rows if row < current]
            if own is not None and ahead and self.objects.row(ahead[-1]).event == own.event:
                ahead.pop()
        wrapped = rows[0] if direction > 0 else rows[-1]
        self.selectRow((ahead[0] if direction > 0 else ahead[-1]) if ahead else wrapped)
        self.scrollTo(self.currentIndex())

    def _on_row(self, current: QModelIndex, _: QModelIndex) -> None:
        if current.isValid():
            self.picked.emit(self.objects.row(current.row()))
