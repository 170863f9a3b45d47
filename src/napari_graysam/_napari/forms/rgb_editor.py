"""An editor for how gray becomes the model's colours: mode, three chains or a colormap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QLinearGradient, QPainter, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QSizePolicy,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_graysam._napari.forms.fields import guard_wheel
from napari_graysam._napari.forms.steps import StepsEditor
from napari_graysam._napari.forms.wording import tooltip
from napari_graysam.preprocess import Channels, Colormap, Replicate, Rgb
from napari_graysam.recipe import Recipe
from napari_graysam.recipe.reference import description_of, parts_in, title_of

CHAINS = ("red", "green", "blue")
ICON = QSize(64, 12)
STOPS = 16
"""Colours sampled from a colormap for its icon."""


class RgbEditor(QWidget):
    """Edits the recipe's ``rgb``; what was set in a mode comes back with the mode.

    Attributes
    ----------
    rgb_changed
        Emitted with the new part after each edit; not when `rgb` is assigned.
    """

    rgb_changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rgb: Rgb = Replicate()
        self._kinds: tuple[type[Any], ...] = parts_in(get_args(Rgb)[0])
        self._kept: dict[type[Any], Rgb] = {}
        self.mode = QComboBox()
        for row, kind in enumerate(self._kinds):
            self.mode.addItem(title_of(kind))
            self.mode.setItemData(row, f"<qt>{description_of(kind)}</qt>", _TOOLTIP)
        self.about = QLabel(wordWrap=True)
        self.tabs = QTabWidget()
        self.chains = {name: self._add_chain(name) for name in CHAINS}
        self.colormap = QComboBox()
        self.colormap.setIconSize(ICON)
        self.colormap.setToolTip(tooltip(Colormap, "name"))
        self._lay_out()
        self._fit_tabs()
        self.tabs.currentChanged.connect(self._fit_tabs)
        for box in (self.mode, self.colormap):
            guard_wheel(box)
        self.mode.activated.connect(self._choose_mode)
        self.colormap.textActivated.connect(lambda name: self._edit(Colormap(name=name)))
        self._refresh()

    @property
    def rgb(self) -> Rgb:
        """The part; assigning another one shows it and emits nothing."""
        return self._rgb

    @rgb.setter
    def rgb(self, rgb: Rgb) -> None:
        if rgb != self._rgb:
            self._rgb = rgb
            self._refresh()

    def _add_chain(self, name: str) -> StepsEditor:
        editor = StepsEditor("No steps: the preprocessed image.")
        editor.layout().setContentsMargins(4, 4, 4, 4)
        editor.steps_changed.connect(lambda steps: self._edit(self._rgb.replace(**{name: steps})))
        index = self.tabs.addTab(editor, Channels.model_fields[name].title)
        self.tabs.setTabToolTip(index, tooltip(Channels, name))
        return editor

    def _lay_out(self) -> None:
        field = Recipe.model_fields["rgb"]
        self.mode.setToolTip(f"<qt>{field.description}</qt>")
        self._form = QFormLayout()
        self._form.addRow(field.title, self.mode)
        self._form.addRow(Colormap.model_fields["name"].title, self.colormap)
        column = QVBoxLayout(self, spacing=4)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._form)
        column.addWidget(self.about)
        column.addWidget(self.tabs)

    def _fit_tabs(self) -> None:
        """Let the shown tab alone decide the height."""
        for index in range(self.tabs.count()):
            shown = index == self.tabs.currentIndex()
            policy = QSizePolicy.Policy.Preferred if shown else QSizePolicy.Policy.Ignored
            self.tabs.widget(index).setSizePolicy(QSizePolicy.Policy.Preferred, policy)
        self.tabs.updateGeometry()

    def _choose_mode(self, row: int) -> None:
        kind = self._kinds[row]
        if kind is not type(self._rgb):
            self._edit(self._kept.get(kind, kind()))

    def _edit(self, rgb: Rgb) -> None:
        self._rgb = rgb
        self._refresh()
        self.rgb_changed.emit(rgb)

    def _refresh(self) -> None:
        rgb = self._rgb
        self._kept[type(rgb)] = rgb
        self.mode.setCurrentIndex(self._kinds.index(type(rgb)))
        self.about.setText(description_of(type(rgb)))
        self.tabs.setVisible(isinstance(rgb, Channels))
        self._form.setRowVisible(self.colormap, isinstance(rgb, Colormap))
        if isinstance(rgb, Channels):
            for number, name in enumerate(CHAINS):
                steps = getattr(rgb, name)
                self.chains[name].steps = steps
                count = f" ({len(steps)})" if steps else ""
                self.tabs.setTabText(number, f"{Channels.model_fields[name].title}{count}")
        if isinstance(rgb, Colormap):
            self._fill_colormaps()
            self.colormap.setCurrentText(rgb.name)

    def _fill_colormaps(self) -> None:
        """List matplotlib's colormaps when one is first wanted; its import takes a while."""
        if self.colormap.count():
            return
        import matplotlib

        for name, colormap in matplotlib.colormaps.items():
            colours = [colormap(stop / (STOPS - 1)) for stop in range(STOPS)]
            self.colormap.addItem(_icon(colours), name)


_TOOLTIP = Qt.ItemDataRole.ToolTipRole


def _icon(colours: Iterable[tuple[float, float, float, float]]) -> QIcon:
    """Draw a colormap from left to right."""
    pixmap = QPixmap(ICON)
    gradient = QLinearGradient(0, 0, ICON.width(), 0)
    for stop, (red, green, blue, _) in enumerate(colours):
        gradient.setColorAt(stop / (STOPS - 1), QColor.fromRgbF(red, green, blue))
    painter = QPainter(pixmap)
    painter.fillRect(pixmap.rect(), gradient)
    painter.end()
    return QIcon(pixmap)
