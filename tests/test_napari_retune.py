import threading
import time

import numpy as np
import pytest
import stub_run
from napari.utils.notifications import notification_manager

from napari_graysam import fingerprint, segment
from napari_graysam._napari.compare.pairing import pair_among, problem_with
from napari_graysam._napari.panel.sections.run import RunSection
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.results.live_update import changed_titles

START = stub_run.START.with_values({"preprocess": "[{kind: gamma, gamma: 0.5}]"})


@pytest.fixture
def stub(monkeypatch):
    return stub_run.install(monkeypatch)


@pytest.fixture
def section(make_napari_viewer_proxy, stub, qtbot):
    """After a run of both arms; raw sees squares of brightness 1, .9, .6, .3 and .2."""
    viewer = make_napari_viewer_proxy()
    section = RunSection(PanelState(viewer, START))
    viewer.window.add_dock_widget(section.native, name="Run")
    image = stub_run.squares(1, 0.9, 0.6, 0.3, 0.2)
    section.state.layer = viewer.add_image(image, name="cells")
    section.run()
    qtbot.waitUntil(lambda: not section.state.running, timeout=60_000)
    notification_manager.records.clear()
    yield section
    settle(qtbot, section)


def settle(qtbot, section):
    update = section.live_update
    workers = (update._selecting, update._measuring, update._inputs)
    qtbot.waitUntil(lambda: not any(one.busy for one in workers), timeout=60_000)
    qtbot.waitUntil(lambda: not update._settled.isActive(), timeout=60_000)
    qtbot.waitUntil(lambda: not any(one.busy for one in workers), timeout=60_000)


def outdated(section, qtbot):
    """Return why each arm is outdated, once image and region have been read again."""
    settle(qtbot, section)
    return dict(section.live_update.outdated)


def counts(section):
    shown = [section.layers.layer(arm).data.max() for arm in ("raw", "preprocessed")]
    held = [len(section.state.results[arm].masks) for arm in ("raw", "preprocessed")]
    assert shown == held
    return held


def test_a_threshold_moves_both_arms_without_the_model(section, stub, qtbot):
    assert counts(section) == [3, 4]
    section.state.change({"generator.pred_iou_thresh": 0.7})
    settle(qtbot, section)
    assert counts(section) == [2, 3]
    section.state.change({"generator.pred_iou_thresh": 0.28})
    settle(qtbot, section)
    assert counts(section) == [4, 5]
    assert len(stub.calls) == 2
    assert "4 objects, 93.8% unmasked" in section.native.results["raw"].text()


def test_filters_follow_live_and_give_what_a_fresh_run_gives(section, qtbot):
    wanted = [{"column": "intensity_mean", "minimum": 200, "maximum": 240}]
    section.state.change({"labels.filters": wanted})
    settle(qtbot, section)
    assert counts(section) == [1, 1]
    result = section.state.results["preprocessed"]
    fresh = segment(stub_run.squares(1, 0.9, 0.6, 0.3, 0.2), section.state.recipe)
    np.testing.assert_array_equal(result.labels, fresh.labels)
    assert fresh.table["intensity_mean"].tolist() == [round(255 * 0.9)]
    section.state.change({"labels.filters": []})
    settle(qtbot, section)
    assert counts(section) == [3, 4]


def test_labels_are_painted_again(section, qtbot):
    section.state.change({"labels.overlap": "larger_on_top"})
    settle(qtbot, section)
    overlap = {result.recipe.labels.overlap for result in section.state.results.values()}
    assert overlap == {"larger_on_top"}


def test_the_latest_of_many_changes_wins(section, qtbot):
    for threshold in np.linspace(0.3, 0.94, 40):
        section.state.change({"generator.pred_iou_thresh": float(threshold)})
    settle(qtbot, section)
    assert counts(section) == [1, 2]
    assert section.state.results["raw"].recipe.generator.pred_iou_thresh == pytest.approx(0.94)


def test_going_back_at_once_ends_where_it_started(section, qtbot, monkeypatch):
    from napari_graysam import pipeline

    hold, real = threading.Event(), pipeline.retune

    def slow(*some):
        assert hold.wait(60)
        return real(*some)

    monkeypatch.setattr(pipeline, "retune", slow)
    section.state.change({"generator.pred_iou_thresh": 0.95})
    qtbot.waitUntil(lambda: section.live_update._selecting.busy)
    section.state.change({"generator.pred_iou_thresh": 0.5})
    hold.set()
    settle(qtbot, section)
    assert counts(section) == [3, 4]


def test_tables_follow_when_the_slider_rests(section, qtbot):
    section.state.change({"generator.pred_iou_thresh": 0.7})
    settle(qtbot, section)
    qtbot.waitUntil(lambda: len(section.layers.layer("raw").features) == 2, timeout=60_000)
    assert list(section.layers.layer("preprocessed").features["index"]) == [1, 2, 3]


def test_selecting_and_measuring_happen_in_other_threads(section, qtbot, monkeypatch):
    from napari_graysam import pipeline

    threads, real = [], pipeline.retune
    monkeypatch.setattr(
        pipeline, "retune", lambda *some: threads.append(threading.current_thread()) or real(*some)
    )
    section.state.change({"generator.pred_iou_thresh": 0.7})
    settle(qtbot, section)
    assert threads
    assert threading.main_thread() not in threads


def test_what_needs_the_model_is_said_and_from_where(section, qtbot):
    section.state.change({"generator.points_per_side": 16})
    outdated = section.live_update.outdated
    assert "Changed since: Points per side. Run again" in outdated["raw"]
    assert "encoded image is kept" in outdated["preprocessed"]
    # Both arms are outdated for the same reason, which is said once.
    assert "Points per side" in section.native.hint.text()
    assert "Points per side" not in section.native.results["raw"].text()
    section.state.change({"generator.points_per_side": 8})
    assert outdated == {}
    assert section.native.hint.text() == ""


def test_preprocessing_outdates_only_its_own_arm(section, qtbot):
    section.state.change({"preprocess": "[{kind: gamma, gamma: 2.0}]"})
    assert set(section.live_update.outdated) == {"preprocessed"}
    assert "Preprocessing" in section.live_update.outdated["preprocessed"]
    assert "image encoder" in section.native.results["preprocessed"].text()
    section.state.change({"generator.pred_iou_thresh": 0.7})
    settle(qtbot, section)
    assert counts(section) == [2, 4]


@pytest.fixture
def limits(section, qtbot):
    """After a run whose window is the layer's contrast limits."""
    section.state.change({"image.window": "{kind: limits}"})
    section.state.layer.contrast_limits = (0, 255)
    section.run()
    qtbot.waitUntil(lambda: not section.state.running, timeout=60_000)
    settle(qtbot, section)
    return section


def test_other_contrast_limits_of_the_layer_ask_for_a_new_run(limits, qtbot):
    layer = limits.state.layer
    assert outdated(limits, qtbot) == {}
    layer.contrast_limits = (0, 100)
    assert set(outdated(limits, qtbot)) == {"raw", "preprocessed"}
    assert "Contrast limits of “cells”" in limits.live_update.outdated["raw"]
    assert "image encoder" in limits.native.hint.text()
    layer.contrast_limits = (0, 255)
    assert outdated(limits, qtbot) == {}
    layer.contrast_limits = (0, 100)
    limits.run()
    qtbot.waitUntil(lambda: not limits.state.running, timeout=60_000)
    assert outdated(limits, qtbot) == {}


def test_contrast_limits_that_changed_during_a_run_are_noticed(limits, stub, qtbot):
    stub.gate.clear()
    limits.run(("raw",))
    limits.state.layer.contrast_limits = (0, 100)
    stub.gate.set()
    qtbot.waitUntil(lambda: not limits.state.running, timeout=60_000)
    assert "Contrast limits" in outdated(limits, qtbot)["raw"]


def test_contrast_limits_do_not_matter_to_other_windows(section, qtbot):
    section.state.layer.contrast_limits = (0, 100)
    assert outdated(section, qtbot) == {}


def test_below_the_floor_a_new_run_is_asked_for(section, qtbot):
    section.state.change({"generator.pred_iou_thresh": 0.1})
    settle(qtbot, section)
    assert counts(section) == [3, 4]
    assert "hold only what passed 0.25: run the model again" in section.live_update.outdated["raw"]
    section.state.change({"generator.pred_iou_thresh": 0.3})
    settle(qtbot, section)
    assert section.live_update.outdated == {}


def both(text):
    return {"raw": f"{text}: run again.", "preprocessed": f"{text}: run again."}


def test_replaced_pixels_outdate_both_results_until_they_are_back(section, qtbot):
    layer = section.state.layer
    before = layer.data
    layer.data = stub_run.squares(1, 1, 1)
    assert outdated(section, qtbot) == both("The image has changed")
    assert "image has changed" in section.native.hint.text()
    layer.data = before.copy()
    assert outdated(section, qtbot) == {}


def test_pixels_that_were_edited_in_place_are_noticed_by_a_run(section, stub, qtbot):
    section.state.layer.data[40:48, 40:48] = 255
    stub.gate.clear()
    section.run(("preprocessed",))
    qtbot.waitUntil(lambda: "raw" in section.live_update.outdated, timeout=60_000)
    assert section.live_update.outdated == both("The image has changed")
    stub.gate.set()
    qtbot.waitUntil(lambda: not section.state.running, timeout=60_000)
    # The raw result is of another image: it is compared with nothing any more.
    assert list(section.state.results) == ["preprocessed"]
    assert outdated(section, qtbot) == {}
    layers = [section.state.viewer.layers[f"cells [{arm}]"] for arm in ("raw", "preprocessed")]
    assert pair_among(section.state.viewer.layers) == (None, None)
    assert "different images" in problem_with(*layers, None)


def test_each_image_shows_its_own_results(section, stub, qtbot):
    state, view = section.state, section.native
    cells = state.layer
    state.layer = state.viewer.add_image(stub_run.squares(1), name="others")
    assert dict(state.results) == {}
    assert all(label.isHidden() for label in view.results.values())
    assert view.hint.text() == "“others” is not segmented yet."
    section.run(("raw",))
    qtbot.waitUntil(lambda: not state.running, timeout=60_000)
    assert {arm: len(one.masks) for arm, one in state.results.items()} == {"raw": 1}
    assert state.viewer.layers["cells [preprocessed]"].visible
    state.layer = cells
    assert {arm: len(one.masks) for arm, one in state.results.items()} == {
        "raw": 3,
        "preprocessed": 4,
    }
    assert outdated(section, qtbot) == {}
    state.layer = None
    assert dict(state.results) == {}


def test_each_plane_shows_and_follows_its_own_results(section, qtbot):
    state, viewer = section.state, section.state.viewer
    planes = np.stack([stub_run.squares(1, 0.6), stub_run.squares(1, 0.9, 0.6)])
    state.layer = viewer.add_image(planes, name="deep")
    for plane in (0, 1):
        viewer.dims.set_point(0, plane)
        assert dict(state.results) == {}
        section.run(("raw",))
        qtbot.waitUntil(lambda: not state.running, timeout=60_000)
    first, second = (viewer.layers[f"deep z {plane} [raw]"] for plane in (0, 1))
    assert first.visible
    assert second.visible
    state.change({"generator.pred_iou_thresh": 0.95})
    assert outdated(section, qtbot) == {}
    assert (first.data.max(), second.data.max()) == (2, 1)
    viewer.dims.set_point(0, 0)
    assert outdated(section, qtbot) == {}
    assert first.data.max() == len(state.results["raw"].masks) == 1


def test_a_region_has_its_own_results_until_it_holds_other_pixels(section, qtbot):
    state = section.state
    corner = [[[-1, -1], [-1, 30], [30, 30], [30, -1]]]
    state.region = shapes = state.viewer.add_shapes(corner, name="here")
    assert dict(state.results) == {}
    section.run()
    qtbot.waitUntil(lambda: not state.running, timeout=60_000)
    assert outdated(section, qtbot) == {}
    assert "cells in here [raw]" in state.viewer.layers
    shapes.data = [[[-1, -1], [-1, 40], [30, 40], [30, -1]]]
    assert outdated(section, qtbot) == both("The region has changed")
    state.change({"generator.pred_iou_thresh": 0.7})
    assert outdated(section, qtbot) == both("The region has changed")
    shapes.data = corner
    assert outdated(section, qtbot) == {}
    shapes.translate = (5, 5)
    assert outdated(section, qtbot) == both("The region has changed")
    state.region = None
    assert outdated(section, qtbot) == {}
    assert len(state.results["preprocessed"].masks) == 3  # Followed the threshold, too.


def test_image_and_region_are_read_again_in_another_thread(section, qtbot, monkeypatch):
    threads, real = [], fingerprint.image_digest
    monkeypatch.setattr(
        fingerprint,
        "image_digest",
        lambda *some: threads.append(threading.current_thread()) or real(*some),
    )
    section.state.layer.data = stub_run.squares(1)
    settle(qtbot, section)
    assert threads
    assert threading.main_thread() not in threads


def test_an_edited_layer_is_left_alone_and_the_next_one_followed(section, qtbot):
    layer = section.layers.layer("raw")
    layer.data[0, 0] = 9
    section.state.change({"generator.pred_iou_thresh": 0.7})
    settle(qtbot, section)
    assert layer.data[0, 0] == 9
    assert section.layers.layer("raw").name == "cells [raw] 2"
    section.state.change({"generator.pred_iou_thresh": 0.5})
    settle(qtbot, section)
    said = [record.message for record in notification_manager.records]
    assert len(said) == 1
    assert "was edited" in said[0]


def test_a_run_that_was_overtaken_by_a_change_catches_up(section, stub, qtbot):
    stub.gate.clear()
    section.run()
    section.state.change({"generator.pred_iou_thresh": 0.94})
    stub.gate.set()
    qtbot.waitUntil(lambda: not section.state.running, timeout=60_000)
    settle(qtbot, section)
    assert counts(section) == [1, 2]


def test_a_run_stops_what_measures_in_the_background(section, qtbot, monkeypatch):
    settle(qtbot, section)
    measuring, began = section.live_update._measuring, threading.Event()

    def endless(subject, results, selectors):
        while True:
            began.set()
            time.sleep(0.01)
            yield None

    monkeypatch.setattr("napari_graysam._napari.results.live_update._settle", endless)
    section.live_update._settled.start()
    qtbot.waitUntil(began.is_set, timeout=5_000)
    assert measuring.busy
    monkeypatch.undo()
    section.state.running = True
    qtbot.waitUntil(lambda: not measuring.busy, timeout=5_000)
    section.state.running = False


def test_titles_of_what_changed():
    other = START.with_values(
        {"generator.points_per_side": 16, "generator.crop_n_layers": 1, "labels.min_area": 3}
    )
    titles = list(changed_titles(START, other))
    fields = type(START.generator).model_fields
    assert titles == [fields["points_per_side"].title, fields["crop_n_layers"].title]
