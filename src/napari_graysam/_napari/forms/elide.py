"""Combo boxes that show both ends of a long name."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter

_MARGIN = 4
"""Pixels beside the text."""


def elide(box: QComboBox) -> None:
    """Leave out the middle of a text that is too long: its end tells layers apart."""
    box.installEventFilter(_Elider(box))


class _Elider(QObject):
    """Paints a combo box."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Paint in place of Qt, which cuts the end off."""
        if event.type() != QEvent.Type.Paint or not isinstance(watched, QComboBox):
            return False
        kind, control = QStyle.ComplexControl.CC_ComboBox, QStyle.ControlElement.CE_ComboBoxLabel
        option = QStyleOptionComboBox()
        watched.initStyleOption(option)
        field = QStyle.SubControl.SC_ComboBoxEditField
        room = watched.style().subControlRect(kind, option, field, watched).width() - _MARGIN
        middle = Qt.TextElideMode.ElideMiddle
        option.currentText = option.fontMetrics.elidedText(watched.currentText(), middle, room)
        painter = QStylePainter(watched)
        painter.drawComplexControl(kind, option)
        painter.drawControl(control, option)
        painter.end()
        return True
