"""A section of the panel that edits one part of the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from magicgui.widgets import Container

from napari_graysam._napari.forms.controls import more
from napari_graysam._napari.forms.recipe_form import RecipeForm, fields_of

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState


class PartSection(Container):
    """The common parameters of a part of the recipe, and the others in a fold below.

    Parameters
    ----------
    state
        Whose recipe is shown and changed.
    part
        The recipe's field, such as ``"stack"``.
    common
        Parameters that are always in sight.
    elsewhere
        Parameters that another section edits.

    Attributes
    ----------
    fields
        Widget of each of the recipe's parameters, by its dotted path.
    """

    def __init__(
        self, state: PanelState, part: str, common: Sequence[str], elsewhere: Sequence[str] = ()
    ) -> None:
        self._state = state
        self.common = RecipeForm(state, part, common)
        self.more = RecipeForm(state, part, exclude=(*common, *elsewhere))
        self.fields = fields_of(self.common, self.more)
        super().__init__(labels=False)
        column = self.native.layout()
        column.addWidget(self.common.native)
        column.addWidget(more(self.more.native))
        state.recipe_changed.connect(self._follow)
        self._follow()

    def _follow(self) -> None:
        """Enable the fields that count in the recipe as it is."""
