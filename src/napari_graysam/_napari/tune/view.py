"""What the dock looks like."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_graysam._napari.compare.choices import LayerChoice
from napari_graysam._napari.forms.fields import guard_wheel
from napari_graysam._napari.forms.folds import Message
from napari_graysam._napari.panel.sections.run_view import MAIN, STAGES, duration
from napari_graysam._napari.tune.plots import ScorePlots
from napari_graysam._napari.tune.table import RankTable
from napari_graysam._napari.tune.words import METRICS, sentence

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_graysam._napari.tune.compute import Found, Step

_WIDTH = 340
CLICKS = {
    "objects": ("Clicks on objects", "A Points layer: every point lies on an object"),
    "nothing": ("Clicks on no object", "A Points layer: no point lies on an object"),
    "same": (
        "Pairs on one object",
        "A Points layer: the first and second point lie on one object, the third and fourth, …",
    ),
}
"""What Points layers can say."""
_STAGES = {
    **STAGES,
    "search": "trying settings",
    "paint": "drawing the best",
    "grid": "drawing the pictures",
}
_CHAINS = "Runs the model again and again, with other preprocessing, windows and points."
_NO_OPTUNA = (
    "<qt>Needs optuna, which is not installed: <tt>pip install 'napari-graysam[tune]'</tt></qt>"
)


class TuneView:
    """The widgets of the dock and what they show; it knows no layers but those chosen in it.

    Parameters
    ----------
    owner
        The widget that is filled.
    viewer
        Whose theme the plots follow.
    """

    def __init__(self, owner: QWidget, viewer: Viewer) -> None:
        self.what = _text()
        self.open_panel = QPushButton("Open the panel")
        self.labels = LayerChoice("none")
        self.partial = QCheckBox("Only some objects are painted")
        self.clicks = {kind: LayerChoice("none") for kind in CLICKS}
        self.metric = QComboBox()
        self.chains = QCheckBox("Also preprocessing, at most")
        self.seconds = QSpinBox(minimum=10, maximum=86_400, value=300, suffix=" s")
        self.search = QPushButton("Search")
        self.cancel = QPushButton("Cancel", toolTip="Stop; the best so far is kept")
        self.bar = QProgressBar(textVisible=False)
        self.status, self.result = _text(), _text()
        self.message = Message()
        self.table, self.plots = RankTable(), ScorePlots(viewer)
        self.tabs = QTabWidget()
        self.apply = QPushButton("Apply", toolTip="The panel takes the selected row's values")
        self.grid = QPushButton("Show the best", checkable=True)
        self.count = QSpinBox(minimum=2, maximum=12, value=4)
        self._fill_choices()
        self._lay_out(owner)
        self.show_found(None)
        self.show_running(False)

    def _fill_choices(self) -> None:
        for name, (words, term) in METRICS.items():
            self.metric.addItem(f"{words} ({name})", name)
            self.metric.setItemData(self.metric.count() - 1, term, 3)
        self.metric.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.metric.setToolTip("What the objects of the Labels layer are compared by")
        for box in (self.metric, self.seconds, self.count):
            guard_wheel(box)
        self.labels.setToolTip("A Labels layer with the true objects")
        self.partial.setToolTip("What lies elsewhere than on painted objects counts neither way")
        for kind, choice in self.clicks.items():
            choice.setToolTip(CLICKS[kind][1])
        installed = find_spec("optuna") is not None
        self.chains.setToolTip(_CHAINS if installed else _NO_OPTUNA)
        self.chains.setEnabled(installed)
        self.seconds.setEnabled(False)
        self.seconds.setToolTip("After this time no other preprocessing is tried")
        self.chains.toggled.connect(self.seconds.setEnabled)
        self.search.setStyleSheet(MAIN)
        self.bar.setFixedHeight(8)
        self.grid.setToolTip(
            "The best results that differ, as layers beside each other; press again to remove them"
        )
        self.count.setToolTip("How many results are shown beside each other")

    def _lay_out(self, owner: QWidget) -> None:
        layout = QVBoxLayout(owner)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addWidget(self.what)
        layout.addWidget(self.open_panel)
        form = QFormLayout(spacing=4)
        form.addRow("True objects", self.labels)
        form.addRow("", self.partial)
        for kind, choice in self.clicks.items():
            form.addRow(CLICKS[kind][0], choice)
        form.addRow("Aim", self.metric)
        layout.addLayout(form)
        layout.addLayout(_row((self.chains, 0), (self.seconds, 1)))
        layout.addLayout(_row((self.search, 1), (self.cancel, 1)))
        for widget in (self.bar, self.status, self.message, self.result):
            layout.addWidget(widget)
        self.tabs.addTab(self.table, "Ranking")
        self.tabs.addTab(self.plots, "Plots")
        layout.addWidget(self.tabs, 1)
        layout.addLayout(_row((self.apply, 1), (self.grid, 1), (self.count, 0)))
        layout.addStretch(0)
        owner.setMinimumWidth(_WIDTH)

    def show_subject(self, text: str, *, panel: bool) -> None:
        """Say what is tuned; offer to open the panel where there is none."""
        self.what.setText(text)
        self.open_panel.setVisible(not panel)

    def show_running(self, running: bool) -> None:
        """Enable what can be pressed, and show progress only during a search."""
        self.search.setEnabled(not running)
        self.cancel.setEnabled(running)
        self.bar.setVisible(running)
        self.status.setVisible(running)
        if running:
            self.bar.setRange(0, 0)

    def show_step(self, step: Step) -> None:
        """Show stage, count and the time that is left."""
        counted = step.total > 1
        self.bar.setRange(0, step.total if counted else 0)
        if counted:
            self.bar.setValue(step.done)
        self.status.setText(in_words(step))

    def show_found(self, found: Found | None) -> None:
        """Show what a search gave, or nothing."""
        self.result.setText("" if found is None else sentence(found))
        self.result.setVisible(found is not None)
        self.table.show_found(found)
        self.plots.show_found(found)
        for widget in (self.tabs, self.apply, self.grid, self.count):
            widget.setVisible(found is not None)


def in_words(step: Step) -> str:
    """Return stage, count and remaining time as one line."""
    text = _STAGES.get(step.stage, step.stage)
    if step.total > 1 and not step.stage.startswith("trial"):
        text += f", {step.done:,} of {step.total:,}"
    if step.left is not None:
        text += f", {duration(step.left)} left"
    return text[:1].upper() + text[1:]


def _text() -> QLabel:
    label = QLabel(wordWrap=True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def _row(*widgets: tuple[QWidget, int]) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(4)
    for widget, stretch in widgets:
        row.addWidget(widget, stretch)
    return row
