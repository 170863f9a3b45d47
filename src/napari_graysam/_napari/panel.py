"""The panel: its sections, what they say, and what comes back at the next start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_graysam._napari import settings
from napari_graysam._napari.folds import Column, Fold, Message
from napari_graysam._napari.state import PanelState
from napari_graysam.errors import OutputError

if TYPE_CHECKING:
    import napari.viewer

    from napari_graysam.recipe import Recipe

SECTIONS = (
    "image:ImageSection",
    "preprocess:PreprocessSection",
    "model:ModelSection",
    "generator:PointsSection",
    "generator:ThresholdsSection",
    "labels:LabelsSection",
    "recipe:RecipeSection",
)
RUN = "run:RunSection"
UNFOLDED = ("Image", "Preprocessing")
MINIMUM_WIDTH = 340
SAVE_AFTER = 1000
"""Milliseconds without a change after which the session is saved."""


class Section(Protocol):
    """A part of the panel that edits or runs the recipe."""

    title: str
    native: QWidget

    def __init__(self, state: PanelState) -> None: ...


class SegmentPanel(QWidget):
    """Everything from a gray image to compared mask layers.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are segmented.
    sections
        The sections that fold, from top to bottom; the program's own if omitted.
    run
        The section that stays in sight; the program's own if omitted.
    """

    def __init__(
        self,
        napari_viewer: napari.viewer.Viewer,
        *,
        sections: Sequence[type[Section]] | None = None,
        run: type[Section] | None = None,
    ) -> None:
        super().__init__()
        session = settings.restore()
        settings.use_model_folder(session.panel.preferences.folder)
        self.state = PanelState(napari_viewer, session.recipe)
        types = tuple(_own_sections()) if sections is None else sections
        self.sections: tuple[Any, ...] = tuple(kind(self.state) for kind in types)
        self.run: Any = (_load(RUN) if run is None else run)(self.state)
        self.folds = {one.title: Fold(one.title, one.native) for one in self.sections}
        self.message = Message()
        self._lay_out()
        self._timer = QTimer(self, singleShot=True, interval=SAVE_AFTER)
        self._timer.timeout.connect(self.save)
        self._preferences = session.panel.preferences
        self._refused = False
        self._unfold(session.panel.unfolded)
        self._connect()
        self.message.say("\n".join(session.messages))

    def _lay_out(self) -> None:
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(2)
        for fold in self.folds.values():
            column.addWidget(fold)
        column.addStretch(1)
        self._top = QHBoxLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(self._top)
        layout.addWidget(Column(content), 1)
        layout.addWidget(self.message)
        layout.addWidget(self.run.native)
        self.setMinimumWidth(MINIMUM_WIDTH)

    def _unfold(self, titles: Sequence[str] | None) -> None:
        for title in UNFOLDED if titles is None else titles:
            if title in self.folds:
                self.folds[title].expand(animate=False)

    def _connect(self) -> None:
        self.state.problem.connect(self._on_problem)
        self.state.recipe_changed.connect(self._on_recipe)
        for fold in self.folds.values():
            fold.toggled.connect(self._save_soon)
        preferences = settings.plugin_settings()
        if preferences is not None:
            preferences.events.changed.connect(self._on_preferences)

    def reset_choices(self, event: Any = None) -> None:
        """Tell every section that layers have come or gone."""
        for section in (*self.sections, self.run):
            if hasattr(section, "reset_choices"):
                section.reset_choices(event)

    def _on_problem(self, text: str) -> None:
        self._refused = True
        self.message.say(text)

    def _on_recipe(self, recipe: Recipe, stage: object) -> None:
        if self._refused:
            self._refused = False
            self.message.clear()
        self._save_soon()

    def _save_soon(self, *_: object) -> None:
        self._timer.start()

    def save(self) -> None:
        """Keep the recipe and the open sections for the next start."""
        self._timer.stop()
        unfolded = tuple(title for title, fold in self.folds.items() if fold.isExpanded())
        panel = settings.PanelOptions(unfolded=unfolded, preferences=self._preferences)
        try:
            settings.save(self.state.recipe, panel)
        except OutputError as error:
            self.message.say(str(error))

    def _on_preferences(self, event: Any = None) -> None:
        """Follow what was changed in napari's Preferences."""
        before, self._preferences = self._preferences, settings.read_preferences()
        settings.use_model_folder(self._preferences.folder, before.folder)
        self.state.recipe = settings.follow(self.state.recipe, before, self._preferences)
        self._save_soon()

    def changeEvent(self, event: QEvent) -> None:
        """Save when the dock is closed."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.save()

    def hideEvent(self, event: QEvent) -> None:
        """Save what is still waiting, for the window may be closing."""
        super().hideEvent(event)
        if self._timer.isActive():
            self.save()


def _own_sections() -> Iterator[type[Section]]:
    for name in SECTIONS:
        if find_spec(f"napari_graysam._napari.sections.{name.partition(':')[0]}"):
            yield _load(name)


def _load(name: str) -> type[Section]:
    module, _, attribute = name.partition(":")
    home = import_module(f"napari_graysam._napari.sections.{module}")
    loaded: type[Section] = getattr(home, attribute)
    return loaded
