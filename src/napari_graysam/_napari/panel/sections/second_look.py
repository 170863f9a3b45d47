"""The section Second look: asking the model again, for what it missed and for outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import Container, PushButton

from napari_graysam._napari.forms.controls import more
from napari_graysam._napari.forms.recipe_form import RecipeForm, fields_of

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState

COMMON = ("rounds", "pred_iou_thresh")


class SecondLookSection(Container):
    """Edits ``recipe.second_look`` and ``recipe.refine``, and looks again where it is asked to.

    Parameters
    ----------
    state
        Whose recipe is shown and changed.

    Attributes
    ----------
    fields
        Widget of each of the recipe's parameters, by its dotted path.
    look
        Switches the second look on and starts a run, which reuses the first pass.
    """

    title = "Second look"

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self.common = RecipeForm(state, "second_look", COMMON)
        self.more = RecipeForm(state, "second_look", exclude=COMMON)
        self.outlines = RecipeForm(state, "", ("refine",))
        self.fields = fields_of(self.common, self.more)
        self._of_look = {**self.fields}
        self.fields |= self.outlines.fields
        self.look = PushButton(text="Look again")
        self.look.tooltip = (
            "<qt>Ask the model again where nothing was found, on enlarged windows with their own "
            "contrast. What was found stays; the first pass is not repeated.</qt>"
        )
        super().__init__(labels=False)
        column = self.native.layout()
        column.addWidget(self.common.native)
        column.addWidget(self.look.native)
        column.addWidget(more(self.more.native))
        column.addWidget(self.outlines.native)
        self.look.changed.connect(self._look)
        for signal in (state.recipe_changed, state.running_changed, state.layer_changed):
            signal.connect(self._follow)
        self._follow()

    def _look(self) -> None:
        if not self._state.recipe.second_look.enabled:
            self._state.change({"second_look.rounds": 1})
        self._state.run_asked.emit()

    def _follow(self, *_: object) -> None:
        self.look.enabled = self._state.layer is not None and not self._state.running
        on = self._state.recipe.second_look.enabled
        for name, widget in self._of_look.items():
            widget.enabled = on or name == "second_look.rounds"
