"""Whole images in tiles from the panel: live labels, cancel and continue, selecting again."""

import json
import threading
from pathlib import Path

import dask.array as da
import fake_tiles
import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_graysam._napari.canvas.layers import about
from napari_graysam._napari.large.folder import default_folder
from napari_graysam._napari.large.job import open_job, shapes_of
from napari_graysam._napari.panel.sections.run import RunSection
from napari_graysam._napari.panel.state import PanelState
from napari_graysam.files.zarr_labels.plan import SMALLEST_LEVEL
from napari_graysam.masks import label_overlaps, match
from napari_graysam.recipe import Recipe
from napari_graysam.source.pyramid import open_pyramid

RECIPE = Recipe().with_values(
    {
        "tiles.use": "always",
        "tiles.size": 192,
        "tiles.halo": 24,
        "generator.points_per_side": 48,
        "arms": "raw",
    }
)
IMAGE, TRUTH = fake_tiles.picture((300, 400), long=True)


@pytest.fixture
def gate(monkeypatch):
    gate = fake_tiles.Gate()
    fake_tiles.install(monkeypatch, gate.steps)
    return gate


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def make(viewer, gate, qtbot, tmp_path):
    """Make a Run section for an image of two levels that goes to be segmented in tiles."""
    made = []

    def one(values=None, data=None, **options):
        section = RunSection(PanelState(viewer, RECIPE.with_values(values or {})))
        viewer.window.add_dock_widget(section.native, name="Run")
        if data is None:
            data = [da.from_array(level, chunks=100) for level in (IMAGE, IMAGE[::2, ::2])]
            options["multiscale"] = True
        section.state.layer = viewer.add_image(data, name="slide", **options)
        section.state.extent.choose("whole")
        choose_folder(section, tmp_path / "out")
        made.append(section)
        notification_manager.records.clear()
        return section

    yield one
    for section in made:
        gate.open.set()
        section.cancel()
        settle(qtbot, section)


def choose_folder(section, folder):
    section.whole.output.line.setText(str(folder))
    section.whole.output.line.editingFinished.emit()


def settle(qtbot, section):
    qtbot.waitUntil(lambda: not (section.state.running or section.whole.busy), timeout=60_000)


def said():
    return [record.message for record in notification_manager.records]


def same_objects(found, truth):
    ids, others, overlaps = label_overlaps(found, truth)
    return len(match(overlaps, 1.0)) == len(ids) == len(others)


def layer_of(viewer, name="slide [raw]"):
    return viewer.layers[name]


def test_the_whole_image_becomes_one_multiscale_layer(make, viewer, gate, qtbot, tmp_path):
    place = {"scale": (0.5, 0.25), "translate": (3, 4), "units": ("um", "um")}
    section = make(**place)
    section.native.both.click()
    assert section.state.running
    settle(qtbot, section)
    layer, image = layer_of(viewer), viewer.layers["slide"]
    assert layer.multiscale
    assert [one.shape for one in layer.data] == [one.shape for one in image.data]
    assert same_objects(np.asarray(layer.data[0]), TRUTH)
    for name in ("scale", "translate", "units"):
        assert tuple(getattr(layer, name)) == tuple(getattr(image, name))
    labels = open_pyramid(tmp_path / "out" / "slide_raw.zarr" / "labels" / "slide_raw")
    np.testing.assert_array_equal(np.asarray(layer.data[1]), np.asarray(labels.levels[1]))
    assert labels.pixel_size().size == (0.5, 0.25)
    objects = len(np.unique(TRUTH)) - 1
    assert sorted(layer.features["index"]) == list(range(1, objects + 1))
    assert layer.features["area_um2"].sum() == pytest.approx((TRUTH > 0).sum() * 0.125)
    assert f"{objects:,} objects" in section.native.stack.text()
    assert about(layer)["arm"] == "raw"
    assert about(layer)["provenance"]["tiles"]["count"] == gate.tiles > 3
    assert threading.main_thread() not in gate.threads
    assert not [text for text in said() if "Warning" in text]


def test_labels_of_finished_tiles_are_seen_and_said_to_be_provisional(make, viewer, gate, qtbot):
    section = make()
    gate.stop_before = 2
    section.native.both.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=60_000)
    qtbot.waitUntil(lambda: "2 of 6 tiles" in viewer.layers[1].name, timeout=60_000)
    layer = viewer.layers[1]
    assert layer.name == "slide [raw] (2 of 6 tiles, provisional)"
    assert about(layer)["provisional"]
    fine, coarse = (np.asarray(one) for one in layer.data)
    assert fine[:100, :180].any()
    assert not fine[200:].any()
    seen = fine[:100, :180] > 0
    np.testing.assert_array_equal(seen, TRUTH[:100, :180] > 0)
    assert np.mean((coarse > 0) != (fine[1::2, 1::2] > 0)) < 0.01
    assert "tile 3 of 6" in section.native.status.text()
    assert section.native.bar.value() == 2
    gate.open.set()
    settle(qtbot, section)
    assert layer_of(viewer) == layer
    assert "provisional" not in about(layer)
    assert same_objects(np.asarray(layer.data[0]), TRUTH)


def test_provisional_labels_end_in_a_level_that_is_quickly_drawn(make):
    """Also where the image itself has no such level."""
    side = 2 * SMALLEST_LEVEL
    image = np.zeros((side, 3 * side), np.uint8)
    section = make(data=[image, image[::2, ::2]], multiscale=True)
    job = open_job(section.state, Path("out"))
    shapes = shapes_of(job)
    assert shapes[:2] == [(side, 3 * side), (side // 2, 3 * side // 2)]
    assert max(shapes[-1]) <= SMALLEST_LEVEL < max(shapes[-2])


def test_cancel_keeps_tiles_and_continue_segments_only_the_others(make, viewer, gate, qtbot):
    section = make()
    gate.stop_before = 3
    section.native.both.click()
    qtbot.waitUntil(
        lambda: any("3 of 6 tiles" in layer.name for layer in viewer.layers), timeout=60_000
    )
    section.native.cancel.click()
    settle(qtbot, section)
    assert section.native.both.text() == "Continue"
    assert "3 tiles are missing" in section.native.stack.text()
    gate.stop_before = None
    section.native.both.click()
    settle(qtbot, section)
    assert gate.tiles == 6
    assert same_objects(np.asarray(layer_of(viewer).data[0]), TRUTH)
    assert section.native.both.text() != "Continue"


def test_another_panel_goes_on_with_the_tiles_on_disk(make, viewer, gate, qtbot):
    section = make()
    gate.stop_before = 3
    section.native.both.click()
    qtbot.waitUntil(lambda: gate.tiles == 3, timeout=60_000)
    qtbot.wait(100)
    section.native.cancel.click()
    settle(qtbot, section)
    viewer.layers.clear()
    gate.stop_before = None
    again = make()
    again.native.both.click()
    settle(qtbot, again)
    assert gate.tiles == 6
    assert any("3 of 6 tiles are there" in text for text in said())


def test_sizes_and_filters_select_again_without_the_model(make, viewer, gate, qtbot):
    section = make()
    section.native.both.click()
    settle(qtbot, section)
    before, tiles = len(layer_of(viewer).features), gate.tiles
    section.state.change({"labels.min_area": 150})
    assert section.native.both.text() == "Select again"
    assert viewer.layers[1].name == "slide [raw] (outdated)"
    assert "without the model" in section.native.stack.text()
    section.native.both.click()
    settle(qtbot, section)
    layer = layer_of(viewer)
    assert gate.tiles == tiles
    assert 0 < len(layer.features) < before
    assert layer.features["area"].min() >= 150
    assert set(np.unique(np.asarray(layer.data[0]))) == {0, *layer.features["index"]}
    assert section.native.both.text() == "Raw arm"


def test_select_again_leaves_an_arm_that_was_not_run(make, viewer, gate, qtbot):
    section = make({"arms": "preprocessed", "preprocess": "[{kind: gamma, gamma: 0.5}]"})
    section.native.preprocessed.click()
    settle(qtbot, section)
    tiles = gate.tiles
    section.state.change({"labels.min_area": 150})
    section.native.both.click()
    settle(qtbot, section)
    assert gate.tiles == tiles
    assert [layer.name for layer in viewer.layers] == ["slide", "slide [preprocessed]"]
    assert layer_of(viewer, "slide [preprocessed]").features["area"].min() >= 150


def test_thresholds_select_again_what_the_tiles_have_kept(make, viewer, qtbot):
    section = make()
    section.native.both.click()
    settle(qtbot, section)
    section.state.change({"generator.stability_score_thresh": 0.97})
    assert section.native.both.text() == "Select again"
    section.native.both.click()
    settle(qtbot, section)
    assert about(layer_of(viewer))["recipe"]["generator"]["stability_score_thresh"] == 0.97
    assert not [text for text in said() if "Replace" in text]


def test_what_needs_other_tiles_is_not_replaced_unasked(make, viewer, gate, qtbot):
    section = make()
    section.native.both.click()
    settle(qtbot, section)
    section.state.change({"generator.points_per_side": 40})
    assert section.native.both.text() == "Raw arm"
    assert "asks the model anew" in section.native.stack.text()
    labels = np.asarray(layer_of(viewer, "slide [raw] (outdated)").data[0])
    section.native.both.click()
    settle(qtbot, section)
    assert "Replace what is there" in said()[-1]
    assert "--overwrite" not in said()[-1]
    np.testing.assert_array_equal(np.asarray(viewer.layers[1].data[0]), labels)
    section.whole.output.replace.setChecked(True)
    section.native.both.click()
    settle(qtbot, section)
    assert gate.tiles == 12
    assert layer_of(viewer).name == "slide [raw]"


def test_both_arms_become_two_layers(make, viewer, qtbot):
    section = make({"arms": "preprocessed", "preprocess": "[{kind: gamma, gamma: 0.5}]"})
    section.native.both.click()
    settle(qtbot, section)
    names = [layer.name for layer in viewer.layers]
    assert names == ["slide", "slide [raw]", "slide [preprocessed]"]


def test_a_coarser_level_is_placed_on_the_image(make, viewer, qtbot):
    section = make({"tiles.level": 1, "tiles.size": 96, "tiles.halo": 12}, scale=(2, 2))
    section.native.both.click()
    settle(qtbot, section)
    layer, image = layer_of(viewer), viewer.layers["slide"]
    data = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    assert data.shape == (150, 200)
    for corner in ((-0.5, -0.5), (149.5, 199.5)):
        fine = (np.array(corner) + 0.5) * 2 - 0.5
        np.testing.assert_allclose(layer.data_to_world(corner), image.data_to_world(fine))


def test_a_region_limits_the_points(make, viewer, qtbot):
    section = make()
    corners = [[20, 20], [20, 120], [120, 120], [120, 20]]
    section.state.region = viewer.add_shapes([corners], shape_type="polygon", name="here")
    section.native.both.click()
    settle(qtbot, section)
    found = np.asarray(layer_of(viewer, "slide in here [raw]").data[0])
    assert found[20:120, 20:120].any()
    assert not found[160:].any()


def test_a_plane_of_a_stack_lies_at_that_plane(make, viewer, qtbot):
    stack = np.stack([IMAGE * 0, IMAGE])
    section = make(data=stack, axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 1)
    section.native.both.click()
    settle(qtbot, section)
    layer = layer_of(viewer, "slide z 1 [raw]")
    assert layer.translate[0] == 1
    data = np.asarray(layer.data)
    assert data.shape == (1, *IMAGE.shape)
    assert same_objects(data[0], TRUTH)


def test_a_tile_that_fails_is_named_and_the_others_stay(make, gate, qtbot):
    section = make()
    gate.error = MemoryError("the card is full")
    section.native.both.click()
    settle(qtbot, section)
    assert "6 of 6 tiles failed twice" in said()[-1]
    assert "the card is full" in said()[-1]
    assert not section.state.running


def test_tiles_and_time_are_told_before(make, qtbot):
    section = make()
    scope = section.native.scope
    assert scope.itemText(scope.findData("whole")) == "whole image (6 tiles)"
    section.state.change({"tiles.halo": None})
    assert scope.itemText(scope.findData("whole")).startswith("whole image (about ")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_a_folder_that_cannot_be_made_is_said(make, viewer, qtbot):
    section = make()
    section.whole.output.line.setText("/proc/x/out")
    section.native.raw.click()
    qtbot.waitUntil(lambda: not section.state.running, timeout=20_000)
    assert "/proc/x" in said()[-1]
    assert len(viewer.layers) == 1


def test_bad_folders_are_refused(make, qtbot, tmp_path):
    section = make()
    (tmp_path / "file").write_text("")
    for text, message in (("  ", "No folder"), (str(tmp_path / "file" / "out"), "is a file")):
        section.whole.output.line.setText(text)
        section.native.both.click()
        assert not section.state.running
        assert message in said()[-1]


def test_a_folder_stays_as_it_was_typed(make, qtbot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = make()
    choose_folder(section, "here")
    section.native.both.click()
    settle(qtbot, section)
    assert section.whole.output.line.text() == "here"
    assert (tmp_path / "here" / "slide_raw.zarr").is_dir()


def test_results_go_beside_the_image_by_default(make, viewer, tmp_path):
    np.save(tmp_path / "a.npy", IMAGE)
    (layer,) = viewer.open(str(tmp_path / "a.npy"), plugin="napari")
    assert default_folder(layer) == tmp_path / "a_graysam"
    assert "napari-graysam" in str(default_folder(viewer.add_image(IMAGE, name="a/b")))


def test_the_provenance_names_the_image(make, viewer, qtbot, tmp_path):
    np.save(tmp_path / "a.npy", IMAGE)
    section = make()
    (section.state.layer,) = viewer.open(str(tmp_path / "a.npy"), plugin="napari")
    choose_folder(section, tmp_path / "out")
    section.native.both.click()
    settle(qtbot, section)
    record = json.loads((tmp_path / "out" / "a.npy_raw.provenance.json").read_text())
    assert record["image"]["path"] == str(tmp_path / "a.npy")


def test_the_time_of_the_tiles_tells_how_long_all_will_take(make, gate, qtbot, monkeypatch):
    section = make()
    monkeypatch.setattr("napari_graysam.tiles.tile.ASKING", "")
    section.native.both.click()
    settle(qtbot, section)
    scope = section.native.scope
    section.state.change({"labels.min_area": 5})
    text = scope.itemText(scope.findData("whole"))
    assert text.startswith("whole image (6 tiles, about ")


def arrays(folder):
    return np.asarray(open_pyramid(folder).levels[0])


def test_new_layers_leave_earlier_ones_and_their_labels_alone(make, viewer, gate, qtbot, tmp_path):
    section = make()
    section.native.both.click()
    settle(qtbot, section)
    first, tiles = viewer.layers["slide [raw]"], gate.tiles
    before = np.asarray(first.data[0])
    section.native.new_layers.setChecked(True)
    section.state.change({"labels.min_area": 150})
    section.native.both.click()
    settle(qtbot, section)
    assert gate.tiles == tiles
    second = viewer.layers["slide [raw] 2"]
    np.testing.assert_array_equal(np.asarray(first.data[0]), before)
    assert second.features["area"].min() >= 150 > first.features["area"].min()
    store = tmp_path / "out" / "slide_raw_2.zarr" / "labels" / "slide_raw_2"
    np.testing.assert_array_equal(arrays(store), np.asarray(second.data[0]))
    section.native.new_layers.setChecked(False)
    section.state.change({"labels.min_area": 0})
    section.native.both.click()
    settle(qtbot, section)
    assert len(viewer.layers) == 3
    np.testing.assert_array_equal(np.asarray(first.data[0]), before)
    assert len(second.features) == len(first.features)


def test_new_layers_of_other_tiles_need_nothing_replaced(make, viewer, gate, qtbot):
    section = make()
    section.native.both.click()
    settle(qtbot, section)
    section.native.new_layers.setChecked(True)
    section.state.change({"generator.points_per_side": 40})
    section.native.both.click()
    settle(qtbot, section)
    assert gate.tiles == 12
    assert not [text for text in said() if "Replace" in text]
    assert about(viewer.layers["slide [raw] 2"])["recipe"]["generator"]["points_per_side"] == 40


def test_a_run_that_was_stopped_goes_on_in_its_new_layer(make, viewer, gate, qtbot):
    section = make()
    section.native.both.click()
    settle(qtbot, section)
    section.native.new_layers.setChecked(True)
    section.state.change({"generator.points_per_side": 40})
    gate.stop_before = 8
    section.native.both.click()
    qtbot.waitUntil(lambda: any("2 of 6" in one.name for one in viewer.layers), timeout=60_000)
    section.native.cancel.click()
    settle(qtbot, section)
    assert section.native.both.text() == "Continue"
    gate.stop_before = None
    section.native.both.click()
    settle(qtbot, section)
    assert gate.tiles == 12
    assert sorted(one.name for one in viewer.layers if "raw" in one.name) == [
        "slide [raw]",
        "slide [raw] 2",
    ]


@pytest.mark.parametrize("kind", ["shapes", "labels"])
def test_a_region_that_moved_or_was_edited_marks_what_is_there(make, viewer, gate, qtbot, kind):
    section = make()
    if kind == "shapes":
        corners = [[20, 20], [20, 120], [120, 120], [120, 20]]
        region = viewer.add_shapes([corners], shape_type="polygon", name="here")
    else:
        painted = np.zeros(IMAGE.shape, np.uint8)
        painted[20:120, 20:120] = 1
        region = viewer.add_labels(painted, name="here")
    section.state.region = region
    section.native.both.click()
    settle(qtbot, section)

    def checked():
        qtbot.waitUntil(lambda: not section.whole.jobs.inputs.busy, timeout=20_000)
        return section.native.stack.text()

    assert "changed" not in checked()
    region.translate = (40, 40)
    assert "The region has changed: run again." in checked()
    assert any(one.name.endswith("[raw] (outdated)") for one in viewer.layers)
    region.translate = (0, 0)
    assert "changed" not in checked()
    assert not any(one.name.endswith("(outdated)") for one in viewer.layers)
    if kind == "shapes":
        region.add_rectangles([[150, 150], [200, 200]])
    else:
        region.data = np.roll(painted, 60, axis=0)
    assert "The region has changed: run again." in checked()
    section.whole.output.replace.setChecked(True)
    section.native.both.click()
    settle(qtbot, section)
    assert "changed" not in checked()


def test_other_pixels_mark_what_is_there(make, viewer, qtbot):
    section = make(data=IMAGE)
    section.native.both.click()
    settle(qtbot, section)
    viewer.layers["slide"].data = IMAGE[::-1].copy()
    qtbot.waitUntil(lambda: not section.whole.jobs.inputs.busy, timeout=20_000)
    assert "The image has changed: run again." in section.native.stack.text()
