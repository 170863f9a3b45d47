"""Both arms together in the panel: a layer of its own, from what both arms kept."""

import numpy as np
import pytest
import stub_run

from napari_graysam import segment
from napari_graysam._napari.inspect.tool import Inspector
from napari_graysam._napari.panel.sections.labels import LabelsSection
from napari_graysam._napari.panel.sections.run import RunSection
from napari_graysam._napari.panel.state import PanelState

IMAGE = stub_run.squares(1, 0.9, 0.6, 0.3, 0.2)
START = stub_run.START.with_values({"preprocess": "[{kind: gamma, gamma: 0.5}]"})
UNION = START.with_values({"arms": "union"})


@pytest.fixture
def stub(monkeypatch):
    return stub_run.install(monkeypatch)


@pytest.fixture
def section(make_napari_viewer_proxy, stub, qtbot):
    viewer = make_napari_viewer_proxy()
    section = RunSection(PanelState(viewer, UNION))
    viewer.window.add_dock_widget(section.native, name="Run")
    section.state.layer = viewer.add_image(IMAGE, name="cells")
    yield section
    settle(qtbot, section)


def settle(qtbot, section):
    update = section.live_update
    workers = (update._selecting, update._measuring, update._inputs)
    qtbot.waitUntil(lambda: not section.state.running, timeout=60_000)
    for _ in range(2):
        qtbot.waitUntil(lambda: not any(one.busy for one in workers), timeout=60_000)
        qtbot.waitUntil(lambda: not update._settled.isActive(), timeout=60_000)
    section.layers.queue.finish()


def run(section, qtbot):
    section.native.both.click()
    settle(qtbot, section)


def change(section, qtbot, **values):
    section.state.change({name.replace("__", "."): value for name, value in values.items()})
    settle(qtbot, section)


def counts(section):
    results = section.state.results
    for arm, result in results.items():
        assert section.layers.layer(arm).data.max() == len(result.masks)
    return {arm: len(result.masks) for arm, result in results.items()}


def test_a_union_is_a_third_layer_and_names_each_objects_arm(section, stub, qtbot):
    assert section.native.both.text() == "Both, and union"
    run(section, qtbot)
    assert counts(section) == {"raw": 3, "preprocessed": 4, "combined": 4}
    layer = section.layers.layer("combined")
    assert layer.name == "cells [combined]"
    assert layer.metadata["napari-graysam"]["recipe"]["arms"] == "union"
    result = section.state.results["combined"]
    assert set(layer.features["source"][1:]) <= {"raw", "preprocessed"}
    np.testing.assert_array_equal(result.labels, segment(IMAGE, UNION).labels)
    assert "arms: union" in section.native.results["combined"].text()


def test_a_consensus_and_thresholds_follow_without_the_model(section, stub, qtbot):
    run(section, qtbot)
    asked = len(stub.calls)
    change(section, qtbot, arms="consensus")
    assert counts(section)["combined"] == 3
    change(section, qtbot, generator__pred_iou_thresh=0.25)
    assert counts(section) == {"raw": 4, "preprocessed": 5, "combined": 4}
    change(section, qtbot, arms="union")
    assert counts(section)["combined"] == 5
    assert len(stub.calls) == asked


def test_arms_that_are_there_are_combined_when_the_recipe_asks_for_it(section, stub, qtbot):
    section.state.recipe = START
    run(section, qtbot)
    assert set(counts(section)) == {"raw", "preprocessed"}
    asked = len(stub.calls)
    change(section, qtbot, arms="union")
    assert counts(section) == {"raw": 3, "preprocessed": 4, "combined": 4}
    assert len(stub.calls) == asked
    change(section, qtbot, arms="preprocessed")
    assert counts(section)["combined"] == 4
    assert "one arm only" in section.live_update.outdated["combined"]
    assert "raw" not in section.live_update.outdated


def test_a_new_run_of_one_arm_renews_what_is_combined(section, stub, qtbot):
    run(section, qtbot)
    first = section.state.results["combined"]
    change(section, qtbot, preprocess="[{kind: gamma, gamma: 0.25}]")
    assert "Run again" in section.live_update.outdated["combined"]
    section.native.preprocessed.click()
    settle(qtbot, section)
    assert section.state.results["combined"] is not first
    assert counts(section)["combined"] == 5
    assert not section.live_update.outdated


def test_the_objects_of_both_arms_have_one_colour(section, stub, qtbot):
    run(section, qtbot)
    layers = [section.layers.layer(arm) for arm in ("raw", "preprocessed", "combined")]
    y, x = 8, 8
    colours = [tuple(layer.get_color(int(layer.data[y, x]))) for layer in layers]
    assert len(set(colours)) == 1


def test_the_raw_arm_alone_is_run_where_the_recipe_asks_for_it(section, stub, qtbot):
    change(section, qtbot, arms="raw")
    assert section.native.both.text() == "Raw arm"
    run(section, qtbot)
    assert set(counts(section)) == {"raw"}


def test_without_preprocessing_there_is_nothing_to_combine(section, stub, qtbot):
    change(section, qtbot, preprocess="[]")
    run(section, qtbot)
    assert set(counts(section)) == {"raw", "preprocessed"}


def test_the_combined_result_says_what_became_of_candidates(section, stub, qtbot):
    run(section, qtbot)
    change(section, qtbot, arms="consensus")
    tool = Inspector(section.state, lambda arm: section.live_update.run_of(arm).source.placement)
    assert tool.arm.currentText() == "combined"
    selector = section.state.selectors["combined"]
    recipe = section.state.recipe
    # The fourth square: 0.3 raw, 0.55 preprocessed.
    found = selector.explain(44, 8, recipe.generator, recipe.labels)
    assert {one.reason for one in found} >= {"consensus", "predicted_iou"}
    tool.deleteLater()


def test_the_field_of_the_arms_is_the_recipes(make_napari_viewer_proxy, qtbot):
    state = PanelState(make_napari_viewer_proxy(), START)
    labels = LabelsSection(state)
    assert not labels.fields["arms_thresholds"].enabled
    labels.fields["arms"].value = "union"
    assert state.recipe.arms == "union"
    assert labels.fields["arms_thresholds"].enabled
    state.recipe = START.with_values({"arms": "raw"})
    assert labels.fields["arms"].value == "raw"
    labels.shut()


def test_switching_arms_hides_what_is_combined(section, stub, qtbot):
    run(section, qtbot)
    assert section.layers.layer("combined").visible
    section.toggle_arms()
    shown = {arm: section.layers.layer(arm).visible for arm in section.state.results}
    assert shown == {"raw": True, "preprocessed": False, "combined": False}
    assert np.any(section.layers.layer("raw").data)
