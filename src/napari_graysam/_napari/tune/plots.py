"""Score against each parameter, in the colours of napari's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_graysam._napari.forms.folds import Column
from napari_graysam._napari.tune.words import score_name

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_graysam._napari.tune.compute import Found

_COLUMNS = 2
_ROW_HEIGHT = 260
"""Pixels of the screen for a row of plots."""


class ScorePlots(QWidget):
    """The plots of a search; nothing is drawn before it is looked at.

    Parameters
    ----------
    viewer
        Whose theme is followed.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._found: Found | None = None
        self._stale = False
        self.canvas: Any = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)

    def show_found(self, found: Found | None) -> None:
        """Draw what was found, or nothing."""
        self._found = found
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Draw again, now or as soon as the plots are in sight."""
        self._stale = True
        if self.isVisible():
            self._draw()

    def showEvent(self, event: QShowEvent) -> None:
        """Draw what has changed out of sight."""
        super().showEvent(event)
        if self._stale:
            self._draw()

    def _draw(self) -> None:
        from napari.utils.theme import get_theme

        from napari_graysam.tune.report import PlotColors, draw_scores

        if self.canvas is None:
            if self._found is None:
                return
            self._build()
        figure, found = self.canvas.figure, self._found
        theme = get_theme(self._viewer.theme)
        colors = PlotColors(theme.text.as_hex("long"), theme.background.as_hex("long"))
        if found is None:
            figure.clear()
        else:
            rows = -(-len(found.tuning.grid) // _COLUMNS)
            self.canvas.setMinimumHeight(rows * _ROW_HEIGHT)
            draw_scores(
                figure, found.tuning, columns=_COLUMNS, score_name=score_name(found), colors=colors
            )
        self.canvas.draw_idle()
        self._stale = False

    def _build(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self.canvas = FigureCanvasQTAgg(Figure(layout="constrained"))
        self.layout().addWidget(Column(self.canvas))
