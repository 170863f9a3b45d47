"""The section Stack: which planes are segmented, and how objects go through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_graysam._napari.forms.part_section import PartSection

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState

COMMON = ("axis", "first", "last", "step", "link")


class StackSection(PartSection):
    """Edits ``recipe.stack``."""

    title = "Stack"

    def __init__(self, state: PanelState) -> None:
        super().__init__(state, "stack", COMMON)

    def _follow(self) -> None:
        self.fields["stack.linking"].enabled = self._state.recipe.stack.link != "none"
