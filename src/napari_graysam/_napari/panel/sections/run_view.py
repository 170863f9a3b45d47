"""What the Run section shows: buttons, progress and a line for each result."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_graysam._napari.results.combined import SHOWN
from napari_graysam._napari.results.run import RunProgress

if TYPE_CHECKING:
    from napari_graysam._napari.results.combined import Shown

STAGES = {
    "image": "reading the image",
    "preprocess": "preprocessing",
    "download": "downloading the model",
    "verify": "checking the model file",
    "load": "loading the model",
    "encode": "encoding the image",
    "decode": "finding masks",
    "select": "selecting masks",
    "measure": "measuring objects",
}
ASKED = {
    "raw": ("Raw arm", "Segment the image without preprocessing, as the recipe's arms ask"),
    "preprocessed": ("Both arms", "Segment the image without and with preprocessing"),
    "union": ("Both, and union", "Segment both arms, and join what either of them finds"),
    "consensus": ("Both, and consensus", "Segment both arms, and keep what both of them find"),
}
"""Text and explanation of the main button, by the recipe's ``arms``."""
MAIN = """
QPushButton { font-weight: bold; color: white; background-color: #2f6db5; }
QPushButton:hover { background-color: #3b82d4; }
QPushButton:disabled { color: #9a9a9a; background-color: rgba(128, 128, 128, 50); }
"""
"""Of the main button, in the colour that the panel's messages have."""
_MEGABYTE = 1e6


class ResultLine(NamedTuple):
    """What is said about an arm's result; ``outdated`` and ``notes`` may be empty."""

    objects: int
    unmasked: float
    seconds: float | None
    outdated: str
    notes: tuple[str, ...]


class RunView(QWidget):
    """The widgets of the Run section, without what they do."""

    def __init__(self) -> None:
        super().__init__()
        self.what = _text()
        self.scope = QComboBox()
        self.scope.setToolTip("What a run segments; the recipe's stack.axis remembers it")
        self.both = _button(*ASKED["preprocessed"])
        self.raw = _button("Raw", "Segment the image without preprocessing")
        self.preprocessed = _button("Preprocessed", "Segment the preprocessed image")
        self.cancel = _button(
            "Cancel", "Stop after the current batch of points; finished results stay"
        )
        self.both.setStyleSheet(MAIN)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.status = _text()
        self.results: dict[Shown, QLabel] = {arm: _text() for arm in SHOWN}
        self.stack = _text()
        self.hint = _text()
        self.new_layers = QCheckBox("Add new layers for each run")
        self.new_layers.setToolTip(
            "On: earlier results stay, and new ones get a number.\n"
            "Off: a run updates its own layer, unless you have edited it."
        )
        self._lay_out()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for button in (self.both, self.raw, self.preprocessed, self.cancel):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.what)
        layout.addWidget(self.scope)
        layout.addLayout(buttons)
        shown = (self.bar, self.status, *self.results.values(), self.stack, self.hint)
        for widget in (*shown, self.new_layers):
            layout.addWidget(widget)

    def add_output(self, widget: QWidget) -> None:
        """Put where results go above the buttons."""
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.insertWidget(layout.indexOf(self.scope) + 1, widget)

    def show_asked(
        self, arms: str, unfinished: int = 0, what: str = "plane", *, again: bool = False
    ) -> None:
        """Say on the main button what a run does.

        Parameters
        ----------
        arms
            The recipe's.
        unfinished
            Planes that a run goes on with; 0 where it starts from the beginning.
        what
            What they are, if no planes.
        again
            Whether a run only selects objects again.
        """
        text, tip = ASKED[arms]
        if unfinished:
            some = f"one {what}" if unfinished == 1 else f"{unfinished} {what}s"
            text, tip = "Continue", f"{tip}: the {some} that are missing"
        elif again:
            text, tip = "Select again", "Select objects from what the tiles keep, without the model"
        self.both.setText(text)
        self.both.setToolTip(tip)

    def show_scopes(self, choices: Sequence[tuple[str, str]], chosen: str) -> None:
        """Offer what can be segmented.

        Parameters
        ----------
        choices
            Words, and the value of the recipe's ``stack.axis``; hidden if there is one only.
        chosen
            The value that is chosen.
        """
        now = [(self.scope.itemText(i), self.scope.itemData(i)) for i in range(self.scope.count())]
        if now != list(choices):
            self.scope.clear()
            for text, value in choices:
                self.scope.addItem(text, value)
        self.scope.setCurrentIndex(max(0, self.scope.findData(chosen)))
        self.scope.setVisible(len(choices) > 1)

    def show_planes(self, done: int, total: int, text: str) -> None:
        """Show how many planes are done."""
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.show_status(text)

    def show_stack(self, text: str) -> None:
        """Say what is there of a whole stack; nothing if empty."""
        self.stack.setText(text)
        self.stack.setVisible(bool(text))

    def show_subject(self, layer: str, plane: str, region: str) -> None:
        """Say what would be segmented; nothing where the layer's name is empty."""
        text = f"Segment <i>{escape(layer)}</i>"
        text += f", {plane}" if plane else ""
        text += f", within <i>{escape(region)}</i>" if region else ""
        self.what.setText(f"{text}:")
        self.what.setVisible(bool(layer))

    def show_running(self, running: bool, possible: bool) -> None:
        """Enable what can be pressed, and show progress only during a run."""
        for button in (self.both, self.raw, self.preprocessed):
            button.setEnabled(possible and not running)
        self.scope.setEnabled(not running)
        self.cancel.setEnabled(running)
        if running and self.bar.isHidden():
            self.bar.setRange(0, 0)
        self.bar.setVisible(running)
        if not running:
            self.status.clear()
            self.status.hide()

    def show_status(self, text: str) -> None:
        """Show a sentence below the progress bar."""
        self.status.setText(text)
        self.status.show()

    def show_progress(self, progress: RunProgress) -> None:
        """Show stage, count and the time that is left."""
        counted = progress.total > 1
        self.bar.setRange(0, progress.total if counted else 0)
        if counted:
            self.bar.setValue(progress.done)
        self.show_status(in_words(progress))

    def show_result(self, arm: Shown, line: ResultLine | None) -> None:
        """Show what came out for an arm; None for nothing."""
        label = self.results[arm]
        label.setVisible(line is not None)
        if line is None:
            label.clear()
            return
        count = f"{line.objects:,} object{'s' * (line.objects != 1)}"
        text = f"<b>{arm.capitalize()}</b>: {count}, {line.unmasked:.1%} unmasked"
        if line.seconds is not None:
            text += f", {duration(line.seconds)}"
        for more in filter(None, (line.outdated, *line.notes)):
            text += f"<br><i>{more}</i>"
        label.setText(text)

    def show_hint(self, text: str) -> None:
        """Show a sentence about what a run would do; hide the line if empty."""
        self.hint.setText(text)
        self.hint.setVisible(bool(text))


def in_words(progress: RunProgress) -> str:
    """Return stage, count and remaining time as one line."""
    text = STAGES.get(progress.stage, progress.stage)
    if progress.stage in ("download", "verify"):
        done, total = progress.done / _MEGABYTE, progress.total / _MEGABYTE
        text += f", {done:.0f} of {total:.0f} MB"
    elif progress.stage == "decode":
        text += f", {progress.done:,} of {progress.total:,} points"
    elif progress.total > 1:
        text += f", {progress.done + 1} of {progress.total}"
    if progress.last is not None:
        text += f" (took {duration(progress.last)} the last time)"
    if progress.left is not None:
        text += f", {duration(progress.left)} left"
    return f"{progress.arm.capitalize()}: {text}"


def duration(seconds: float) -> str:
    """Return a time whose numbers stay beside their units where lines break."""
    whole = max(1, round(seconds))
    minutes, rest = divmod(whole, 60)
    if minutes == 0:
        text = f"{whole} s"
    elif minutes < 60:
        text = f"{minutes} min {rest:02} s"
    else:
        text = f"{minutes // 60} h {minutes % 60} min"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.hide()
    return label
