import os

import pytest
from npe2 import PluginManifest

from napari_graysam._napari.panel import settings
from napari_graysam.model.catalog import CATALOG
from napari_graysam.model.weights import FOLDERS_VARIABLE, model_folders
from napari_graysam.recipe import Recipe


@pytest.fixture
def preferences(plugin_settings, npe2pm):
    """napari's settings object of this plugin, in a folder of the test's own."""
    npe2pm.register(PluginManifest.from_distribution("napari-graysam"))
    return settings.plugin_settings()


def changed(**values):
    return Recipe.preset().with_values({key.replace("__", "."): v for key, v in values.items()})


def test_recipe_and_panel_come_back():
    recipe = Recipe.preset("low-contrast").with_values({"generator.points_per_side": 7})
    panel = settings.PanelOptions(unfolded=("Labels",))
    settings.save(recipe, panel)
    session = settings.restore()
    assert session.recipe == recipe
    assert session.panel == panel
    assert session.messages == ()


def test_a_first_start_has_the_default_recipe_and_says_nothing():
    session = settings.restore()
    assert session.recipe == Recipe.preset()
    assert session.panel.unfolded is None
    assert session.messages == ()


@pytest.mark.parametrize("content", ["{{{", "schema_version: 999", "generator: 3", "\0\1", "- 1"])
@pytest.mark.parametrize("name", [settings.RECIPE_FILE, settings.PANEL_FILE])
def test_a_damaged_file_is_set_aside_with_a_message(name, content):
    path = settings.config_folder() / name
    path.parent.mkdir(exist_ok=True)
    for number in (1, 2):
        path.write_text(content)
        session = settings.restore()
        assert session.recipe == Recipe.preset()
        (message,) = session.messages
        assert "set aside" in message
        assert not path.exists()
        kept = sorted(path.parent.glob(f"{path.stem}.damaged*"))
        assert len(kept) == number
        assert {one.read_text() for one in kept} == {content}


def test_bytes_that_are_no_text_are_set_aside():
    path = settings.config_folder() / settings.RECIPE_FILE
    path.write_bytes(b"\xff\xfe\xff")
    assert "set aside" in settings.restore().messages[0]


def test_a_damaged_panel_file_does_not_cost_the_recipe():
    settings.save(changed(generator__points_per_side=9), settings.PanelOptions())
    (settings.config_folder() / settings.PANEL_FILE).write_text("{{{")
    assert settings.restore().recipe.generator.points_per_side == 9


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path, monkeypatch):
    from napari_graysam.errors import OutputError

    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv(settings.FOLDER_VARIABLE, str(blocked / "config"))
    with pytest.raises(OutputError):
        settings.save(Recipe.preset(), settings.PanelOptions())


def test_without_the_variable_the_platform_chooses_the_folder(monkeypatch):
    monkeypatch.delenv(settings.FOLDER_VARIABLE)
    assert settings.config_folder().name == "napari-graysam"


def test_preferences_are_those_of_napari(preferences):
    assert settings.read_preferences() == settings.Preferences()
    preferences.models.device = "cpu"
    preferences.models.model = "sam2.1_hiera_tiny"
    preferences.models.folder = "weights"
    assert settings.read_preferences() == settings.Preferences(
        folder="weights", model="sam2.1_hiera_tiny", device="cpu"
    )


def test_without_a_manifest_preferences_are_the_defaults(plugin_settings):
    assert settings.read_preferences() == settings.Preferences()


def test_the_preferences_page_offers_exactly_the_catalogue(preferences):
    properties = type(preferences.models).model_json_schema()["properties"]
    assert properties["model"]["enum"] == [entry.name for entry in CATALOG]
    assert properties["model"]["default"] == Recipe().model.name
    for device in properties["device"]["enum"]:
        assert changed(model__device=device).model.device == device


def test_a_first_start_follows_the_preferences(preferences):
    preferences.models.model = "sam2.1_hiera_tiny"
    preferences.models.device = "cpu"
    recipe = settings.restore().recipe
    assert (recipe.model.name, recipe.model.device) == ("sam2.1_hiera_tiny", "cpu")
    assert recipe.generator.pred_iou_thresh == 0.8


def test_a_later_start_follows_only_preferences_that_have_changed(preferences):
    preferences.models.device = "cpu"
    session = settings.restore()
    mine = session.recipe.with_values({"model.device": "cuda"})
    settings.save(mine, session.panel)
    assert settings.restore().recipe.model.device == "cuda"
    preferences.models.device = "mps"
    assert settings.restore().recipe.model.device == "mps"


def test_a_preferred_model_does_not_replace_a_file_of_ones_own():
    recipe = changed(model__checkpoint="mine.pt")
    now = settings.Preferences(model="sam2.1_hiera_tiny")
    assert settings.follow(recipe, settings.Preferences(), now).model == recipe.model


def test_a_preferred_model_brings_thresholds_that_suit_it():
    now = settings.Preferences(model="sam2.1_hiera_tiny")
    followed = settings.follow(Recipe.preset(), settings.Preferences(), now)
    assert followed == Recipe.preset(model="sam2.1_hiera_tiny")


def test_the_model_folder_is_searched_first_and_forgotten_when_changed(tmp_path, monkeypatch):
    shared, mine, other = (str(tmp_path / name) for name in ("shared", "mine", "other"))
    monkeypatch.setenv(FOLDERS_VARIABLE, shared)
    settings.use_model_folder(mine)
    assert [str(folder) for folder in model_folders()[:2]] == [mine, shared]
    settings.use_model_folder(mine)
    settings.use_model_folder(other, mine)
    assert [str(folder) for folder in model_folders()[:2]] == [other, shared]
    settings.use_model_folder("", other)
    assert os.environ[FOLDERS_VARIABLE] == shared


def test_without_a_model_folder_the_variable_stays_unset(monkeypatch):
    monkeypatch.delenv(FOLDERS_VARIABLE, raising=False)
    settings.use_model_folder("")
    assert FOLDERS_VARIABLE not in os.environ
