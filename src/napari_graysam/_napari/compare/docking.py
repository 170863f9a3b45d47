"""Where the dock sits in napari's window."""

from __future__ import annotations

from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_graysam._napari.compare.pairing import OURS


def join_tabs(widget: QWidget) -> None:
    """Put a docked widget behind a tab beside this plugin's other docks in the same area.

    Both are tall: one above the other, neither would have room enough.
    """
    dock = widget.parentWidget()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    window = None if dock is None else dock.parentWidget()
    if dock is None or not isinstance(window, QMainWindow):
        return
    area = window.dockWidgetArea(dock)
    for other in window.findChildren(QDockWidget):
        ours = OURS in other.objectName() and other is not dock and other.isVisible()
        if ours and not other.isFloating() and window.dockWidgetArea(other) == area:
            window.tabifyDockWidget(other, dock)
            dock.raise_()
            return
