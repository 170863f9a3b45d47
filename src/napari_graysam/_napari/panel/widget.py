"""The panel: its sections, what they say, and what comes back at the next start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_graysam._napari.compare.navigator import ChangeNavigator, Difference
from napari_graysam._napari.forms.folds import Message
from napari_graysam._napari.inspect.tool import Inspector
from napari_graysam._napari.panel import settings
from napari_graysam._napari.panel.docking import join_soon
from napari_graysam._napari.panel.keys import KeyHelp, Keys, with_key
from napari_graysam._napari.panel.next_steps import NextSteps
from napari_graysam._napari.panel.preset import PresetBar
from napari_graysam._napari.panel.sections.run import RunSection
from napari_graysam._napari.panel.stack import SECTIONS, Section, SectionStack
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.prompt.tool import PromptTool
from napari_graysam._napari.results.combined import SHOWN
from napari_graysam._napari.results.identity import comparable
from napari_graysam._napari.threads import heavy_imports
from napari_graysam.comparison import ARMS
from napari_graysam.errors import OutputError

if TYPE_CHECKING:
    import napari.viewer

    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.recipe import Recipe


MINIMUM_WIDTH = 340
WIDTH = 396
"""Pixels at which all controls and the title show whole."""
SAVE_AFTER = 1000
"""Milliseconds without a change after which the session is saved."""


class SegmentPanel(QWidget):
    """Everything from a gray image to compared mask layers.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are segmented.
    sections
        The sections that fold, from top to bottom.
    run
        The section that stays in sight.
    """

    def __init__(
        self,
        napari_viewer: napari.viewer.Viewer,
        *,
        sections: Sequence[type[Section]] = SECTIONS,
        run: type[Section] = RunSection,
    ) -> None:
        super().__init__()
        session = settings.restore()
        self.state = PanelState(napari_viewer, session.recipe)
        self.state.memory.loading.update(session.panel.loading)
        self._preferences = settings.PreferencesFollower(self.state, session.panel.preferences)
        self.sections = SectionStack(self.state, sections, session.panel.unfolded)
        self.run: Any = run(self.state)
        self.run.native.new_layers.setChecked(session.panel.new_layers)
        whole = getattr(self.run, "whole", None)
        self.inspector = Inspector(self.state, self._placement, getattr(whole, "results", None))
        self.prompter = PromptTool(self.state, self._placement, getattr(whole, "prompts", None))
        self.navigator = ChangeNavigator(self.state, self._show_change)
        self.keys = Keys(napari_viewer, self._actions())
        self.preset = PresetBar(self.state)
        stacks = getattr(self.run, "stacks", None)
        self.next = NextSteps(
            self.state,
            self._result_layers,
            getattr(stacks, "saver", None),
            whole,
        )
        self.why = self.next.why
        self.message = Message()
        self._lay_out()
        self._timer = QTimer(self, singleShot=True, interval=SAVE_AFTER)
        self._timer.timeout.connect(self.save)
        self._refused = self._joined = False
        self._connect()
        self.keys.bind()
        self.message.say("\n".join(session.messages))

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(self._top())
        layout.addWidget(self.sections, 1)
        for widget in (self.inspector, self.prompter, self.message, self.run.native):
            layout.addWidget(widget)
        layout.addLayout(self._tools())
        layout.addWidget(self.next)
        self.setMinimumWidth(MINIMUM_WIDTH)

    def _tools(self) -> QHBoxLayout:
        self.prompt = QPushButton("Add or correct", checkable=True)
        self.prompt.setToolTip(
            with_key("Add, correct or remove single objects by clicking them", "prompt")
        )
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.why)
        row.addWidget(self.prompt)
        return row

    def _top(self) -> QHBoxLayout:
        self.help = QPushButton("?", toolTip="Keys of this panel")
        self.help.setFixedWidth(28)
        row = QHBoxLayout()
        row.addWidget(self.preset, 1)
        row.addWidget(self.help, 0, Qt.AlignmentFlag.AlignTop)
        return row

    def _actions(self) -> dict[str, Callable[[], Any]]:
        """Return what the keys do, by the names of the shortcuts; tell the tooltips."""
        actions = {
            "run": self.run.run,
            "cancel": self.run.cancel,
            "arms": self.run.toggle_arms,
            "next": lambda: self._step(1),
            "previous": lambda: self._step(-1),
            "why": lambda: self.why.toggle(),
            "prompt": lambda: self.prompt.toggle(),
        }
        keyed = {"run": self.run.native.both, "cancel": self.run.native.cancel}
        for section in self.sections.made:
            if hasattr(section, "preview_box"):
                actions["preview"] = section.toggle
                keyed["preview"] = section.preview_box
        for name, widget in keyed.items():
            widget.setToolTip(with_key(widget.toolTip().rstrip("."), name))
        return actions

    def _step(self, by: int) -> None:
        """Go to another object that differs."""
        (self.next if self.state.kind == "whole" else self.navigator).step(by)

    def _connect(self) -> None:
        self.why.toggled.connect(self._on_why)
        self.prompt.toggled.connect(self._on_prompt)
        self.help.clicked.connect(lambda: KeyHelp(self).show())
        self.run.native.new_layers.toggled.connect(self._save_soon)
        self.state.running_changed.connect(self._save_soon)
        self.state.problem.connect(self._on_problem)
        self.state.said.connect(lambda text, warning: self.message.say(text, warning=warning))
        self.state.recipe_changed.connect(self._on_recipe)
        for fold in self.sections.folds.values():
            fold.toggled.connect(self._save_soon)
        self.destroyed.connect(self._preferences.close)

    def _on_why(self, on: bool) -> None:
        """Switch the inspector; only one tool answers clicks."""
        if on:
            self.prompt.setChecked(False)
        self.inspector.active = on

    def _on_prompt(self, on: bool) -> None:
        if on:
            self.why.setChecked(False)
        self.prompter.active = on

    def reset_choices(self, event: Any = None) -> None:
        """Tell every section that layers have come or gone."""
        for section in (*self.sections.made, self.run):
            if hasattr(section, "reset_choices"):
                section.reset_choices(event)

    def _show_change(self, number: int, changes: tuple[Difference, ...]) -> None:
        """Centre the view on an object that differs, or say that there is none."""
        placement = self._placement("preprocessed")
        if not changes or placement is None:
            results = [self.state.results[arm] for arm in ARMS if arm in self.state.results]
            if len(results) < len(ARMS):
                text = "Segment both first, then go through them."
            elif comparable(*results):
                text = "Both results agree."
            else:
                text = "The results are of different images, planes or regions."
            self.message.say(f"There is no object that differs to go to. {text}", warning=False)
            return
        change = changes[number - 1]
        self.navigator.show(
            change, placement, {arm: self.run.layers.layer(arm, self.state.subject) for arm in ARMS}
        )
        self.message.say(f"{number} of {len(changes)}: {change.words}", warning=False)

    def _result_layers(self) -> list[Any]:
        """Return the layers of the shown results: of both arms together, then preprocessed."""
        if self.state.kind == "whole":
            found = [self.run.whole.jobs.layer(arm, finished=True) for arm in SHOWN[::-1]]
        else:
            found = [self.run.layers.layer(arm, self.state.subject) for arm in SHOWN[::-1]]
        return [layer for layer in found if layer is not None]

    def _placement(self, arm: Shown) -> Placement | None:
        run = self.run.live_update.run_of(arm)
        return None if run is None else run.source.placement

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
        panel = settings.PanelOptions(
            unfolded=self.sections.unfolded,
            new_layers=self.run.native.new_layers.isChecked(),
            preferences=self._preferences.applied,
            loading=dict(self.state.memory.loading),
        )
        try:
            settings.save(self.state.recipe, panel)
        except OutputError as error:
            self.message.say(str(error))

    def sizeHint(self) -> QSize:
        """Ask for enough width to show everything whole."""
        return super().sizeHint().expandedTo(QSize(WIDTH, 0))

    def event(self, event: QEvent) -> bool:
        """Close for good when the dock is closed, which napari does by taking the panel out."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._shut()
        return bool(super().event(event))

    def _shut(self) -> None:
        """Leave nothing in the viewer but what the user asked for."""
        self.save()
        self.inspector.close_tool()
        self.navigator.close()
        self.prompter.close_tool()
        self.next.close_table()
        self.sections.shut()
        self.keys.release()
        self._preferences.close()
        self.deleteLater()

    def showEvent(self, event: QEvent) -> None:
        """Share the room with the plugin's other docks, and import what a run will need."""
        super().showEvent(event)
        if not self._joined:
            self._joined = True
            join_soon(self)
            QTimer.singleShot(heavy_imports.DELAY, heavy_imports.start)

    def hideEvent(self, event: QEvent) -> None:
        """Save what is still waiting, for the window may be closing."""
        super().hideEvent(event)
        if self._timer.isActive():
            self.save()
