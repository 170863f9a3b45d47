"""The section Filters: ranges of any column of the object table."""

from __future__ import annotations

import math
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, get_args

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QDoubleRangeSlider

from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.recipe import ColumnFilter, LabelOptions, for_image
from napari_graysam.recipe.filters import Column

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.recipe import Recipe
    from napari_graysam.select.selector import Selector

COLUMNS: tuple[Column, ...] = get_args(Column)
Ranges = dict[str, tuple[float, float]]
_DIGITS = 3
"""Of the width of a range, to which a slider moves."""


class FilterRow(QWidget):
    """One filter: its column, a slider with two handles, its limits in numbers, and an end.

    Parameters
    ----------
    column
        What is filtered.

    Attributes
    ----------
    moved
        Emitted with the `ColumnFilter` when the user moves a handle.
    removed
        Emitted when the user ends the filter.
    """

    moved = Signal(object)
    removed = Signal()

    def __init__(self, column: Column) -> None:
        super().__init__()
        self.column = column
        self._range = (0.0, 1.0)
        self.name = QLabel(column.replace("_", " "))
        self.limits = QLabel()
        self.limits.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.slider = QDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.slider.setToolTip("Objects outside the range are removed; an end sets no limit.")
        self.end = QPushButton("✕", toolTip="Remove this filter")
        self.end.setFixedWidth(24)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 2)
        layout.setSpacing(2)
        layout.addWidget(self.name, 0, 0)
        layout.addWidget(self.limits, 0, 1)
        layout.addWidget(self.end, 0, 2)
        layout.addWidget(self.slider, 1, 0, 1, 3)
        self.slider.valueChanged.connect(self._on_moved)
        self.end.clicked.connect(self.removed)

    def show_filter(self, wanted: ColumnFilter, known: tuple[float, float] | None) -> None:
        """Show a filter, on a slider from the smallest to the largest value of the objects."""
        limits = [one for one in (wanted.minimum, wanted.maximum) if one is not None]
        ends = [*(known or ()), *limits] or [0.0, 1.0]
        low, high = min(ends), max(ends)
        step = _step(high - low)
        self._range = low, high = math.floor(low / step) * step, math.ceil(high / step) * step
        self.slider.blockSignals(True)
        self.slider.setRange(low, high)
        self.slider.setSingleStep(step)
        self.slider.setValue(
            (
                low if wanted.minimum is None else wanted.minimum,
                high if wanted.maximum is None else wanted.maximum,
            )
        )
        self.slider.blockSignals(False)
        self.slider.setEnabled(high > low and bool(known or limits))
        self.limits.setText(_words(wanted))

    def _on_moved(self, values: tuple[float, float]) -> None:
        low, high = self._range
        step = _step(high - low)
        minimum, maximum = (round(round(value / step) * step, 9) for value in values)
        wanted = ColumnFilter(
            column=self.column,
            minimum=None if values[0] <= low else minimum,
            maximum=None if values[1] >= high else maximum,
        )
        self.limits.setText(_words(wanted))
        self.moved.emit(wanted)


def _step(width: float) -> float:
    """Return the power of ten that divides a range finely."""
    return 10.0 ** (math.floor(math.log10(width)) - _DIGITS + 1) if width > 0 else 0.001


def _words(wanted: ColumnFilter) -> str:
    low, high = wanted.minimum, wanted.maximum
    if low is None:
        return "all" if high is None else f"up to {high:,.10g}"
    return f"from {low:,.10g}" if high is None else f"{low:,.10g} to {high:,.10g}"


class FiltersSection(QWidget):
    """Edits ``recipe.labels.filters``; every move of a slider shows at once after a run.

    Parameters
    ----------
    state
        Whose recipe is shown and changed.

    Attributes
    ----------
    rows
        The filters shown, in the recipe's order.
    fields
        Widget of the recipe's parameter, by its dotted path.
    """

    title = "Filters"

    def __init__(self, state: PanelState) -> None:
        super().__init__()
        self._state = state
        self._ranges: Ranges = {}
        self._worker = LatestRequest(self._receive)
        self.rows: list[FilterRow] = []
        self.about = QLabel(LabelOptions.model_fields["filters"].description, wordWrap=True)
        self.about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.add = QPushButton("Add filter", toolTip="Choose the column to filter by.")
        self.fields = {"labels.filters": self.add}
        menu = QMenu(self.add)
        self.actions_by_column = {
            column: menu.addAction(column.replace("_", " "), partial(self._add, column))
            for column in COLUMNS
        }
        self.add.setMenu(menu)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(4, 2, 4, 2)
        self._column.setSpacing(2)
        self._column.addWidget(self.about)
        self._column.addWidget(self.add)
        state.recipe_changed.connect(self._on_recipe)
        state.result_changed.connect(self._measure)
        self._follow()

    @property
    def native(self) -> QWidget:
        """The section itself."""
        return self

    @property
    def _filters(self) -> tuple[ColumnFilter, ...]:
        return self._state.recipe.labels.filters

    def _on_recipe(self, recipe: Recipe, stage: object) -> None:
        self._follow()

    def _follow(self) -> None:
        """Show the recipe's filters; rows stay while a handle is held."""
        filters = self._filters
        columns = [one.column for one in filters]
        if columns != [row.column for row in self.rows]:
            self._rebuild(columns)
            self._measure()
        for row, one in zip(self.rows, filters, strict=True):
            if not row.slider.isSliderDown():
                row.show_filter(one, self._ranges.get(one.column))
        self.about.setVisible(not filters)

    def _rebuild(self, columns: list[Column]) -> None:
        for row in self.rows:
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        self.rows = [FilterRow(column) for column in columns]
        for place, row in enumerate(self.rows):
            self._column.insertWidget(1 + place, row)
            row.moved.connect(partial(self._set, place))
            row.removed.connect(partial(self._set, place, None))

    def _add(self, column: Column) -> None:
        self._store([*self._filters, ColumnFilter(column=column)])

    def _set(self, place: int, wanted: ColumnFilter | None) -> None:
        """Change a filter, or end it."""
        filters = list(self._filters)
        filters[place : place + 1] = [] if wanted is None else [wanted]
        self._store(filters)

    def _store(self, filters: list[ColumnFilter]) -> None:
        recipe = self._state.recipe
        labels = recipe.labels.replace(filters=tuple(filters))
        self._state.recipe = recipe.replace(labels=labels)

    def _measure(self, arm: str = "") -> None:
        """Ask for the ranges of the filtered columns among the objects of both arms."""
        columns = tuple(dict.fromkeys(one.column for one in self._filters))
        selectors = tuple(self._state.selectors.values())
        if columns and selectors:
            self._worker.submit(partial(_ranges, selectors, self._state.recipe, columns))

    def _receive(self, ranges: Ranges) -> None:
        if ranges != self._ranges:
            self._ranges = ranges
            self._follow()

    def shut(self) -> None:
        """Listen no more."""
        self._worker.cancel()
        self._state.recipe_changed.disconnect(self._on_recipe, missing_ok=True)
        self._state.result_changed.disconnect(self._measure, missing_ok=True)


def _ranges(
    selectors: tuple[Selector, ...], recipe: Recipe, columns: tuple[str, ...]
) -> Generator[Ranges, None, None]:
    """Find the values between which each column lies in all arms."""
    ranges: Ranges = {}
    for column in columns:
        sized = [for_image(recipe, one.proposals.image_size) for one in selectors]
        found = [
            one.column_range(column, by.generator, by.labels)
            for one, by in zip(selectors, sized, strict=True)
        ]
        known = [ends for ends in found if ends is not None]
        if known:
            lows, highs = zip(*known, strict=True)
            ranges[column] = min(lows), max(highs)
    yield ranges
