"""The form of one part of the panel's recipe."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from napari_graysam._napari.forms.form import PartForm
from napari_graysam._napari.panel.state import PanelState
from napari_graysam.parameters import Part


class RecipeForm(PartForm):
    """Form of one part of the panel's recipe, bound to it both ways.

    Parameters
    ----------
    state
        Whose recipe is shown and changed.
    name
        The recipe's field, such as ``"labels"``.
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
        super().__init__(getattr(state.recipe, name), only, exclude, stage=stage)
        self.part_changed.connect(self._store)
        state.recipe_changed.connect(self._follow)

    def _store(self, part: Part) -> None:
        self._state.recipe = self._state.recipe.replace(**{self._path: part})

    def _follow(self) -> None:
        part = getattr(self._state.recipe, self._path)
        if part != self.part:
            self.part = part
