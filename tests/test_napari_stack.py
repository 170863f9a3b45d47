"""Whole stacks in the panel: one layer an arm, filled as planes come, re-tuned and linked."""

import gc
import weakref

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import stub_run
import tifffile
import zarr
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QThreadPool

from napari_graysam import pipeline
from napari_graysam._napari.canvas.layers import about
from napari_graysam._napari.compare import CompareDock
from napari_graysam._napari.panel.sections.run import RunSection
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.panel.widget import SegmentPanel
from napari_graysam.recipe import Recipe

RECIPE = stub_run.START.with_values({"preprocess": "[{kind: gamma, gamma: 0.3}]"})
BRIGHT = (1, 0.9, 0.6, 0.3)


def stack(count=5):
    """Planes with one square more each, from one to four; the last as the one before."""
    return np.stack([stub_run.squares(*BRIGHT[: n + 1]) for n in range(count)])


@pytest.fixture
def stub(monkeypatch):
    return stub_run.install(monkeypatch)


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def make(viewer, stub, qtbot):
    """Make a Run section for an image; `axis` is the choice beside the buttons."""
    made = []

    def one(image, axis="z", values=None, **options):
        values = {"stack.axis": axis, "stack.link": "overlap", "arms": "raw", **(values or {})}
        section = RunSection(PanelState(viewer, RECIPE.with_values(values)))
        viewer.window.add_dock_widget(section.native, name="Run")
        options = {"axis_labels": (axis, "y", "x"), **options}
        options = {name: value for name, value in options.items() if value is not None}
        section.state.layer = viewer.add_image(image, name="cells", **options)
        made.append(section)
        notification_manager.records.clear()
        return section

    yield one
    for section in made:
        stub.gate.set()
        section.cancel()
        settle(qtbot, section)


def settle(qtbot, section):
    update = section.live_update
    workers = (update._selecting, update._measuring, update._inputs)

    def still():
        busy = section.state.running or section.stacks.busy or update._settled.isActive()
        return not (busy or any(one.busy for one in workers))

    qtbot.waitUntil(still, timeout=60_000)
    qtbot.wait(50)
    qtbot.waitUntil(still, timeout=60_000)


def layer_of(viewer, name="cells [raw]"):
    return viewer.layers[name]


def counts(layer):
    return [len(np.unique(plane)) - 1 for plane in np.asarray(layer.data)]


def test_one_layer_holds_every_plane_with_linked_numbers(make, viewer, qtbot):
    section = make(stack(), scale=(3, 0.5, 0.5), units=("um", "um", "um"), translate=(1, 2, 3))
    section.native.both.click()
    settle(qtbot, section)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells [raw]"]
    layer, image = layer_of(viewer), viewer.layers["cells"]
    assert layer.data.shape == image.data.shape
    assert layer.data.dtype == np.uint32
    for name in ("scale", "translate", "units", "axis_labels"):
        assert tuple(getattr(layer, name)) == tuple(getattr(image, name))
    assert counts(layer) == [1, 2, 3, 3, 3]
    squares = [np.unique(layer.data[:, 4 + 4, 4 + 12 * n + 4]) for n in range(3)]
    assert [set(some) - {0} for some in squares] == [{1}, {2}, {3}]
    table = layer.features
    assert table["index"].tolist() == [1, 2, 3]
    assert table["planes"].tolist() == [5, 4, 3]
    assert table["volume_um3"].tolist() == pytest.approx([5 * 48, 4 * 48, 3 * 48])
    assert about(layer)["stack"]["planes"] == [0, 1, 2, 3, 4]
    assert "all 5 planes: 3 linked objects" in section.native.stack.text()


def test_the_plane_in_view_comes_first_and_fills_the_layer(make, viewer, stub, qtbot):
    section = make(stack())
    viewer.dims.set_current_step(0, 3)
    stub.gate.clear()
    section.run()
    qtbot.waitUntil(lambda: stub.batches == 2, timeout=60_000)
    assert counts(layer_of(viewer)) == [0] * 5
    qtbot.waitUntil(lambda: "Plane 1 of 5" in section.native.status.text(), timeout=60_000)
    stub.gate.set()
    qtbot.waitUntil(lambda: any(counts(layer_of(viewer))), timeout=60_000)
    order = [n for n, count in enumerate(counts(layer_of(viewer))) if count]
    assert 3 in order
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 2, 3, 3, 3]


def hold_third_plane(section, stub, qtbot, monkeypatch):
    """Run a stack until its third plane, which waits for the gate."""

    def held(*some, **options):
        if len(stub.calls) == 2:
            stub.gate.clear()
        return stub.live_steps(*some, **options)

    monkeypatch.setattr(pipeline, "live_steps", held)
    section.native.both.click()
    qtbot.waitUntil(lambda: not stub.gate.is_set(), timeout=60_000)


def test_cancel_keeps_planes_and_continue_segments_only_the_others(
    make, viewer, stub, qtbot, monkeypatch
):
    section = make(stack())
    hold_third_plane(section, stub, qtbot, monkeypatch)
    section.native.cancel.click()
    stub.gate.set()
    settle(qtbot, section)
    there = section.stacks.job.there("raw")
    assert len(there) == 2
    kept = np.asarray(layer_of(viewer).data)[sorted(there)].copy()
    assert kept.any()
    assert section.native.both.text() == "Continue"
    assert f"{len(there)} of 5 planes" in section.native.stack.text()
    assert "linked" in section.native.stack.text()
    calls = len(stub.calls)
    section.native.both.click()
    settle(qtbot, section)
    assert len(stub.calls) == calls + 5 - len(there)
    assert counts(layer_of(viewer)) == [1, 2, 3, 3, 3]
    assert section.native.both.text() != "Continue"
    assert len(layer_of(viewer).features) == 3
    section.state.change({"arms": "preprocessed"})
    assert section.native.both.text() == "Both arms"


def test_thresholds_update_the_shown_plane_and_then_all_others(make, viewer, stub, qtbot):
    section = make(stack())
    section.run()
    settle(qtbot, section)
    calls = len(stub.calls)
    viewer.dims.set_current_step(0, 4)
    settle(qtbot, section)
    section.state.change({"generator.pred_iou_thresh": 0.95})
    assert layer_of(viewer, "cells [raw] (updating…)")
    qtbot.waitUntil(lambda: len(section.state.results.get("raw", stub).masks) == 1, timeout=60_000)
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 1, 1, 1, 1]
    assert len(np.unique(layer_of(viewer).data)) == 2
    section.state.change({"generator.pred_iou_thresh": 0.28})
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 2, 3, 4, 4]
    assert layer_of(viewer).features["index"].tolist() == [1, 2, 3, 4]
    assert len(stub.calls) == calls


def test_linking_changes_without_selecting_again(make, viewer, qtbot, monkeypatch):
    section = make(stack())
    section.run()
    settle(qtbot, section)

    def never(*some):
        raise AssertionError("selected again")

    monkeypatch.setattr(pipeline, "retune", never)
    section.state.change({"stack.link": "none"})
    settle(qtbot, section)
    assert len(np.unique(layer_of(viewer).data)) - 1 == 1 + 2 + 3 + 3 + 3
    section.state.change({"stack.link": "overlap", "stack.linking.min_extent": 4})
    settle(qtbot, section)
    assert len(np.unique(layer_of(viewer).data)) - 1 == 2
    section.state.change({"stack.linking.min_extent": 1})
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 2, 3, 3, 3]


def test_results_are_those_of_the_plane_that_is_shown(make, viewer, qtbot):
    section = make(stack())
    section.native.both.click()
    settle(qtbot, section)
    for position, objects in ((0, 1), (2, 3), (1, 2), (0, 1)):
        viewer.dims.set_current_step(0, position)
        settle(qtbot, section)
        assert len(section.state.results["raw"].masks) == objects
        assert section.state.selectors["raw"].proposals.image_size == (64, 64)
        assert f"{objects} object" in section.native.results["raw"].text()
        assert section.layers.layer("raw", section.state.subject) == layer_of(viewer)
        assert section.live_update.outdated == {}
    assert counts(layer_of(viewer)) == [1, 2, 3, 3, 3]
    assert len(viewer.layers) == 2


def test_a_plane_from_disk_is_asked_as_any(make, viewer, qtbot, monkeypatch):
    monkeypatch.setattr("napari_graysam.pipeline.kept.BUDGET", 1)
    monkeypatch.setattr(
        "napari_graysam.pipeline.kept.KeptPlanes.__init__.__kwdefaults__",
        {"budget": 1, "folder_budget": 2**30},
    )
    section = make(stack(3))
    section.run()
    settle(qtbot, section)
    assert len(section.stacks.job.kept.in_memory) == 1
    for position in (1, 0, 2):
        viewer.dims.set_current_step(0, position)
        settle(qtbot, section)
        assert len(section.state.results["raw"].masks) == position + 1
        assert section.live_update.outdated == {}
    section.state.change({"generator.pred_iou_thresh": 0.95})
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 1, 1]


def test_both_arms_have_a_layer_each_and_compare_in_the_plane(make, viewer, qtbot):
    section = make(stack(3), values={"arms": "preprocessed", "generator.pred_iou_thresh": 0.65})
    section.run()
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 2, 2]
    assert counts(layer_of(viewer, "cells [preprocessed]")) == [1, 2, 3]
    assert layer_of(viewer, "cells [preprocessed]").visible
    assert not layer_of(viewer).visible
    viewer.dims.set_current_step(0, 2)
    settle(qtbot, section)
    assert {arm: len(r.masks) for arm, r in section.state.results.items()} == {
        "raw": 2,
        "preprocessed": 3,
    }
    section.toggle_arms()
    assert layer_of(viewer).visible
    assert not layer_of(viewer, "cells [preprocessed]").visible


def test_a_union_is_one_more_layer(make, viewer, qtbot):
    section = make(stack(3), values={"arms": "union", "generator.pred_iou_thresh": 0.65})
    section.run()
    settle(qtbot, section)
    names = ["cells", "cells [raw]", "cells [preprocessed]", "cells [combined]"]
    assert [layer.name for layer in viewer.layers] == names
    assert counts(layer_of(viewer, "cells [combined]")) == [1, 2, 3]
    section.state.change({"generator.pred_iou_thresh": 0.95})
    settle(qtbot, section)
    assert [layer.name for layer in viewer.layers] == names
    assert counts(layer_of(viewer)) == [1, 1, 1]
    assert counts(layer_of(viewer, "cells [preprocessed]")) == [1, 2, 2]
    assert counts(layer_of(viewer, "cells [combined]")) == [1, 2, 2]


def film():
    """One square that moves down; in the last two planes it has become two, left and right."""
    planes = np.zeros((5, 64, 64), np.uint8)
    for t in range(3):
        planes[t, 12 + 4 * t : 20 + 4 * t, 20:44] = 255
    for t in (3, 4):
        planes[t, 20:28, 20:28] = planes[t, 20:28, 36:44] = 255
    return planes


def test_a_time_series_has_tracks_with_parents(make, viewer, qtbot):
    section = make(
        film(), "t", {"stack.linking.splits": True, "generator.points_per_side": 16},
        scale=(60, 0.5, 0.5), units=("second", "um", "um"), translate=(0, 7, 9),
    )  # fmt: skip
    section.native.both.click()
    settle(qtbot, section)
    tracks = viewer.layers["cells [raw tracks]"]
    assert tracks.graph == {2: [1], 3: [1]}
    assert tracks.data.shape == (3 + 2 + 2, 4)
    first = tracks.data[tracks.data[:, 0] == 1]
    assert first[:, 1].tolist() == [0, 1, 2]
    world = tracks.data_to_world(first[0, 1:])
    np.testing.assert_allclose(world, (0, 7 + 15.5 / 2, 9 + 31.5 / 2))
    table = layer_of(viewer).features
    assert table["displacement_um"].tolist() == pytest.approx([4, 0, 0])
    assert table["speed_um_s"].tolist() == pytest.approx([2 / 60, 0, 0])
    section.state.change({"stack.link": "none"})
    settle(qtbot, section)
    assert "cells [raw tracks]" not in viewer.layers


def test_axes_without_labels_are_asked_for(make, viewer, qtbot):
    section = make(film(), "t", {"stack.axis": "none"}, axis_labels=None)
    scope = section.native.scope
    assert [scope.itemData(index) for index in range(scope.count())] == ["none", "z", "t"]
    assert scope.currentData() == "none"
    scope.setCurrentIndex(2)
    scope.activated.emit(2)
    assert section.state.recipe.stack.axis == "t"
    section.native.both.click()
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 1, 1, 2, 2]
    assert about(layer_of(viewer))["stack"]["axis"] == "t"


def test_of_two_long_axes_the_chosen_one_is_segmented_where_the_other_stands(make, viewer, qtbot):
    image = np.stack([np.zeros((4, 64, 64), np.uint8), stack(4)])
    section = make(image, "z", axis_labels=("t", "z", "y", "x"), scale=(5, 3, 1, 1))
    scope = section.native.scope
    words = [scope.itemText(index) for index in range(scope.count())]
    assert words[1:] == ["all 2 planes along t", "all 4 planes along z"]
    viewer.dims.set_current_step(0, 1)
    viewer.dims.set_current_step(1, 0)
    section.native.both.click()
    settle(qtbot, section)
    (layer,) = [one for one in viewer.layers if one.name.endswith("[raw]")]
    assert layer.name == "cells t 1 [raw]"
    assert layer.data.shape == (1, 4, 64, 64)
    np.testing.assert_array_equal(layer.translate, (5, 0, 0, 0))
    assert [len(np.unique(plane)) - 1 for plane in layer.data[0]] == [1, 2, 3, 3]
    viewer.dims.set_current_step(1, 2)
    settle(qtbot, section)
    assert len(section.state.results["raw"].masks) == 3
    viewer.dims.set_current_step(0, 0)
    settle(qtbot, section)
    assert not section.state.results


def test_chosen_planes_only(make, viewer, qtbot):
    section = make(stack(), values={"stack.first": 1, "stack.step": 2})
    assert section.native.scope.itemText(1) == "2 of 5 planes"
    section.native.both.click()
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [0, 2, 0, 3, 0]
    assert len(layer_of(viewer).features) == 3


def test_a_damaged_plane_is_named_and_the_others_are_there(make, viewer, qtbot):
    image = stack().astype(np.float32)
    image[2] = np.nan
    section = make(image)
    section.native.both.click()
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 2, 0, 3, 3]
    text = section.native.stack.text()
    assert "1 plane has no result" in text
    assert "z 2" in text
    assert "NaN" in text


def test_a_window_of_each_plane_is_no_change_of_the_image(make, viewer, qtbot):
    dim = np.stack([stub_run.squares(1, 0.9), stub_run.squares(0.5, 0.45)])
    section = make(dim, values={"stack.window": "plane"})
    section.native.both.click()
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [2, 2]
    for position in (1, 0):
        viewer.dims.set_current_step(0, position)
        settle(qtbot, section)
        assert section.live_update.outdated == {}


def test_points_stay_in_the_region_of_each_plane(make, viewer, qtbot):
    section = make(stack())
    rectangle = np.array([[3, 0, 0], [3, 0, 14], [3, 14, 14], [3, 14, 0]])
    section.state.region = viewer.add_shapes([rectangle], shape_type="polygon", name="here")
    viewer.dims.set_current_step(0, 3)
    section.native.both.click()
    settle(qtbot, section)
    assert counts(layer_of(viewer, "cells in here [raw]")) == [0, 0, 0, 1, 0]
    assert "4 planes have no result" in section.native.stack.text()


def test_a_painted_layer_is_left_alone(make, viewer, qtbot):
    section = make(stack(3))
    section.native.both.click()
    settle(qtbot, section)
    layer = layer_of(viewer)
    layer.paint((0, 50, 50), 77)
    before = np.asarray(layer.data).copy()
    section.state.change({"generator.pred_iou_thresh": 0.95})
    settle(qtbot, section)
    np.testing.assert_array_equal(layer.data, before)
    other = layer_of(viewer, "cells [raw] 2")
    assert counts(other) == [1, 1, 1]


def test_a_plane_run_alone_stays_out_of_the_stack(make, viewer, qtbot):
    section = make(stack(3))
    section.native.both.click()
    settle(qtbot, section)
    before = np.asarray(layer_of(viewer).data).copy()
    section.state.change({"stack.axis": "none", "generator.points_per_batch": 8})
    settle(qtbot, section)
    viewer.dims.set_current_step(0, 1)
    settle(qtbot, section)
    section.native.both.click()
    settle(qtbot, section)
    np.testing.assert_array_equal(layer_of(viewer).data, before)
    assert layer_of(viewer, "cells z 1 [raw]").data.shape == (1, 64, 64)
    section.state.change({"generator.pred_iou_thresh": 0.95})
    settle(qtbot, section)
    assert layer_of(viewer, "cells z 1 [raw]").data.max() == 1
    assert counts(layer_of(viewer)) == [1, 1, 1]


def test_shown_in_three_dimensions(make, viewer, qtbot):
    section = make(stack())
    section.native.both.click()
    settle(qtbot, section)
    viewer.dims.ndisplay = 3
    settle(qtbot, section)
    assert layer_of(viewer).visible
    section.state.change({"generator.pred_iou_thresh": 0.95})
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 1, 1, 1, 1]
    viewer.dims.ndisplay = 2
    settle(qtbot, section)
    assert len(section.state.results["raw"].masks) == 1


def test_the_comparison_is_of_the_plane_that_is_shown(make, viewer, qtbot, monkeypatch):
    section = make(stack(3), values={"arms": "preprocessed", "generator.pred_iou_thresh": 0.65})
    section.run()
    settle(qtbot, section)
    viewer.dims.set_current_step(0, 2)
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, name="Compare")
    monkeypatch.setattr(dock, "isVisible", lambda: True)  # The window of a test is not shown.

    def outcome():
        qtbot.waitUntil(
            lambda: dock.outcome is not None and not (dock._timer.isActive() or dock._worker.busy),
            timeout=60_000,
        )
        return {change: n for change, n in dock.outcome.comparison.counts.items() if n}

    dock.refresh()
    assert outcome() == {"kept": 2, "gained": 1}
    dock.show_difference()
    difference = layer_of(viewer, "cells [difference]")
    assert difference.data.shape == (1, 64, 64)
    assert difference.translate[0] == 2
    whole = dock.view.whole
    whole.button.click()
    qtbot.waitUntil(lambda: "kept" in whole.text.text(), timeout=60_000)
    assert whole.text.text() == "All planes: 2 kept, 1 gained."
    viewer.dims.set_current_step(0, 1)
    assert outcome() == {"kept": 2}
    assert whole.text.text() == "All planes: 2 kept, 1 gained."
    assert difference.translate[0] == 1
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: dock.outcome is None, timeout=60_000)
    assert "in 2D" in dock.chosen.problem
    viewer.dims.ndisplay = 2
    assert outcome() == {"kept": 2}
    section.state.change({"generator.pred_iou_thresh": 0.95})
    settle(qtbot, section)
    assert whole.text.text() == ""


def test_a_stack_is_saved_with_its_tables_as_the_command_line_writes_it(
    make, viewer, qtbot, tmp_path
):
    section = make(
        film(), "t", {"stack.linking.splits": True, "generator.points_per_side": 16},
        scale=(60, 0.5, 0.5), units=("second", "um", "um"),
    )  # fmt: skip
    section.native.both.click()
    settle(qtbot, section)
    heard = []
    section.state.said.connect(lambda text, warning: heard.append((text, warning)))
    saver, layer = section.stacks.saver, layer_of(viewer)
    assert saver.holds(layer)
    assert not saver.holds(viewer.add_labels(np.zeros((4, 4), np.uint8)))
    saver.write(layer, str(tmp_path / "film.labels.tif"))
    settle(qtbot, section)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "film.labels.tif"), layer.data)
    objects = pd.read_csv(tmp_path / "film.objects.csv")
    assert objects["id"].tolist() == layer.features["index"].tolist() == [1, 2, 3]
    tracks = pd.read_csv(tmp_path / "film.tracks.csv")
    assert tracks.groupby("ID")["parent"].first().tolist() == [1, 1, 1]
    assert len(pd.read_csv(tmp_path / "film.planes.csv")) == 7
    recipe = Recipe.from_yaml((tmp_path / "film.recipe.yaml").read_text())
    assert recipe.stack.axis == "t"
    assert "film.tracks.csv" in heard[-1][0]
    saver.write(layer, str(tmp_path / "film.objects.csv" / "film.labels.tif"))
    settle(qtbot, section)
    assert heard[-1][1]


def temporary(monkeypatch, folder):
    """Let temporary folders lie in a folder of the test."""
    monkeypatch.setattr("tempfile.tempdir", str(folder))


def test_contrast_limits_that_do_not_count_leave_a_stack_as_it_is(
    make, viewer, stub, qtbot, monkeypatch
):
    section = make(stack())
    hold_third_plane(section, stub, qtbot, monkeypatch)
    section.native.cancel.click()
    stub.gate.set()
    settle(qtbot, section)
    there, calls = len(section.stacks.job.there("raw")), len(stub.calls)
    viewer.layers["cells"].contrast_limits = (0, 100)
    section.native.both.click()
    settle(qtbot, section)
    assert len(stub.calls) == calls + 5 - there


def test_a_run_that_begins_again_is_not_called_a_continuation(
    make, viewer, stub, qtbot, monkeypatch
):
    section = make(stack())
    hold_third_plane(section, stub, qtbot, monkeypatch)
    section.native.cancel.click()
    stub.gate.set()
    settle(qtbot, section)
    assert section.native.both.text() == "Continue"
    section.state.change({"stack.window": "plane"})
    settle(qtbot, section)
    assert section.native.both.text() != "Continue"
    calls = len(stub.calls)
    section.native.both.click()
    settle(qtbot, section)
    assert len(stub.calls) == calls + 5


def test_a_region_that_was_drawn_anew_counts(make, viewer, qtbot):
    section = make(stack(3))
    here = viewer.add_shapes([[[0, 0], [0, 14], [14, 14], [14, 0]]], name="here")
    section.state.region = here
    for corner, expected in ((14, [1, 1, 1]), (40, [1, 2, 3])):
        here.data = [np.array([[0, 0], [0, corner], [corner, corner], [corner, 0]])]
        settle(qtbot, section)
        section.native.both.click()
        settle(qtbot, section)
        assert counts(layer_of(viewer, "cells in here [raw]")) == expected


def test_a_layer_that_cannot_limit_points_leaves_no_folder(
    make, viewer, qtbot, monkeypatch, tmp_path
):
    temporary(monkeypatch, tmp_path)
    section = make(stack(3))
    heard = []
    section.state.said.connect(lambda text, warning: heard.append(text))
    section.state.region = viewer.add_points(np.zeros((1, 2)), name="here")
    section.native.both.click()
    assert "Points layer" in heard[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["dask", "zarr"])
def test_arrays_that_are_read_when_they_are_indexed(make, viewer, stub, qtbot, how):
    image = stack()
    arrays = {"dask": da.from_array, "zarr": zarr.array}
    section = make(arrays[how](image, chunks=(1, 32, 32)))
    section.native.both.click()
    settle(qtbot, section)
    assert not isinstance(viewer.layers["cells"].data, np.ndarray)
    assert counts(layer_of(viewer)) == [1, 2, 3, 3, 3]
    assert len(layer_of(viewer).features) == 3
    calls = len(stub.calls)
    viewer.dims.set_current_step(0, 4)
    settle(qtbot, section)
    assert section.live_update.outdated == {}
    section.state.change({"generator.pred_iou_thresh": 0.28})
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 2, 3, 4, 4]
    assert len(stub.calls) == calls


def test_linking_that_is_not_possible_is_said(make, viewer, stub, qtbot):
    section = make(stack(3))
    section.native.both.click()
    settle(qtbot, section)
    heard = []
    section.state.said.connect(lambda text, warning: heard.append(text))
    section.state.change({"stack.link": "laptrack"})
    settle(qtbot, section)
    assert "links along t" in heard[-1]
    layer, calls = layer_of(viewer), len(stub.calls)
    heard.clear()
    section.native.both.click()
    settle(qtbot, section)
    assert any("links along t" in text for text in heard)
    assert len(stub.calls) == calls
    assert counts(layer) == [1, 2, 3]
    section.state.change({"stack.link": "overlap"})
    settle(qtbot, section)
    assert layer.features["index"].tolist() == [1, 2, 3]


def test_removing_the_image_stops_its_run(make, viewer, stub, qtbot, monkeypatch, tmp_path):
    temporary(monkeypatch, tmp_path)
    section = make(stack())
    heard = []
    section.state.said.connect(lambda text, warning: heard.append(text))
    hold_third_plane(section, stub, qtbot, monkeypatch)
    assert list(tmp_path.iterdir())
    viewer.layers.remove("cells")
    stub.gate.set()
    settle(qtbot, section)
    assert len(stub.calls) == 3
    assert not section.state.running
    assert "“cells” was removed" in heard[-1]
    assert sorted(counts(layer_of(viewer))) == [0, 0, 0, 3, 3]
    gc.collect()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["panel", "viewer"])
def test_closing_in_the_middle_of_a_run_leaves_nothing_behind(
    viewer, stub, qtbot, monkeypatch, tmp_path, what
):
    temporary(monkeypatch, tmp_path)
    before = gc.get_threshold()
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    panel.state.recipe = RECIPE.with_values({"stack.axis": "z", "arms": "raw"})
    panel.state.layer = viewer.add_image(stack(), name="cells", axis_labels=("z", "y", "x"))
    hold_third_plane(panel.run, stub, qtbot, monkeypatch)
    job, stacks = weakref.ref(panel.run.stacks.job), panel.run.stacks
    assert list(tmp_path.iterdir())
    if what == "viewer":
        viewer.close()
    else:
        viewer.window.remove_dock_widget(panel)
    qtbot.waitUntil(lambda: stacks._closed, timeout=60_000)
    stub.gate.set()
    qtbot.waitUntil(lambda: not stacks.busy, timeout=60_000)
    assert len(stub.calls) == 3
    assert gc.get_threshold() == before
    gc.collect()
    assert job() is None
    assert not list(tmp_path.iterdir())
    assert QThreadPool.globalInstance().waitForDone(20_000)


def test_planes_that_are_among_other_chosen_ones_stay(make, viewer, stub, qtbot):
    section = make(stack(), values={"stack.first": 1, "stack.last": 3})
    section.native.both.click()
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [0, 2, 3, 3, 0]
    layer, kept = layer_of(viewer), np.asarray(layer_of(viewer).data)[2].copy()
    calls = len(stub.calls)
    section.state.change({"stack.last": None})
    assert section.native.both.text() == "Continue"
    section.native.both.click()
    settle(qtbot, section)
    assert len(stub.calls) == calls + 1
    assert counts(layer_of(viewer)) == [0, 2, 3, 3, 3]
    assert len(viewer.layers) == 2
    np.testing.assert_array_equal(layer.data[2] > 0, kept > 0)
    assert layer.features["planes"].max() == 4

    section.state.change({"stack.first": 2, "stack.step": 2})
    assert section.native.both.text() != "Continue"
    section.native.both.click()
    settle(qtbot, section)
    assert len(stub.calls) == calls + 1
    assert counts(layer_of(viewer)) == [0, 0, 3, 0, 3]
    assert layer.features["planes"].max() == 2
    assert "all 2 planes" in section.native.stack.text()
    assert layer.metadata["napari-graysam"]["stack"]["planes"] == [2, 4]
    section.native.both.click()
    settle(qtbot, section)
    assert len(stub.calls) == calls + 3


def test_a_wrong_choice_of_planes_is_said_and_takes_nothing_away(make, viewer, stub, qtbot):
    section = make(stack())
    section.native.both.click()
    settle(qtbot, section)
    section.state.change({"stack.first": 9})
    section.native.both.click()
    settle(qtbot, section)
    assert counts(layer_of(viewer)) == [1, 2, 3, 3, 3]
