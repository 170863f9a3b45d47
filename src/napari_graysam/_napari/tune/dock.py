"""The dock: choose what is known, search, look at what was found, apply it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QWidget

from napari_graysam._napari.canvas.layers import about
from napari_graysam._napari.canvas.listeners import Listeners
from napari_graysam._napari.compare.pairing import labels_layers, truth_among
from napari_graysam._napari.forms.wording import sentence
from napari_graysam._napari.panel.docking import join_soon, panel_state
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam._napari.tune.compute import Found, Request, Step, search
from napari_graysam._napari.tune.gallery import Gallery
from napari_graysam._napari.tune.known import read_known
from napari_graysam._napari.tune.pictures import Pictures, draw
from napari_graysam._napari.tune.view import TuneView
from napari_graysam.errors import GraysamError, ImageError

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

_LIST_EVENTS = ("inserted", "removed", "reordered", "renamed")
PLUGIN, PANEL = "napari-graysam", "Segment everything (SAM 2)"
_NO_PANEL = f"The image and the recipe are those of the panel “{PANEL}”: open it first."


class TuneDock(QWidget):
    """Searches the recipe that fits what the user knows of the panel's image.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers say what is known.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._found: Found | None = None
        self._request: Request | None = None
        self._state: PanelState | None = None
        self._joined = self._closed = False
        self._listeners, self._of_panel = Listeners(), Listeners()
        self._worker = LatestRequest(self._receive, self._finish, self._fail)
        self.view = TuneView(self, napari_viewer)
        self.gallery = Gallery(napari_viewer)
        self._connect()
        self.reset_choices()
        self.destroyed.connect(partial(_let_go, self._listeners, self._of_panel))

    def _connect(self) -> None:
        view = self.view
        view.open_panel.clicked.connect(self._open_panel)
        view.search.clicked.connect(lambda: self.search())
        view.cancel.clicked.connect(lambda: self.cancel())
        view.apply.clicked.connect(lambda: self.apply())
        view.grid.clicked.connect(lambda: self.toggle_grid())
        view.labels.layer_changed.connect(self._follow_labels)
        for name in _LIST_EVENTS:
            self._listeners.add(getattr(self._viewer.layers.events, name), self.reset_choices)
        self._listeners.add(self._viewer.events.theme, view.plots.refresh)

    @property
    def found(self) -> Found | None:
        """What the last search gave."""
        return self._found

    @property
    def busy(self) -> bool:
        """Whether something is computed."""
        return self._worker.busy

    def reset_choices(self, event: Any = None) -> None:
        """Offer the viewer's layers; a ground truth is chosen as long as nothing else is."""
        from napari.layers import Points

        view = self.view
        view.labels.offer(labels_layers(self._viewer.layers))
        if view.labels.layer is None and event is None:
            view.labels.layer = truth_among(self._viewer.layers)
        points = [
            one
            for one in self._viewer.layers
            if isinstance(one, Points) and not about(one).get("candidate")
        ]
        for choice in view.clicks.values():
            choice.offer(points)
        self._follow_labels()

    def _follow_labels(self) -> None:
        there = self.view.labels.layer is not None
        self.view.partial.setEnabled(there)
        self.view.metric.setEnabled(there)

    def _panel_state(self) -> PanelState | None:
        """Return the state of the viewer's panel, and follow it; None while there is none."""
        state = panel_state(self._viewer)
        if state is not self._state:
            self._of_panel.clear()
            self._state = state
            if state is not None:
                for signal in (state.subject_changed, state.layer_changed):
                    self._of_panel.add(signal, self._describe)
        return state

    def _open_panel(self) -> None:
        window: Any = self._viewer.window
        window.add_plugin_dock_widget(PLUGIN, PANEL)
        self._describe()

    def _describe(self, *_: object) -> None:
        """Say what is tuned."""
        state = self._panel_state()
        if state is None:
            self.view.show_subject(_NO_PANEL, panel=False)
        elif state.subject is None:
            self.view.show_subject("Choose an image in the panel.", panel=True)
        else:
            region = "" if state.region is None else f", within “{state.region.name}”"
            text = f"Tune the recipe to “{state.subject.title}”{region}."
            self.view.show_subject(text, panel=True)

    def search(self) -> None:
        """Start a search; say why where that is not possible."""
        if self._worker.busy:
            return
        self.view.message.clear()
        self._describe()
        try:
            self._request = self._read()
        except GraysamError as error:
            self.view.message.say(sentence(str(error)))
            return
        self._end_grid()
        self._forget()
        self.view.show_running(True)
        self.view.status.setText("Starting …")
        self._worker.submit(partial(search, self._request))

    def _read(self) -> Request:
        """Read the panel's image and recipe and the chosen layers."""
        state, view = self._panel_state(), self.view
        if state is None:
            raise ImageError(_NO_PANEL)
        source = state.read_source()
        clicks = {kind: choice.layer for kind, choice in view.clicks.items()}
        known = read_known(view.labels.layer, view.partial.isChecked(), clicks, source)
        return Request(
            source=source,
            recipe=state.recipe,
            region=state.read_region(source),
            known=known,
            metric=view.metric.currentData(),
            seconds=float(view.seconds.value()) if view.chains.isChecked() else None,
            memory=state.memory,
        )

    def cancel(self) -> None:
        """Stop the search at its next step and keep the best so far; or stop drawing."""
        if self._request is not None:
            self._request.stop.set()
            self.view.status.setText("Stopping; the best so far is kept …")
        else:
            self._worker.cancel()
        self.view.cancel.setEnabled(False)

    def _receive(self, event: Step | Found | Pictures) -> None:
        if self._closed:
            return
        if isinstance(event, Step):
            if self._request is None or not self._request.stop.is_set():
                self.view.show_step(event)
        elif isinstance(event, Found):
            self._found = event
            self.view.show_found(event)
        elif event.found is self._found:
            self.gallery.show(event, self._image(event.found))

    def _finish(self) -> None:
        self._request = None
        if not self._closed:
            self.view.show_running(False)
            self.view.grid.setEnabled(True)
            self.view.grid.setChecked(self.gallery.on)

    def _fail(self, error: Exception) -> None:
        """Say what ended a search: expected problems as a sentence, others as napari shows them."""
        from napari.utils.notifications import notification_manager

        if self._closed:
            return
        if isinstance(error, GraysamError):
            self.view.message.say(sentence(str(error)))
        elif isinstance(error, MemoryError):
            self.view.message.say(
                "The memory does not suffice: close other programs, or take fewer points."
            )
        else:
            self.view.message.say(f"The search failed: {type(error).__name__}: {error}")
            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _forget(self) -> None:
        self._found = None
        self.view.show_found(None)

    def apply(self) -> None:
        """Give the panel the recipe of the selected row; Recipe ▸ Undo brings the last one back."""
        state, rank, found = self._panel_state(), self.view.table.rank, self._found
        if rank is None or found is None:
            return
        if state is None:
            self.view.message.say(_NO_PANEL)
            return
        state.replace(found.recipe(rank.setting))
        self.view.message.say(
            f"The panel has the recipe of row {rank.place}. Recipe ▸ Undo brings the last one "
            "back.",
            warning=False,
        )

    def toggle_grid(self) -> None:
        """Show the best results beside each other, or the viewer as it was before."""
        if self.gallery.on:
            self._end_grid()
        elif self._found is not None and not self._worker.busy:
            self.view.show_running(True)
            self.view.grid.setEnabled(False)
            self._worker.submit(partial(draw, self._found, self.view.count.value()))

    def _end_grid(self) -> None:
        self.gallery.restore()
        self.view.grid.setChecked(False)

    def _image(self, found: Found) -> Image | None:
        """Return the searched image, if it is still in the viewer."""
        known = found.request.source.layer_id
        return next((one for one in self._viewer.layers if one.unique_id == known), None)

    def showEvent(self, event: QShowEvent) -> None:
        """Share the room with the plugin's other docks, and follow the panel."""
        super().showEvent(event)
        if not self._joined:
            self._joined = True
            join_soon(self)
        self._describe()

    def changeEvent(self, event: QEvent) -> None:
        """Stop, and let the viewer go, when the dock is closed."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._closed = True
            if self._request is not None:
                self._request.stop.set()
            self._worker.cancel()
            self.gallery.restore()
            _let_go(self._listeners, self._of_panel)


def _let_go(*listeners: Listeners) -> None:
    """Stop listening to viewer and panel: a closed dock must not answer them."""
    for one in listeners:
        if isinstance(one, Listeners):  # Qt adds what it destroyed.
            one.clear()
