"""The section Recipe: files, and the recipe as a snippet for Python or the shell."""

from __future__ import annotations

from collections.abc import Callable, Generator
from html import escape
from typing import TYPE_CHECKING

from magicgui.widgets import Container, PushButton
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_graysam._napari.forms.controls import Note
from napari_graysam._napari.forms.form import PartForm
from napari_graysam._napari.panel.settings import default_recipe, read_preferences
from napari_graysam._napari.panel.snippets import Copied, command_line, python_code
from napari_graysam._napari.threads.latest_request import LatestRequest
from napari_graysam.errors import GraysamError
from napari_graysam.recipe import Recipe

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget

    from napari_graysam._napari.panel.state import PanelState
    from napari_graysam.parameters import Part

FILES = "Recipes (*.yaml *.yml *.json)"


class RecipeSection(Container):
    """Loads, saves, resets and copies the panel's recipe.

    Parameters
    ----------
    state
        Whose recipe it is.

    Attributes
    ----------
    fields
        Widget of each of the recipe's parameters, by its dotted path.
    """

    title = "Recipe"

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._writer = LatestRequest(self._to_clipboard, on_error=self._refuse)
        self.form = PartForm(state.recipe, ("name", "description"))
        self.fields: dict[str, Widget] = self.form.fields
        self.load_button = _button("Load…", "Take the recipe of a file.")
        self.save_button = _button("Save…", "Write the recipe into a file.")
        self.reset_button = _button("Reset", "Back to the recipe of a first start.")
        self.undo_button = _button("Undo", "Back to the recipe before it was replaced as a whole.")
        self.python_button = _button("Copy as Python", "Code that segments the image like this.")
        self.shell_button = _button("Copy as command", "A command line of `graysam segment`.")
        self.message = Note()
        super().__init__(labels=True)
        self._lay_out()
        self._connect()
        self._follow(state.recipe)

    def _lay_out(self) -> None:
        self._rows = [
            _row(self.load_button, self.save_button, self.reset_button, self.undo_button),
            _row(self.python_button, self.shell_button),
        ]
        for widget in (self.form, *self._rows, self.message):
            self.native.layout().addWidget(widget.native)

    def _connect(self) -> None:
        self.form.part_changed.connect(self._rename)
        self.load_button.changed.connect(self._ask_load)
        self.save_button.changed.connect(self._ask_save)
        self.reset_button.changed.connect(self.reset)
        self.undo_button.changed.connect(self.undo)
        self.python_button.changed.connect(self.copy_python)
        self.shell_button.changed.connect(self.copy_command)
        self._state.recipe_changed.connect(self._follow)

    def _follow(self, recipe: Recipe) -> None:
        self.form.part = recipe
        self.undo_button.enabled = self._state.before is not None

    def _rename(self, part: Part) -> None:
        assert isinstance(part, Recipe)
        self._state.recipe = part

    def _replace(self, recipe: Recipe, message: str) -> None:
        self._state.replace(recipe)
        self._follow(self._state.recipe)
        self.message.say(message)

    def reset(self) -> None:
        """Take the recipe of a first start."""
        self._replace(default_recipe(read_preferences()), "The recipe is as at a first start.")

    def undo(self) -> None:
        """Swap the recipe with the one before it was replaced as a whole."""
        if self._state.before is not None:
            self._replace(self._state.before, "The recipe from before is back.")

    def load(self, path: str) -> None:
        """Take the recipe of a file; one that cannot be read changes nothing."""
        try:
            recipe = Recipe.from_file(path)
        except GraysamError as error:
            self._refuse(error)
            return
        self._replace(recipe, f"Loaded {path}.")

    def save(self, path: str) -> None:
        """Write the recipe into a file."""
        try:
            self._state.recipe.to_file(path)
        except GraysamError as error:
            self._refuse(error)
            return
        self.message.say(f"Saved {path}.")

    def _refuse(self, error: Exception) -> None:
        if not isinstance(error, GraysamError):
            raise error
        self.message.say("")
        self._state.problem.emit(str(error))

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self.native, "Load a recipe", "", FILES)
        if path:
            self.load(path)

    def _ask_save(self) -> None:
        start = f"{self._state.recipe.name or 'recipe'}.yaml"
        path, _ = QFileDialog.getSaveFileName(self.native, "Save the recipe", start, FILES)
        if path:
            self.save(path)

    def copy_python(self) -> None:
        """Put Python code into the clipboard."""
        self._copy(python_code, "Python code is in the clipboard.")

    def copy_command(self) -> None:
        """Put a command line into the clipboard."""
        self._copy(command_line, "The command line is in the clipboard.", of_file=True)

    def _copy(self, write: Callable[[Copied], str], message: str, *, of_file: bool = False) -> None:
        """Write a snippet in a worker thread, which draws the region, and copy it."""
        try:
            copied = Copied.of(self._state)
        except GraysamError as error:
            self._refuse(error)
            return
        if of_file and copied.unsaved:
            message += (
                f" “{copied.unsaved}” has no file: save the layer first, and write its file's "
                "name in place of image.tif."
            )
        self._writer.submit(lambda: _write(write, copied, message))

    def _to_clipboard(self, written: tuple[str, str]) -> None:
        text, message = written
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(text)
        self.message.say(message)


def _write(
    write: Callable[[Copied], str], copied: Copied, message: str
) -> Generator[tuple[str, str], None, None]:
    yield write(copied), message


def _button(text: str, about: str) -> PushButton:
    return PushButton(text=text, tooltip=f"<qt>{escape(about)}</qt>")


def _row(*buttons: PushButton) -> Container:
    row = Container(widgets=buttons, layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row
