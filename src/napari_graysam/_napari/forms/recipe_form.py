"""The form of one part of the panel's recipe."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from napari_graysam._napari.forms.form import PartForm
from napari_graysam._napari.panel.state import PanelState
from napari_graysam.parameters import Part

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget


class RecipeForm(PartForm):
    """Form of one part of the panel's recipe, bound to it both ways.

    Parameters
    ----------
    state
        Whose recipe is shown and changed.
    name
        The recipe's field, such as ``"labels"``; empty for the recipe's own fields.
    only, exclude, stage
        As for `PartForm`.
    """

    def __init__(
        self,
        state: PanelState,
        name: str,
        only: Sequence[str] | None = None,
        exclude: Collection[str] = (),
        *,
        stage: str | None = None,
    ) -> None:
        self._state, self._path = state, name
        super().__init__(self._current, only, exclude, stage=stage)
        self.part_changed.connect(self._store)
        state.recipe_changed.connect(self._follow)

    @property
    def _current(self) -> Part:
        recipe = self._state.recipe
        part: Part = getattr(recipe, self._path) if self._path else recipe
        return part

    @property
    def by_path(self) -> dict[str, Widget]:
        """Its fields, by the dotted path of the recipe's parameter."""
        start = f"{self._path}." if self._path else ""
        return {start + name: widget for name, widget in self.fields.items()}

    def _store(self, part: Part) -> None:
        recipe = self._state.recipe
        values = (
            {self._path: part}
            if self._path
            else {name: getattr(part, name) for name in self.fields}
        )
        self._state.recipe = recipe.replace(**values)

    def _follow(self) -> None:
        if self._current != self.part:
            self.part = self._current


def fields_of(*forms: RecipeForm) -> dict[str, Widget]:
    """Return the fields of several forms, by the dotted paths of the recipe's parameters."""
    return {path: widget for form in forms for path, widget in form.by_path.items()}
