"""An editor for a chain of preprocessing steps: the list, its buttons, the step's parameters."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_graysam._napari.forms.form import PartForm
from napari_graysam._napari.forms.step_list import StepList, fill_menu
from napari_graysam.preprocess import BaseStep
from napari_graysam.recipe.reference import description_of


class StepsEditor(QWidget):
    """Adds, removes, orders, switches and tunes steps.

    Parameters
    ----------
    empty_text
        What a chain without steps means.

    Attributes
    ----------
    steps_changed
        Emitted with the new tuple of steps after each edit; not when `steps` is assigned.
    """

    steps_changed = Signal(object)

    def __init__(self, empty_text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._steps: tuple[BaseStep, ...] = ()
        self._form: PartForm | None = None
        self.list = StepList(empty_text)
        self.menu = QMenu(self)
        fill_menu(self.menu, self.add)
        self.add_button = QPushButton("Add step", toolTip="Add a step at the end of the list.")
        self.add_button.setMenu(self.menu)
        self.remove_button = QPushButton("Remove", toolTip="Remove the selected step (Delete).")
        self.up_button = QPushButton(
            "Up", toolTip="Apply the selected step earlier (Alt+Up, or drag it)."
        )
        self.down_button = QPushButton(
            "Down", toolTip="Apply the selected step later (Alt+Down, or drag it)."
        )
        self.about = QLabel(wordWrap=True)
        self._lay_out()
        self._connect()
        self._refresh(-1)

    @property
    def steps(self) -> tuple[BaseStep, ...]:
        """The chain; assigning another one shows it and emits nothing."""
        return self._steps

    @steps.setter
    def steps(self, steps: Sequence[BaseStep]) -> None:
        if tuple(steps) != self._steps:
            self._steps = tuple(steps)
            self._refresh(self.list.currentRow())

    @property
    def form(self) -> PartForm | None:
        """The selected step's parameters; None where no step is selected."""
        return self._form

    @property
    def current(self) -> int:
        """Row of the selected step; -1 for none. Assigning selects another one."""
        return self.list.currentRow()

    @current.setter
    def current(self, row: int) -> None:
        self.list.setCurrentRow(row)

    def add(self, step: BaseStep) -> None:
        """Append a step and select it."""
        self._edit((*self._steps, step), len(self._steps))
        self.list.setFocus()

    def remove(self) -> None:
        """Remove the selected step and select the one that takes its place."""
        row = self.current
        if row >= 0:
            self._edit(self._steps[:row] + self._steps[row + 1 :], row)

    def move(self, by: int) -> None:
        """Move the selected step by rows; nothing at the ends."""
        row, steps = self.current, list(self._steps)
        if row >= 0 and 0 <= row + by < len(steps):
            steps.insert(row + by, steps.pop(row))
            self._edit(tuple(steps), row + by)

    def _lay_out(self) -> None:
        self._buttons = QHBoxLayout(spacing=4)
        for button in (self.add_button, self.remove_button, self.up_button, self.down_button):
            self._buttons.addWidget(button)
        self._column = QVBoxLayout(self, spacing=4)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.list)
        self._column.addLayout(self._buttons)
        self._column.addWidget(self.about)

    def _connect(self) -> None:
        self.remove_button.clicked.connect(self.remove)
        self.up_button.clicked.connect(lambda: self.move(-1))
        self.down_button.clicked.connect(lambda: self.move(1))
        self.list.remove_asked.connect(self.remove)
        self.list.move_asked.connect(self.move)
        self.list.toggled.connect(self._switch)
        self.list.reordered.connect(self._reorder)
        self.list.currentRowChanged.connect(self._show_form)

    def _edit(self, steps: tuple[BaseStep, ...], current: int) -> None:
        self._steps = steps
        self._refresh(current)
        self.steps_changed.emit(steps)

    def _replace(self, row: int, step: BaseStep) -> None:
        self._edit((*self._steps[:row], step, *self._steps[row + 1 :]), self.current)

    def _switch(self, row: int, enabled: bool) -> None:
        self._replace(row, self._steps[row].replace(enabled=enabled))

    def _reorder(self, order: list[int]) -> None:
        self._edit(tuple(self._steps[row] for row in order), self.current)

    def _refresh(self, current: int) -> None:
        """Show the steps, with the row nearest to the wanted one selected."""
        current = min(current, len(self._steps) - 1)
        if current < 0 and self._steps:
            current = 0
        self.list.show_steps(self._steps, current)
        self._show_form(current)

    def _show_form(self, row: int) -> None:
        """Show the parameters of a row, in the same form where the kind is the same."""
        step = self._steps[row] if 0 <= row < len(self._steps) else None
        self.remove_button.setEnabled(step is not None)
        self.up_button.setEnabled(row > 0)
        self.down_button.setEnabled(step is not None and row < len(self._steps) - 1)
        self.about.setVisible(step is not None)
        self.about.setText("" if step is None else description_of(type(step)))
        if self._form is not None and type(self._form.part) is type(step):
            if self._form.part != step:
                self._form.part = step
            return
        self._drop_form()
        if step is not None:
            self._form = PartForm(step, exclude=("enabled",))
            self._form.part_changed.connect(self._tune)
            self._form.native.setVisible(bool(self._form.fields))
            policy = self._form.native.sizePolicy()
            policy.setVerticalPolicy(QSizePolicy.Policy.Fixed)
            self._form.native.setSizePolicy(policy)
            self._column.addWidget(self._form.native)

    def _drop_form(self) -> None:
        if self._form is not None:
            self._form.part_changed.disconnect()
            self._column.removeWidget(self._form.native)
            self._form.native.hide()
            self._form.native.deleteLater()
            self._form = None

    def _tune(self, step: BaseStep) -> None:
        self._replace(self.current, step)
