"""The panel's keys: bound on the viewer while the panel is docked, and explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer


class Shortcut(NamedTuple):
    """A key, in napari's spelling, and what it does."""

    key: str
    title: str


SHORTCUTS = {
    "run": Shortcut("Ctrl+Enter", "Segment both: raw and preprocessed"),
    "cancel": Shortcut("Ctrl+.", "Cancel the run"),
    "preview": Shortcut("H", "Show or hide the preview of the preprocessing"),
    "arms": Shortcut("J", "Switch between the raw and the preprocessed result"),
    "next": Shortcut("N", "Go to the next object that differs between the results"),
    "previous": Shortcut("Shift+N", "Go to the previous object that differs"),
    "why": Shortcut("W", "Ask why a place is unmasked"),
    "prompt": Shortcut("Q", "Add, correct or remove single objects"),
}
"""None of them is one of napari's own."""


def key_text(name: str) -> str:
    """Return a key as this platform writes it: ``Ctrl+Enter``, on a Mac ``⌘Enter``."""
    from qtpy.QtGui import QKeySequence

    return QKeySequence(SHORTCUTS[name].key).toString(QKeySequence.SequenceFormat.NativeText)


def with_key(text: str, name: str) -> str:
    """Return a tooltip that ends in the action's key."""
    return f"{text} ({key_text(name)})"


class Keys:
    """Binds the panel's keys on a viewer, and takes back what it bound.

    Parameters
    ----------
    viewer
        Keys work on its canvas and wherever a key is not used otherwise.
    actions
        What to do, by the name of the shortcut.
    """

    def __init__(self, viewer: Viewer, actions: Mapping[str, Callable[[], Any]]) -> None:
        self._viewer = viewer
        self._actions = actions
        self._bound: list[str] = []

    def bind(self) -> None:
        """Bind the keys; one that the user has bound on this viewer stays the user's."""
        if self._bound:
            return
        for name, action in self._actions.items():
            with suppress(ValueError):
                self._viewer.bind_key(SHORTCUTS[name].key, _calling(action))
                self._bound.append(name)

    def release(self) -> None:
        """Take the bound keys back."""
        while self._bound:
            self._viewer.bind_key(SHORTCUTS[self._bound.pop()].key, None)


def _calling(action: Callable[[], Any]) -> Callable[[Any], None]:
    def press(viewer: Any) -> None:
        action()

    return press


class KeyHelp(QDialog):
    """A small window that lists the keys."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of Segment everything")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        grid = QGridLayout(self)
        grid.setContentsMargins(16, 12, 16, 12)
        grid.setHorizontalSpacing(20)
        for row, (name, shortcut) in enumerate(SHORTCUTS.items()):
            key = QLabel(key_text(name))
            key.setStyleSheet("font-weight: bold;")
            grid.addWidget(key, row, 0)
            grid.addWidget(QLabel(shortcut.title), row, 1)
        note = QLabel(
            "Click the image first, so that it hears the keys. Parameters explain themselves "
            "when the mouse rests on them.",
            wordWrap=True,
        )
        grid.addWidget(note, grid.rowCount(), 0, 1, 2)
        buttons = QDialogButtonBox()
        # A standard button would bring the desktop's icon, which the dark theme swallows.
        buttons.addButton("Close", QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.close)
        grid.addWidget(buttons, grid.rowCount(), 0, 1, 2)
