"""The dock: choose layers, see what differs, step through it, export it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_graysam._napari.canvas.cells import SideBySide
from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.compare import export
from napari_graysam._napari.compare.asking import LayerWatch, request_of, shown_planes
from napari_graysam._napari.compare.chosen_layers import ChosenLayers
from napari_graysam._napari.compare.compute import Answer, Failure, Outcome, compare
from napari_graysam._napari.compare.difference import DifferenceLayer
from napari_graysam._napari.compare.event_model import EventRow
from napari_graysam._napari.compare.levels import too_large
from napari_graysam._napari.compare.pairing import source_of
from napari_graysam._napari.compare.planes import is_stack
from napari_graysam._napari.compare.selected_object import SelectedObject
from napari_graysam._napari.compare.undo import UndoButton
from napari_graysam._napari.compare.view import DockView
from napari_graysam._napari.compare.whole_image import compare_whole
from napari_graysam._napari.io.chosen_path import complete_path
from napari_graysam._napari.panel.docking import join_soon
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.comparison import ARMS, Arm
from napari_graysam.errors import OutputError
from napari_graysam.progress import Progress

if TYPE_CHECKING:
    import napari.viewer

_SETTLE = 250
"""Milliseconds without a change after which layers are compared again."""
_LIST_EVENTS = ("inserted", "removed", "reordered", "renamed")


class CompareDock(QWidget):
    """What differs between two Labels layers: counts, table, plots, scores, difference layer.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are compared.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._asked = 0
        self._outdated = True
        self._outcome: Outcome | None = None
        self._worker = LatestRequest(self._receive)
        self._timer = QTimer(self, singleShot=True, interval=_SETTLE)
        self._timer.timeout.connect(self.refresh)
        self._joined = False
        self._listeners = Listeners()
        self.difference = DifferenceLayer(napari_viewer)
        self._watched = LayerWatch(self._soon, self.difference.outdate, self._maybe_soon)
        self.view = view = DockView(self, napari_viewer)
        self.chosen = ChosenLayers(napari_viewer, view.choices, view.truth, self._on_choice)
        self.side_by_side = SideBySide(napari_viewer)
        self.selected = SelectedObject(napari_viewer, self._on_picked, self.isVisible)
        self.undo = UndoButton(napari_viewer, view.undo, view.say_status)
        self._connect()
        self.chosen.follow()
        self.destroyed.connect(partial(_let_go, self._listeners, self._watched, self.selected))

    def _connect(self) -> None:
        view = self.view
        view.rules.part_changed.connect(self._soon)
        view.counts.chosen.connect(view.table.show_changes)
        view.table.picked.connect(self._on_row)
        view.alone.toggled.connect(self.selected.show_alone)
        view.add_difference.clicked.connect(self.show_difference)
        view.side_by_side.clicked.connect(self.toggle_side_by_side)
        for kind, action in view.exports.items():
            action.triggered.connect(partial(self._on_export, kind))
        for name in _LIST_EVENTS:
            self._listeners.add(getattr(self._viewer.layers.events, name), self.reset_choices)
        self._listeners.add(self._viewer.events.theme, view.plots.refresh)
        dims = self._viewer.dims.events
        for emitter in (dims.point, dims.order, dims.ndisplay):
            self._listeners.add(emitter, self._on_plane)

    @property
    def outcome(self) -> Outcome | None:
        """The comparison that is shown; None while there is none."""
        return self._outcome

    def reset_choices(self, event: Any = None) -> None:
        """Follow the viewer's layers."""
        self.chosen.follow()

    def _on_plane(self, event: Any = None) -> None:
        """Compare another plane of stacks."""
        if any(map(is_stack, self.chosen.layers.values())):
            self._begin_soon()

    def _on_choice(self) -> None:
        self._forget()
        self.difference.outdate(self.chosen.layers)
        self._watched.watch(self.chosen, self._viewer.dims)
        self._soon()

    def _soon(self, *_: object) -> None:
        """Compare again when nothing has changed for a moment, or when the dock is in sight."""
        self.view.whole.forget()
        self._begin_soon()

    def _begin_soon(self) -> None:
        self._outdated = True
        self._asked += 1
        self._worker.cancel()
        if self.isVisible():
            if self._outcome is not None:
                self.view.say_status("Changed since the comparison; comparing again …")
            self._timer.start()

    def _maybe_soon(self, *_: object) -> None:
        """Look in a moment whether the pixels have changed."""
        if self._outcome is not None and self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def refresh(self) -> None:
        """Compare the chosen layers now; nothing is computed if they are as they were."""
        self._timer.stop()
        self._outdated = False
        self._asked += 1
        problem = self.chosen.problem
        if problem:
            self._forget(problem)
            return
        self.view.say_problem("")
        if self._outcome is None:
            self.view.say_status("Comparing …")
        layers, dims, rules = self.chosen.layers, self._viewer.dims, self.view.chosen_rules
        planes = shown_planes(layers, dims)
        self.view.whole.offer({} if too_large(planes.values()) else planes, rules)
        request = request_of(
            self._asked, self.chosen, dims, rules, self._watched.version, self._outcome
        )
        steps = compare if request.levels is None else compare_whole
        self._worker.submit(partial(steps, request))

    def _receive(self, answer: Answer) -> None:
        if answer.number != self._asked:
            return
        result, names = answer.result, self.chosen.names
        if isinstance(result, Progress):
            self.view.show_progress(result)
            return
        if isinstance(result, Failure):
            self._forget(result.message)
            return
        layers = self.chosen.layers
        if result is not self._outcome:
            self.selected.outline.remove()
        self.selected.attach(layers, result)
        if result is self._outcome:
            self.view.show_status(result, names)
            self._say_why()
            return
        self._outcome = result
        self.view.show_outcome(result, names)
        followed = self.undo.follow(result)
        if followed is not None:
            self.view.table.select(*followed)
        self.undo.show(self.view.table.selected, layers)
        self._say_why()
        if self.difference.layer is None:
            self.difference.find(layers)
        if self.difference.layer is not None:
            self.show_difference()

    def _forget(self, problem: str = "") -> None:
        """Show no comparison, and say why."""
        self._outcome = None
        self.side_by_side.restore()
        self.selected.detach()
        self.undo.show(None, {})
        self.view.clear(self.chosen.names)
        self.view.say_problem(problem)

    def show_difference(self) -> None:
        """Add the difference layer, or bring it up to date."""
        if self._outcome is not None:
            layers = self.chosen.layers
            self.selected.difference = self.difference.show(layers, self._outcome)

    def toggle_side_by_side(self) -> None:
        """Show both layers side by side, or the viewer as it was before."""
        self.selected.outline.remove()
        if self.side_by_side.on:
            self.side_by_side.restore()
        elif self._outcome is not None:
            layers = self.chosen.layers
            image = source_of(self._viewer.layers, layers["raw"])
            self.side_by_side.show([layers[arm] for arm in ARMS], image)
        self.view.side_by_side.setChecked(self.side_by_side.on)

    def export(self, path: Path, kind: str) -> None:
        """Write the comparison; nothing is written while there is none.

        Parameters
        ----------
        path
            The file; replaced if it exists.
        kind
            ``"csv"``, ``"json"`` or ``"png"``.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        if self._outcome is None:
            return
        layers = self.chosen.layers
        view = partial(export.backdrop, self._viewer, layers["raw"])
        export.write(path, kind, self._outcome, layers, view, self.chosen.names)

    def _on_export(self, kind: str) -> None:
        start = f"comparison.{kind}"
        pattern = f"{kind.upper()} (*.{kind})"
        chosen, _ = QFileDialog.getSaveFileName(self, export.KINDS[kind], start, pattern)
        if not chosen:
            return
        try:
            path = complete_path(chosen, f".{kind}", [Path(chosen).suffix or f".{kind}"])
            self.export(path, kind)
        except OutputError as error:
            self.view.say_problem(str(error))
        else:
            self.view.say_status(f"Saved {path.name}")

    def _on_row(self, row: EventRow) -> None:
        self.selected.show(row)
        self.undo.show(row, self.chosen.layers)
        if self._outcome is not None:
            self.view.show_row(row, self._outcome, self.chosen.names)
            self._say_why()

    def _say_why(self) -> None:
        """Say what speaks for the merge or the split of the selected row."""
        if self.undo.words:
            self.view.say_status(f"{self.undo.words[:1].upper()}{self.undo.words[1:]}.")

    def _on_picked(self, arm: Arm, label: int) -> None:
        """Select what was clicked; the camera stays where it is."""
        if self.view.table.select(arm, label):
            row = self.view.table.selected
            assert row is not None
            self.selected.show(row, picked=(arm, label))
            self.undo.show(row, self.chosen.layers)

    def showEvent(self, event: QShowEvent) -> None:
        """Compare what has changed out of sight."""
        super().showEvent(event)
        if not self._joined:
            self._joined = True
            join_soon(self)
        if self._outdated:
            self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        """Stop computing what nobody looks at."""
        super().hideEvent(event)
        self.selected.outline.remove()
        if self._timer.isActive() or self._worker.busy:
            self._outdated = True
            self._timer.stop()
            self._worker.cancel()

    def changeEvent(self, event: QEvent) -> None:
        """Let the viewer go when the dock is closed."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.side_by_side.restore()
            _let_go(self._listeners, self._watched, self.selected)
            self.difference.close()


def _let_go(
    listeners: Listeners, watched: LayerWatch, selected: SelectedObject, *_: object
) -> None:
    """Stop listening to viewer and layers: a closed dock must not answer them."""
    listeners.clear()
    watched.clear()
    selected.release()
