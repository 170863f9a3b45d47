"""Where this plugin's docks sit in napari's window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_graysam._napari.panel.state import PanelState

_OURS = "graysam"
"""Part of the names of this plugin's docks."""


def join_soon(widget: QWidget) -> None:
    """Do as `join_tabs` as soon as napari has put a new widget into a dock."""
    timer = QTimer(widget, singleShot=True, interval=0)
    timer.timeout.connect(lambda: join_tabs(widget))
    timer.start()


def join_tabs(widget: QWidget) -> None:
    """Put a docked widget behind a tab beside this plugin's other docks in the same area.

    All are tall: one above the other, none would have room enough.
    """
    dock = widget.parentWidget()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    window = None if dock is None else dock.parentWidget()
    if dock is None or not isinstance(window, QMainWindow):
        return
    area = window.dockWidgetArea(dock)
    for other in window.findChildren(QDockWidget):
        ours = _OURS in other.objectName().lower() and other is not dock and other.isVisible()
        if ours and not other.isFloating() and window.dockWidgetArea(other) == area:
            window.tabifyDockWidget(other, dock)
            dock.raise_()
            return


def panel_state(viewer: Viewer) -> PanelState | None:
    """Return the state of a viewer's panel; None while there is none."""
    from napari_graysam._napari.panel.widget import SegmentPanel

    window: Any = viewer.window
    panels = (one for one in window.dock_widgets.values() if isinstance(one, SegmentPanel))
    panel = next(panels, None)
    return None if panel is None else panel.state
