"""The plots, in the colours of napari's theme."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_graysam._napari.forms.folds import Column
from napari_graysam.comparison import Arm, Comparison

if TYPE_CHECKING:
    from napari.viewer import Viewer

_ARM_COLORS: dict[str, dict[Arm, str]] = {
    "dark": {"raw": "#E69F00", "preprocessed": "#56B4E9"},
    "light": {"raw": "#B26B00", "preprocessed": "#0072B2"},
}
_HEIGHT = 380
"""Least height of the three plots in pixels of the screen."""
_RATIOS = (3, 3, 4)
"""Of their heights: the last one has names along both axes."""


class Plots(QWidget):
    """Areas, IoU of pairs and scores; nothing is drawn before it is looked at.

    Parameters
    ----------
    viewer
        Whose theme is followed.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._shown: tuple[Comparison, Mapping[Arm, str]] | None = None
        self._stale = True
        self.canvas: Any = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)

    def show_comparison(self, comparison: Comparison | None, names: Mapping[Arm, str]) -> None:
        """Draw another comparison, or nothing; ``names`` are what the arms are called."""
        self._shown = None if comparison is None else (comparison, names)
        self.refresh()

    def refresh(self) -> None:
        """Draw again, now or as soon as the plots are in sight."""
        self._stale = True
        if self.isVisible():
            self._draw()

    def showEvent(self, event: QShowEvent) -> None:
        """Draw what has changed out of sight."""
        super().showEvent(event)
        if self._stale:
            self._draw()

    def _build(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self.canvas = FigureCanvasQTAgg(Figure(layout="constrained"))
        self.canvas.setMinimumHeight(_HEIGHT)
        self.canvas.figure.subplots(3, 1, height_ratios=_RATIOS)
        self.layout().addWidget(Column(self.canvas))

    def _draw(self) -> None:
        from napari.utils.theme import get_theme

        from napari_graysam.comparison import PlotStyle, draw_areas, draw_ious, draw_scores

        if self.canvas is None:
            self._build()
        theme = get_theme(self._viewer.theme)
        text, background = (color.as_hex("long") for color in (theme.text, theme.background))
        figure = self.canvas.figure
        figure.set_facecolor(background)
        for axis, draw in zip(figure.axes, (draw_areas, draw_ious, draw_scores), strict=True):
            axis.set_visible(self._shown is not None)
            if self._shown is not None:
                comparison, names = self._shown
                arms = _ARM_COLORS[theme.type]
                draw(axis, comparison, PlotStyle(text, background, arms, dict(names)))
        self.canvas.draw_idle()
        self._stale = False
