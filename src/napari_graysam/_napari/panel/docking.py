"""Where this plugin's docks sit in napari's window."""

from __future__ import annotations

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

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
