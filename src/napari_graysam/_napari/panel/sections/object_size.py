"""The size of a typical object: typed, drawn as a shape, or taken from a selected label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import Container, PushButton

from napari_graysam._napari.canvas.drawn import drawn_diameter
from napari_graysam._napari.forms.controls import Note
from napari_graysam._napari.forms.recipe_form import RecipeForm
from napari_graysam.errors import GraysamError
from napari_graysam.recipe import objects_notes

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState

NAME = "typical object"
HOW = (
    "Draw an ellipse around one object, or select the label of one in a Labels layer; keep that "
    "layer active and press “Draw one” again."
)
TAKE = (
    "Take the size from what is selected: the last shape of the active Shapes layer, or the "
    "selected label of the active Labels layer. With neither, a Shapes layer to draw in is added."
)


class ObjectSize(Container):
    """Edits ``recipe.image.object_diameter``, and says what follows from it.

    Parameters
    ----------
    state
        Whose recipe is shown and changed.
    """

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self.form = RecipeForm(state, "image", ("object_diameter",))
        self.take = PushButton(text="Draw one", tooltip=f"<qt>{TAKE}</qt>")
        self.effect = Note()
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        column = self.native.layout()
        for widget in (self.form, self.take, self.effect):
            column.addWidget(widget.native)
        self.take.changed.connect(self._take)

    def describe(self, shape: tuple[int, ...] | None) -> None:
        """Say what follows in an image of a shape (H, W); nothing where there is none."""
        try:
            notes = () if shape is None else objects_notes(self._state.recipe, shape)
        except GraysamError as error:
            notes = (f"⚠ {error}",)
        self.effect.say("\n".join(notes))

    def _take(self) -> None:
        state = self._state
        active = state.viewer.layers.selection.active
        try:
            source = state.read_source()
        except GraysamError as error:
            state.said.emit(str(error), True)
            return
        diameter = drawn_diameter(active, source)
        if diameter is not None:
            state.change({"image.object_diameter": round(diameter, 1)})
            return
        if type(active).__name__ != "Shapes":
            active = state.viewer.add_shapes(name=NAME, ndim=2)
        active.mode = "add_ellipse"
        state.said.emit(HOW, False)
