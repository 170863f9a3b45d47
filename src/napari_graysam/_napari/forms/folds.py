"""Small pieces that the panel is put together from."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QHBoxLayout, QLabel, QScrollArea, QSizePolicy, QToolButton, QWidget
from superqt import QCollapsible

UNLIMITED = 16777215
"""Qt's largest height of a widget."""
HEADER = """
QPushButton { text-align: left; font-weight: bold; padding: 4px; border: none; }
QPushButton, QPushButton:checked { background-color: rgba(128, 128, 128, 50); }
QPushButton:hover, QPushButton:checked:hover { background-color: rgba(128, 128, 128, 90); }
QPushButton:focus { border: 1px solid rgba(128, 128, 128, 200); }
"""
"""Open and folded alike: napari's colour of a pressed button is left to what is switched on."""


class Fold(QCollapsible):
    """A foldable section whose content may grow and shrink while it is open.

    A folded content is hidden: what a section does when it is first shown has to wait.

    Parameters
    ----------
    title
        Of the section.
    content
        What it shows, or makes it when it is first unfolded.
    """

    def __init__(self, title: str, content: QWidget | Callable[[], QWidget]) -> None:
        super().__init__(f"▸ {title}", expandedIcon=QIcon(), collapsedIcon=QIcon())
        self._title = title
        self.setDuration(0)
        self._make: Callable[[], QWidget] | None = None
        if isinstance(content, QWidget):
            self._fill(content)
        else:
            self._make = content
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.layout().setSpacing(0)
        self.toggled.connect(self._on_toggled)
        button = self.toggleButton()
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        button.setStyleSheet(HEADER)

    def _fill(self, content: QWidget) -> None:
        content.setMaximumHeight(0)
        self.setContent(content)
        content.hide()

    def expand(self, animate: bool = True) -> None:
        """Unfold; the first time, make what is shown."""
        if self._make is not None:
            make, self._make = self._make, None
            self._fill(make())
        super().expand(animate)

    def _on_toggled(self, unfolded: bool) -> None:
        self.setText(f"{'▾' if unfolded else '▸'} {self._title}")
        self.content().setVisible(unfolded)
        if unfolded:
            self.content().setMaximumHeight(UNLIMITED)


class Column(QScrollArea):
    """A column that scrolls up and down, never sideways."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setWidget(content)


class Message(QWidget):
    """A line for what the user should know; out of sight while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self._label = QLabel(wordWrap=True)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        close = QToolButton(text="✕", autoRaise=True, toolTip="Hide this message")
        close.clicked.connect(self.clear)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._label, 1)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    @property
    def text(self) -> str:
        """What is said; empty if nothing is."""
        return self._label.text()

    def say(self, text: str, *, warning: bool = True) -> None:
        """Show a text in place of the last one."""
        colour = "#e3a020" if warning else "#4a90d9"
        self._label.setStyleSheet(f"border-left: 3px solid {colour}; padding: 4px 6px;")
        self._label.setText(text)
        self.setVisible(bool(text))

    def clear(self) -> None:
        """Say nothing."""
        self.say("")
