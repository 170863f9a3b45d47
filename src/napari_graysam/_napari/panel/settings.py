"""What comes back at the next start: the recipe, the panel's state, and the Preferences page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import Field, ValidationError

from napari_graysam.atomic import write_text
from napari_graysam.errors import GraysamError, RecipeError
from napari_graysam.parameters import Part
from napari_graysam.recipe import Recipe

if TYPE_CHECKING:
    from napari_graysam._napari.panel.state import PanelState

PLUGIN = "napari-graysam"
FOLDER_VARIABLE = "GRAYSAM_CONFIG"
MODELS_VARIABLE = "GRAYSAM_MODELS"
RECIPE_FILE = "recipe.yaml"
PANEL_FILE = "panel.yaml"

Content = TypeVar("Content")


class Preferences(Part):
    """napari's Preferences page of this plugin."""

    folder: str = ""
    model: str = "graysam-small"
    device: str = "auto"


class PanelOptions(Part):
    """How the panel was left.

    Attributes
    ----------
    unfolded
        Titles of the open sections; None before the first start.
    new_layers
        Whether each run adds layers.
    preferences
        Those that the recipe has followed already.
    loading
        Seconds that models took to load, by their names or files.
    """

    unfolded: tuple[str, ...] | None = None
    new_layers: bool = False
    preferences: Preferences = Preferences()
    loading: Mapping[str, float] = Field(default_factory=dict)


class Session(NamedTuple):
    """Where the user left off, and what must be said about it."""

    recipe: Recipe
    panel: PanelOptions
    messages: tuple[str, ...] = ()


def config_folder() -> Path:
    """Return the folder of the panel's files: ``$GRAYSAM_CONFIG``, or the platform's own."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_config_path

    return user_config_path(PLUGIN, appauthor=False)


def plugin_settings() -> Any | None:
    """Return napari's settings object of this plugin; None where napari does not know it."""
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:
        return None


def read_preferences() -> Preferences:
    """Return what napari's Preferences page says."""
    settings = plugin_settings()
    if settings is None:
        return Preferences()
    models = settings.models
    return Preferences(folder=models.folder, model=models.model, device=models.device)


def default_recipe(preferences: Preferences) -> Recipe:
    """Return the recipe of a first start.

    Parameters
    ----------
    preferences
        Name the model and the device.
    """
    recipe = Recipe.preset(model=preferences.model)
    return recipe.replace(model=recipe.model.replace(device=preferences.device))


def use_model_folder(folder: str, before: str = "") -> None:
    """Search a folder for model files before all others, in this process and its children.

    Parameters
    ----------
    folder
        The folder; nothing where empty.
    before
        The folder of an earlier call, which is searched no longer.
    """
    folders = os.environ.get(MODELS_VARIABLE, "").split(os.pathsep)
    kept = [one for one in folders if one and one not in (folder, before)]
    joined = os.pathsep.join([folder, *kept] if folder else kept)
    if joined:
        os.environ[MODELS_VARIABLE] = joined
    else:
        os.environ.pop(MODELS_VARIABLE, None)


def restore() -> Session:
    """Read what the last session left; a damaged file is set aside and spoken of.

    A preference that was changed since then wins over the recipe.
    """
    preferences = read_preferences()
    recipe, recipe_problem = _read(RECIPE_FILE, Recipe.from_yaml)
    panel, panel_problem = _read(PANEL_FILE, _panel)
    panel = PanelOptions() if panel is None else panel
    if recipe is None:
        recipe = default_recipe(preferences)
    else:
        recipe = follow(recipe, panel.preferences, preferences)
    messages = tuple(text for text in (recipe_problem, panel_problem) if text)
    return Session(recipe, panel.replace(preferences=preferences), messages)


def follow(recipe: Recipe, before: Preferences, now: Preferences) -> Recipe:
    """Return the recipe with the model and the device of preferences that have changed.

    Thresholds that were not edited follow the model.
    """
    if now.model != before.model and recipe.model.checkpoint is None:
        recipe = recipe.with_model(now.model)
    if now.device != before.device:
        recipe = recipe.replace(model=recipe.model.replace(device=now.device))
    return recipe


class PreferencesFollower:
    """Lets the recipe and the search for models follow napari's Preferences page.

    Parameters
    ----------
    state
        Whose recipe follows.
    applied
        The preferences that the recipe has followed already.
    """

    def __init__(self, state: PanelState, applied: Preferences) -> None:
        self._state = state
        self._settings = plugin_settings()
        self.applied = applied
        use_model_folder(applied.folder)
        if self._settings is not None:
            self._settings.events.changed.connect(self._on_change)

    def close(self, *_: object) -> None:
        """Follow no more."""
        if self._settings is not None:
            self._settings.events.changed.disconnect(self._on_change)
            self._settings = None

    def _on_change(self, event: Any = None) -> None:
        before, self.applied = self.applied, read_preferences()
        use_model_folder(self.applied.folder, before.folder)
        self._state.recipe = follow(self._state.recipe, before, self.applied)


def save(recipe: Recipe, panel: PanelOptions) -> None:
    """Write both files, each whole or not at all.

    Raises
    ------
    OutputError
        If the folder or a file cannot be written.
    """
    from napari_graysam.documents import dump_yaml

    _write(RECIPE_FILE, recipe.to_yaml())
    _write(PANEL_FILE, dump_yaml(panel.model_dump(mode="json")))


def _write(name: str, text: str) -> None:
    write_text(config_folder() / name, text)


def _panel(text: str, source: str) -> PanelOptions:
    from napari_graysam.documents import load_yaml

    try:
        return PanelOptions.model_validate(load_yaml(text, source))
    except ValidationError as error:
        raise RecipeError(f"{source} does not describe the panel: {error}") from error


def _read(name: str, parse: Callable[[str, str], Content]) -> tuple[Content | None, str | None]:
    """Return a file's content, if there is any, and what is wrong with it, if anything."""
    path = config_folder() / name
    try:
        return parse(path.read_text(encoding="utf-8"), str(path)), None
    except FileNotFoundError:
        return None, None
    except (GraysamError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        return None, f"The saved {path.stem} could not be read ({reason}). {_set_aside(path)}"
    except OSError as error:
        return None, f"The saved {path.stem} could not be read: {error}."


def _set_aside(path: Path) -> str:
    """Keep a damaged file under another name."""
    target = path.with_name(f"{path.stem}.damaged{path.suffix}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")
    with suppress(OSError):
        path.rename(target)
        return f"It was set aside as {target}; the panel starts afresh."
    return "The panel starts afresh."
