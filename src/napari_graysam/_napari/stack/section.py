"""The section Stack: which planes are segmented, and how objects go through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import Container

from napari_graysam._napari.forms.controls import more
from napari_graysam._napari.forms.recipe_form import RecipeForm

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget

    from napari_graysam._napari.panel.state import PanelState

COMMON = ("axis", "first", "last", "step", "link")


class StackSection(Container):
    """Edits ``recipe.stack``.

    Parameters
    ----------
    state
        Whose recipe is shown and changed.

    Attributes
    ----------
    fields
        Widget of each of the recipe's parameters, by its dotted path.
    """

    title = "Stack"

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self.common = RecipeForm(state, "stack", COMMON)
        self.more = RecipeForm(state, "stack", exclude=COMMON)
        self.fields: dict[str, Widget] = {
            f"stack.{name}": widget
            for form in (self.common, self.more)
            for name, widget in form.fields.items()
        }
        super().__init__(labels=False)
        column = self.native.layout()
        column.addWidget(self.common.native)
        column.addWidget(more(self.more.native))
        state.recipe_changed.connect(self._follow)
        self._follow()

    def _follow(self, *_: object) -> None:
        stack = self._state.recipe.stack
        for name, widget in self.fields.items():
            if name == "stack.linking":
                widget.enabled = stack.link != "none"
