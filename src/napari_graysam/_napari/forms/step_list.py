"""The list of steps: rows to check, drag and move by keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QMenu, QWidget

from napari_graysam._napari.forms.wording import choice_text
from napari_graysam.preprocess import STEPS, BaseStep
from napari_graysam.recipe.reference import description_of, extra, title_of

LEAST_ROWS, MOST_ROWS = 2, 7
"""Rows between which the list grows with its content."""
ROW_HEIGHT = 24
MOST_VALUES = 3
"""Values of a step that its row shows."""


def module_of(step: type[BaseStep]) -> str:
    """Name of the group of steps that one belongs to."""
    return step.__module__.rpartition(".")[2].capitalize()


def fill_menu(menu: QMenu, add: Callable[[BaseStep], None]) -> None:
    """Offer every step, grouped by module; a group of one has no submenu.

    Parameters
    ----------
    menu
        What to fill.
    add
        Called with a new step that has its default parameters.
    """
    menu.setToolTipsVisible(True)
    groups: dict[str, list[type[BaseStep]]] = {}
    for step in STEPS.values():
        groups.setdefault(module_of(step), []).append(step)
    for name, steps in groups.items():
        target = menu.addMenu(name) if len(steps) > 1 else menu
        target.setToolTipsVisible(True)
        for step in steps:
            action = target.addAction(title_of(step))
            action.setToolTip(f"<qt>{description_of(step)}</qt>")
            action.triggered.connect(lambda _=False, step=step: add(step()))


def summary(step: BaseStep) -> str:
    """Return a step's name and values on one line: "Gaussian · sigma 1.5 px"."""
    names = [name for name in type(step).model_fields if name not in _COMMON]
    values = [_value_text(step, name) for name in names[:MOST_VALUES]]
    values += ["…"] if len(names) > MOST_VALUES else []
    return " · ".join([title_of(type(step)), *([", ".join(values)] if values else [])])


_COMMON = ("kind", *BaseStep.model_fields)


def _value_text(step: BaseStep, name: str) -> str:
    field, value = type(step).model_fields[name], getattr(step, name)
    if isinstance(value, str):
        return choice_text(value)
    title = (field.title or name)[:1].lower() + (field.title or name)[1:]
    unit = extra(field, "unit")
    if isinstance(value, bool):
        return f"{title} {'on' if value else 'off'}"
    return f"{title} {value:g} {unit or ''}".rstrip()


class StepList(QListWidget):
    """Steps as rows, first applied first.

    It only shows and asks: whoever owns the steps listens to its signals.
    """

    toggled = Signal(int, bool)
    """A row's check box was set."""
    reordered = Signal(list)
    """Rows were dragged: the former row of each row."""
    move_asked = Signal(int)
    """The current row should move up (-1) or down (1)."""
    remove_asked = Signal()
    """The current row should go."""

    def __init__(self, empty_text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._empty_text = empty_text
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformItemSizes(True)
        self.setAccessibleName("Steps")
        self.itemChanged.connect(self._check)
        self.model().rowsMoved.connect(self._report_order)

    def show_steps(self, steps: tuple[BaseStep, ...], current: int) -> None:
        """Show other steps, with one of them as the current row."""
        self.blockSignals(True)
        while self.count() > len(steps):
            self.takeItem(self.count() - 1)
        while self.count() < len(steps):
            item = QListWidgetItem(self)
            item.setSizeHint(QSize(0, ROW_HEIGHT))
            item.setFlags(
                Qt.ItemFlag.ItemIsEnabled
                | Qt.ItemFlag.ItemIsSelectable
                | Qt.ItemFlag.ItemIsUserCheckable
                | Qt.ItemFlag.ItemIsDragEnabled
            )
        for row, (item, step) in enumerate(zip(self._items(), steps, strict=True)):
            item.setText(summary(step))
            state = Qt.CheckState.Checked if step.enabled else Qt.CheckState.Unchecked
            item.setCheckState(state)
            item.setData(Qt.ItemDataRole.UserRole, row)
            what = "On: applied" if step.enabled else "Off: skipped"
            item.setToolTip(f"<qt><b>{what}.</b> {description_of(type(step))}</qt>")
        self.setCurrentRow(current)
        self.blockSignals(False)
        rows = min(max(len(steps), LEAST_ROWS), MOST_ROWS)
        self.setFixedHeight(rows * ROW_HEIGHT + 2 * self.frameWidth() + 4)
        self.viewport().update()

    def event(self, event: QEvent) -> bool:
        """Keep the list's own keys from the window's shortcuts."""
        if event.type() == QEvent.Type.ShortcutOverride and self._action(event) is not None:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move with Alt+Up and Alt+Down, remove with Delete."""
        action = self._action(event)
        if action is None:
            super().keyPressEvent(event)
        else:
            action()

    def _action(self, event: Any) -> Callable[[], None] | None:
        key, alt = event.key(), event.modifiers() & Qt.KeyboardModifier.AltModifier
        if alt and key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            return lambda: self.move_asked.emit(-1 if key == Qt.Key.Key_Up else 1)
        if key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            return self.remove_asked.emit
        return None

    def paintEvent(self, event: QPaintEvent) -> None:
        """Say what an empty list means."""
        super().paintEvent(event)
        if not self.count():
            painter = QPainter(self.viewport())
            painter.setOpacity(0.6)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.viewport().rect().adjusted(8, 0, -8, 0), flags, self._empty_text)
            painter.end()

    def _items(self) -> Iterator[QListWidgetItem]:
        return (self.item(row) for row in range(self.count()))

    def _check(self, item: QListWidgetItem) -> None:
        self.toggled.emit(self.row(item), item.checkState() == Qt.CheckState.Checked)

    def _report_order(self) -> None:
        order = [item.data(Qt.ItemDataRole.UserRole) for item in self._items()]
        if order != sorted(order):
            self.reordered.emit(order)
