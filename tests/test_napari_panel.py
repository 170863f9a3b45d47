import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from types import SimpleNamespace

import fake_sections
import numpy as np
import pytest
from app_model.types import KeyBinding
from fake_results import placement, result, square
from napari.layers import Points
from npe2 import PluginManifest
from qtpy.QtWidgets import QFileDialog

import napari_graysam.comparison
from napari_graysam._napari.forms.folds import Column
from napari_graysam._napari.panel import settings
from napari_graysam._napari.panel.keys import SHORTCUTS
from napari_graysam._napari.panel.next_steps import NextSteps
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.panel.widget import MINIMUM_WIDTH, WIDTH, SegmentPanel
from napari_graysam.fingerprint import Fingerprint, Inputs
from napari_graysam.recipe import Recipe

FAKES = {
    "sections": (fake_sections.Image, fake_sections.Preprocessing, fake_sections.Thresholds),
    "run": fake_sections.Run,
}


@pytest.fixture
def panel(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    panel = SegmentPanel(viewer, **FAKES)
    viewer.window.add_dock_widget(panel, name="panel", area="right")
    return panel


def unfolded(panel):
    return list(panel.sections.unfolded)


def test_image_and_preprocessing_are_open_and_the_rest_folded(panel):
    assert list(panel.sections.folds) == ["Image", "Preprocessing", "Thresholds"]
    assert unfolded(panel) == ["Image", "Preprocessing"]


def test_a_folded_section_takes_no_room_and_an_open_one_shows_all_of_itself(
    make_napari_viewer_proxy, qtbot
):
    viewer = make_napari_viewer_proxy(show=True)
    panel = SegmentPanel(viewer, **FAKES)
    viewer.window.add_dock_widget(panel, area="right")
    assert [section.title for section in panel.sections.made] == ["Image", "Preprocessing"]
    fold = panel.sections.folds["Thresholds"]
    fold.toggleButton().click()
    content = panel.sections.section("Thresholds").native
    qtbot.waitUntil(lambda: content.height() >= content.sizeHint().height() > 0)
    label = content.layout().itemAt(0).widget()
    label.setText("\n".join("line" for _ in range(20)))
    qtbot.waitUntil(lambda: label.height() >= label.sizeHint().height() > 200)
    fold.toggleButton().click()
    button = fold.toggleButton()
    qtbot.waitUntil(lambda: 0 < fold.height() < 2 * button.height())
    assert not content.isVisible()
    assert panel.sections.section("Thresholds").native is content


def test_a_section_that_is_unfolded_late_shows_what_holds_by_then(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    assert [section.title for section in panel.sections.made] == ["Image", "Preprocessing"]
    viewer.add_image(np.zeros((8, 8)))
    region = viewer.add_shapes([[[0, 0], [4, 4]]], name="here")
    panel.state.region = region
    changed = {
        "model.precision": "bfloat16",
        "generator.points_per_side": 7,
        "generator.pred_iou_thresh": 0.125,
        "labels.min_area": 77,
        "labels.filters": [{"column": "area", "maximum": 50}],
        "second_look.rounds": 2,
        "name": "of the day",
    }
    assert panel.state.change(changed)
    for fold in panel.sections.folds.values():
        fold.expand(animate=False)
    made = panel.sections.made
    assert {section.title for section in made} == set(panel.sections.folds)
    fields = {
        name: widget for section in made for name, widget in getattr(section, "fields", {}).items()
    }
    filtered = changed.pop("labels.filters")
    assert {name: fields[name].value for name in changed} == changed
    assert [row.column for row in panel.sections.section("Filters").rows] == [filtered[0]["column"]]
    assert panel.sections.section("Points and crops").region.value == region
    panel.state.change({"labels.min_area": 78})
    assert fields["labels.min_area"].value == 78


def test_the_run_section_stays_in_sight(panel):
    inside = panel.findChild(Column).viewport()
    assert not inside.isAncestorOf(panel.run.native)
    assert inside.isAncestorOf(panel.sections.section("Image").native)


def test_the_panel_asks_for_no_more_room_than_a_small_screen_has(panel):
    assert panel.minimumSizeHint().height() < 500
    assert panel.minimumSizeHint().width() <= MINIMUM_WIDTH == panel.minimumWidth() <= 400


def test_sections_share_the_state_and_hear_of_layers(panel):
    assert {section.state for section in (*panel.sections.made, panel.run)} == {panel.state}
    before = [section.resets for section in (*panel.sections.made, panel.run)]
    panel.reset_choices()
    assert [section.resets for section in (*panel.sections.made, panel.run)] == [
        count + 1 for count in before
    ]


def test_napari_tells_the_docked_panel_of_new_layers(panel):
    before = panel.sections.section("Image").resets
    panel.state.viewer.add_points()
    assert panel.sections.section("Image").resets > before


def test_a_refused_value_is_explained_until_a_change_succeeds(panel):
    assert not panel.state.change({"generator.points_per_side": -1})
    assert "points_per_side" in panel.message.text
    assert not panel.message.isHidden()
    assert panel.state.change({"generator.points_per_side": 8})
    assert panel.message.isHidden()


def test_what_was_set_comes_back_at_the_next_start(panel):
    panel.state.change({"generator.points_per_side": 5})
    panel.sections.folds["Thresholds"].expand(animate=False)
    panel.sections.folds["Image"].collapse(animate=False)
    panel.run.native.new_layers.setChecked(True)
    panel.state.memory.loading["graysam-small"] = 4.5
    panel.save()
    again = SegmentPanel(panel.state.viewer, **FAKES)
    assert again.state.recipe.generator.points_per_side == 5
    assert unfolded(again) == ["Preprocessing", "Thresholds"]
    assert again.run.native.new_layers.isChecked()
    assert again.state.memory.loading == {"graysam-small": 4.5}


def test_changes_are_saved_after_a_moment(panel, qtbot):
    panel.state.change({"generator.points_per_side": 5})
    assert settings.restore().recipe == Recipe.preset()
    qtbot.waitUntil(lambda: settings.restore().recipe == panel.state.recipe, timeout=5000)


def test_closing_the_dock_saves(panel):
    panel.state.change({"generator.points_per_side": 5})
    panel.state.viewer.window.remove_dock_widget(panel)
    assert settings.restore().recipe.generator.points_per_side == 5


def test_a_damaged_recipe_is_said_once_and_stays_said(make_napari_viewer_proxy):
    (settings.config_folder() / settings.RECIPE_FILE).write_text("{{{")
    viewer = make_napari_viewer_proxy()
    panel = SegmentPanel(viewer, **FAKES)
    assert "set aside" in panel.message.text
    panel.state.change({"generator.points_per_side": 5})
    assert "set aside" in panel.message.text
    assert SegmentPanel(viewer, **FAKES).message.text == ""


def test_a_changed_preference_reaches_the_open_panel(
    make_napari_viewer_proxy, plugin_settings, npe2pm
):
    npe2pm.register(PluginManifest.from_distribution("napari-graysam"))
    panel = SegmentPanel(make_napari_viewer_proxy(), **FAKES)
    settings.plugin_settings().models.device = "cpu"
    assert panel.state.recipe.model.device == "cpu"


def press(viewer, name):
    """Press one of the panel's keys on the viewer."""
    viewer.keymap[KeyBinding.from_str(SHORTCUTS[name].key)](viewer)


def test_keys_run_cancel_preview_and_switch(panel):
    for name in ("run", "cancel", "arms", "preview", "why"):
        press(panel.state.viewer, name)
    assert panel.run.calls == ["run", "cancel", "arms"]
    assert panel.sections.section("Preprocessing").toggled
    assert panel.inspector.active
    assert not panel.inspector.isHidden()


def test_tooltips_tell_the_keys(panel):
    view = panel.run.native
    tips = [one.toolTip() for one in (view.both, view.cancel, panel.why)]
    assert [tip.rpartition(" (")[2] for tip in tips] == ["Ctrl+Enter)", "Ctrl+.)", "W)"]
    assert panel.sections.section("Preprocessing").preview_box.toolTip() == "Show the preview (H)"


def test_a_closed_panel_leaves_no_keys_and_no_clicks(panel):
    viewer = panel.state.viewer
    before = len(viewer.mouse_drag_callbacks)
    panel.why.setChecked(True)
    assert len(viewer.mouse_drag_callbacks) == before + 1
    assert len(viewer.keymap) == len(SHORTCUTS)
    viewer.window.remove_dock_widget(panel)
    assert len(viewer.mouse_drag_callbacks) == before
    assert len(viewer.keymap) == 0


@pytest.fixture
def compared(panel):
    """A panel with two results of a moved and scaled image, which differ in two objects."""
    place = placement((40, 60), scale=(2, 3), translate=(100, 0))
    panel.run.runs.update(preprocessed=SimpleNamespace(source=SimpleNamespace(placement=place)))
    same, lost, gained = square(0, 0), square(10, 20), square(30, 40)
    panel.state.set_result("raw", result((same, lost)))
    panel.state.set_result("preprocessed", result((same, gained)))
    return panel


def test_next_and_previous_centre_the_view_on_what_differs(compared, qtbot):
    viewer = compared.state.viewer
    where = {"gained": (100 + 2 * 31.5, 3 * 41.5), "lost": (100 + 2 * 11.5, 3 * 21.5)}
    for name, change in (("next", "gained"), ("next", "lost"), ("next", "gained")):
        press(viewer, name)
        qtbot.waitUntil(lambda change=change: change in compared.message.text, timeout=60_000)
        assert tuple(viewer.scene.camera.center)[-2:] == pytest.approx(where[change])
    press(viewer, "previous")
    assert "2 of 2: lost (raw 2)" in compared.message.text


def test_what_differs_is_outlined_and_the_layer_that_holds_it_turned_on(compared, qtbot):
    viewer = compared.state.viewer
    raw = viewer.add_labels(np.zeros((40, 60), int), name="cells [raw]", visible=False)
    compared.run.shown["raw"] = raw
    press(viewer, "previous")
    qtbot.waitUntil(lambda: "lost" in compared.message.text, timeout=60_000)
    assert raw.visible
    outline = viewer.layers["change"]
    np.testing.assert_allclose(outline.data_to_world((1, 1)), (100 + 2 * 10, 3 * 20))
    compared.state.set_result("raw", None)
    assert outline not in viewer.layers


def test_results_are_compared_in_another_thread(compared, qtbot, monkeypatch):
    found, real = [], napari_graysam.comparison.compare_masks
    monkeypatch.setattr(
        napari_graysam.comparison,
        "compare_masks",
        lambda *some: found.append(threading.current_thread()) or real(*some),
    )
    press(compared.state.viewer, "next")
    qtbot.waitUntil(lambda: "gained" in compared.message.text, timeout=60_000)
    assert len(found) == 1
    assert threading.main_thread() not in found


def test_results_of_different_images_are_not_compared(compared, qtbot):
    def of_image(digest):
        inputs = Inputs(image=digest, model={}, versions={})
        fingerprint = Fingerprint.of(Recipe(), inputs).model_dump()
        return replace(result((square(0, 0),)), provenance={"fingerprint": fingerprint})

    compared.state.set_result("raw", of_image("one"))
    compared.state.set_result("preprocessed", of_image("other"))
    press(compared.state.viewer, "next")
    assert "There is no object that differs" in compared.message.text
    assert "different images" in compared.message.text


def test_without_two_results_next_says_what_to_do(panel):
    press(panel.state.viewer, "next")
    assert "Segment both first" in panel.message.text


def test_the_panel_opens_from_the_manifest(make_napari_viewer_proxy, npe2pm):
    npe2pm.register(PluginManifest.from_distribution("napari-graysam"))
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.zeros((8, 8)))
    _, panel = viewer.window.add_plugin_dock_widget("napari-graysam", "Segment everything (SAM 2)")
    assert isinstance(panel, SegmentPanel)
    assert list(panel.sections.folds) == [
        "Image",
        "Preprocessing",
        "Model",
        "Points and crops",
        "Thresholds",
        "Labels",
        "Filters",
        "Second look",
        "Stack",
        "Recipe",
    ]
    assert panel.state.layer.name == "Image"
    assert panel.minimumSizeHint().width() <= WIDTH
    assert len(viewer.keymap) == len(SHORTCUTS)


def test_importing_the_panel_loads_no_torch():
    code = """
        import sys
        import napari_graysam._napari.panel.widget
        heavy = {"torch", "sam2", "skimage"} & set(sys.modules)
        sys.exit(", ".join(heavy) or None)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_after_a_result_comes_what_to_do_with_it(make_napari_viewer_proxy, monkeypatch, tmp_path):
    viewer = make_napari_viewer_proxy()
    state = PanelState(viewer)
    layer = viewer.add_labels(np.eye(4, dtype=int), features={"index": [1], "area": [4]})
    row = NextSteps(state, lambda: [layer])
    assert row.isHidden()
    state.set_result("raw", result((square(0, 0),)))
    assert not row.isHidden()
    assert not row.compare.isEnabled()
    heard = []
    state.said.connect(lambda text, warning: heard.append(text))
    path = tmp_path / "cells"
    chosen = (str(path), "Table of objects (*.csv)")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *some: chosen)
    row.save.click()
    assert (tmp_path / "cells.csv").read_text().startswith("index,area,")
    assert heard == [f"Saved {path}.csv."]
    (tmp_path / "cells.csv").write_text("mine")
    row.save.click()
    assert "cells.csv is there already" in heard[-1]
    assert (tmp_path / "cells.csv").read_text() == "mine"
    state.set_result("raw", None)
    assert row.isHidden()


def test_a_layer_that_the_plugin_draws_leaves_the_chosen_image(make_napari_viewer_proxy):
    """napari hands a plugin another proxy of the same layer each time."""
    viewer = make_napari_viewer_proxy()
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    viewer.add_image(np.zeros((8, 8)), name="cells")
    assert panel.state.layer is not None
    changes = []
    panel.state.layer_changed.connect(changes.append)
    viewer.layers.append(Points(name="prompt"))
    viewer.layers.selection.active = viewer.layers["cells"]
    assert changes == []
