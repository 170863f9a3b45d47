"""The changes of a comparison as Qt's views show them: sorted, and of some classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_graysam._napari.compare.columns import COLUMNS
from napari_graysam._napari.compare.counts import swatch
from napari_graysam.comparison import ARMS, CHANGES, Arm, Change, Comparison, event_table

if TYPE_CHECKING:
    import pandas as pd

_NONE = QModelIndex()
_PLACES = {change: place for place, change in enumerate(CHANGES)}
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
        self._events: dict[Arm, dict[int, int]] = {}
        self._rows = np.zeros(0, np.int64)
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
        self._events = {} if comparison is None else _events(comparison)
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
            self._order, self._rows = [], np.zeros(0, np.int64)
            return
        table = self._table
        if self._shown:
            table = table[table["change"].isin(self._shown)]
        column, direction = self._sorting
        keys: dict[str, Callable[[pd.Series], pd.Series]] = {
            "change": lambda values: values.map(_PLACES),
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
        self._rows = np.full(len(self._table), -1)
        self._rows[self._order] = np.arange(len(self._order))

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what is selected stays selected."""
        self.layoutAboutToBeChanged.emit()
        before, kept = self._order, self.persistentIndexList()
        self._sorting = (column, order)
        self._arrange()
        moved = [self.index(int(self._rows[before[one.row()]]), one.column()) for one in kept]
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
        event = self._events.get(arm, {}).get(label)
        row = -1 if event is None else int(self._rows[event])
        return None if row < 0 else row

    def changed_rows(self) -> list[int]:
        """Return the rows of all changes that are not kept, from top to bottom."""
        changes = self._cells.get("change", [])
        return [row for row, at in enumerate(self._order) if changes[at] != "kept"]


def _events(comparison: Comparison) -> dict[Arm, dict[int, int]]:
    """Return the place of each object's event, by its label."""
    objects = comparison.objects
    by_arm = {arm: objects[objects["arm"] == arm] for arm in ARMS}
    return {
        arm: dict(zip(one["index"].tolist(), (one["event"] - 1).tolist(), strict=True))
        for arm, one in by_arm.items()
    }
