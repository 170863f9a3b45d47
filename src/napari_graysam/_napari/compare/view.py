"""What the dock looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_graysam._napari.compare.choices import LayerChoice
from napari_graysam._napari.compare.compute import Outcome
from napari_graysam._napari.compare.counts import Counts
from napari_graysam._napari.compare.event_model import EventRow
from napari_graysam._napari.compare.export import KINDS
from napari_graysam._napari.compare.plots import Plots
from napari_graysam._napari.compare.scores import ScoreTable
from napari_graysam._napari.compare.table import EventTable
from napari_graysam._napari.compare.whole import WholeStack
from napari_graysam._napari.compare.whole_image import WholeOutcome
from napari_graysam._napari.forms.folds import Fold, Message
from napari_graysam._napari.forms.form import PartForm
from napari_graysam.comparison import ARMS, Arm, Rules
from napari_graysam.progress import Progress

if TYPE_CHECKING:
    from napari.viewer import Viewer

_WIDTH = 340
_ROLES: dict[Arm, tuple[str, str]] = {
    "raw": ("First", "The layer to compare with, such as the result without preprocessing"),
    "preprocessed": ("Second", "The layer to compare, such as the result with preprocessing"),
}
_NOTHING = "Select a row to go to the objects; click an object to find its row."
_MASKS = "Compared: whole masks, also where one covers another"
_LABELS = "Compared: label images, so only what the layers show"
_BLOCKS = "Compared: label images, block by block, so only what the layers show"
_BASIS_TIP = (
    "<qt>Whole masks are compared while both layers are results of the panel and have not been "
    "edited since; otherwise the pixels of the layers are.</qt>"
)


class DockView:
    """The widgets of the dock and what they show; it knows no layers but those chosen in it.

    Parameters
    ----------
    owner
        The widget that is filled.
    viewer
        Whose theme the plots follow.
    """

    def __init__(self, owner: QWidget, viewer: Viewer) -> None:
        self.choices = {arm: LayerChoice("choose a Labels layer") for arm in ARMS}
        self.truth = LayerChoice("none")
        self.rules = PartForm(Rules())
        self.rules.margins = (4, 8, 0, 4)
        self.message = Message()
        self.basis = QLabel(wordWrap=True, toolTip=_BASIS_TIP)
        self.basis.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.counts = Counts()
        self.whole = WholeStack()
        self.table = EventTable()
        self.plots = Plots(viewer)
        self.scores = ScoreTable()
        self.tabs = QTabWidget()
        self.alone = QCheckBox("Show only the selected object")
        self.undo = QPushButton("Undo")
        self.add_difference = QPushButton(
            "Difference layer", toolTip="Add or update a layer coloured by class"
        )
        self.side_by_side = QPushButton(
            "Side by side",
            toolTip="Show both layers beside each other under one camera; press again to end",
        )
        self.side_by_side.setCheckable(True)
        self.export = QPushButton("Export", toolTip="Save the comparison as a file")
        self.exports: dict[str, QAction] = {}
        self.status = QLabel(wordWrap=True)
        self._lay_out(owner)
        self.clear({arm: arm for arm in ARMS})

    def _lay_out(self, owner: QWidget) -> None:
        layout = QVBoxLayout(owner)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(self._form())
        layout.addWidget(Fold("Matching rules", self.rules.native))
        layout.addWidget(self.message)
        layout.addWidget(self.basis)
        layout.addWidget(self.counts)
        layout.addWidget(self.whole)
        layout.addWidget(self._tabs(), 1)
        layout.addLayout(self._buttons())
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        layout.addWidget(self.status)
        owner.setMinimumWidth(_WIDTH)

    def _form(self) -> QFormLayout:
        form = QFormLayout()
        form.setSpacing(4)
        for arm, choice in self.choices.items():
            title, tip = _ROLES[arm]
            choice.setToolTip(tip)
            form.addRow(title, choice)
        self.truth.setToolTip("A Labels layer with the true objects, to score both layers with")
        form.addRow("Ground truth", self.truth)
        return form

    def _tabs(self) -> QTabWidget:
        objects = QWidget()
        column = QVBoxLayout(objects)
        column.setContentsMargins(0, 2, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.table, 1)
        self.alone.setToolTip("Hide all other objects of both layers")
        row = QHBoxLayout()
        row.addWidget(self.alone, 1)
        row.addWidget(self.undo)
        column.addLayout(row)
        self.tabs.addTab(objects, "Objects")
        self.tabs.addTab(self.plots, "Plots")
        self.tabs.addTab(self.scores, "Scores")
        return self.tabs

    def _buttons(self) -> QHBoxLayout:
        menu = QMenu(self.export)
        for kind, title in KINDS.items():
            self.exports[kind] = menu.addAction(f"{title} …")
        self.export.setMenu(menu)
        row = QHBoxLayout()
        row.setSpacing(4)
        for button in (self.add_difference, self.side_by_side, self.export):
            row.addWidget(button, 1)
        return row

    @property
    def chosen_rules(self) -> Rules:
        """The thresholds that are shown."""
        rules = self.rules.part
        assert isinstance(rules, Rules)
        return rules

    def show_outcome(self, outcome: Outcome, names: Mapping[Arm, str]) -> None:
        """Show a comparison everywhere."""
        self.counts.show_counts(outcome.comparison.counts)
        self.table.show_comparison(outcome.comparison, names)
        self.plots.show_comparison(outcome.comparison, names)
        self.scores.show_scores(outcome.scores, names)
        basis = _BLOCKS if isinstance(outcome, WholeOutcome) else _LABELS
        self.basis.setText(basis if outcome.masks is None else _MASKS)
        self._enable(True)
        self.show_status(outcome, names)

    def show_status(self, outcome: Outcome, names: Mapping[Arm, str]) -> None:
        """Show how many objects there are."""
        totals = {arm: sum(outcome.comparison.count_objects(arm).values()) for arm in ARMS}
        self.say_status(
            f"{names['raw']}: {totals['raw']:,} objects, "
            f"{names['preprocessed']}: {totals['preprocessed']:,}. {_NOTHING}"
        )

    def show_progress(self, step: Progress) -> None:
        """Say how far the comparison has come."""
        self.say_status(f"Comparing block by block: {step.done:,} of {step.total:,} done …")

    def show_row(self, row: EventRow, outcome: Outcome, names: Mapping[Arm, str]) -> None:
        """Say which objects of the selected change are out of sight."""
        hidden = [
            f"{names[arm]} {label}"
            for arm in ARMS
            for label in row.labels[arm]
            if outcome.hides(arm, label)
        ]
        if hidden:
            self.say_status(f"Other objects cover {' and '.join(hidden)}: it is not to be seen.")
        else:
            self.show_status(outcome, names)

    def clear(self, names: Mapping[Arm, str]) -> None:
        """Show that there is no comparison."""
        self.counts.show_counts({})
        self.table.show_comparison(None, names)
        self.plots.show_comparison(None, names)
        self.scores.show_scores(None, names)
        self.basis.clear()
        self._enable(False)
        self.say_status("")

    def _enable(self, there: bool) -> None:
        for widget in (self.add_difference, self.side_by_side, self.export, self.alone):
            widget.setEnabled(there)
        if not there:
            self.alone.setChecked(False)
            self.side_by_side.setChecked(False)

    def say_problem(self, text: str) -> None:
        """Say what keeps the layers from being compared, or nothing."""
        self.message.say(text)

    def say_status(self, text: str) -> None:
        """Say what is going on."""
        self.status.setText(text)
