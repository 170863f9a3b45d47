"""The panel's sections: image, model, points, thresholds, labels, recipe."""

import importlib
import shlex
import sys
import time
from functools import partial
from threading import current_thread, main_thread

import dask.array as da
import numpy as np
import pytest
import stub_run
import tifffile
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtWidgets import QApplication

import napari_graysam
from napari_graysam._napari.canvas.region import read_region
from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.panel import download
from napari_graysam._napari.panel.preset import PresetBar
from napari_graysam._napari.panel.sections import model as model_section
from napari_graysam._napari.panel.sections.filters import FiltersSection
from napari_graysam._napari.panel.sections.generator import (
    EVERYWHERE,
    PointsSection,
    ThresholdsSection,
)
from napari_graysam._napari.panel.sections.image import ImageSection
from napari_graysam._napari.panel.sections.labels import LabelsSection
from napari_graysam._napari.panel.sections.model import OWN, ModelSection
from napari_graysam._napari.panel.sections.recipe import RecipeSection
from napari_graysam._napari.panel.sections.second_look import SecondLookSection
from napari_graysam._napari.panel.snippets import Copied, command_line, python_code
from napari_graysam._napari.panel.state import PanelState
from napari_graysam.cli.options import make_recipe
from napari_graysam.errors import DownloadError
from napari_graysam.files.region import region_mask
from napari_graysam.progress import Progress
from napari_graysam.propose.grid import crops
from napari_graysam.recipe import (
    ColumnFilter,
    Explicit,
    GeneratorOptions,
    ImageOptions,
    Recipe,
    parameters,
    presets,
)
from napari_graysam.source.gray import to_gray

SECTIONS = (
    ImageSection,
    ModelSection,
    PointsSection,
    ThresholdsSection,
    LabelsSection,
    FiltersSection,
    RecipeSection,
    SecondLookSection,
)


@pytest.fixture(autouse=True)
def _no_models(monkeypatch, tmp_path, qapp):
    """No checkpoint is on disk, and devices are not looked for."""
    monkeypatch.setenv("GRAYSAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("napari_graysam.model.weights.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(model_section, "_devices", lambda: (one for one in [("cuda:0", "cpu")]))


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def state(viewer):
    return PanelState(viewer)


@pytest.fixture
def wait(qtbot):
    """Wait for something, however busy the machine is."""
    return lambda condition: qtbot.waitUntil(lambda: bool(condition()), timeout=60_000)


def visible(section, name):
    return not section.fields[name].native.parentWidget().isHidden()


def test_every_parameter_is_in_exactly_one_section(state):
    shown = [name for section in SECTIONS for name in section(state).fields]
    assert len(shown) == len(set(shown))
    recipe = Recipe()
    expected = {
        f"{part}.{name}"
        for part in ("image", "model", "generator", "labels", "second_look")
        for name in type(getattr(recipe, part)).model_fields
    }
    top = {"name", "description", "arms", "arms_thresholds", "refine"}
    assert set(shown) == expected | top
    assert {one.path.split(".")[0] for one in parameters(recipe)} - {
        "preprocess",
        "rgb",
        "stack",
        "tiles",  # The panel segments no image in tiles.
    } == {
        *(name.split(".")[0] for name in expected),
        *top,
        "schema_version",
    }


def test_the_sections_dock_in_a_viewer_and_need_no_torch(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    state = PanelState(viewer)
    before = "torch" in sys.modules
    sections = [kind(state) for kind in SECTIONS]
    for section in sections:
        viewer.window.add_dock_widget(section.native, name=section.title)
    viewer.add_image(np.arange(64.0).reshape(8, 8))
    for section in sections:
        if hasattr(section, "reset_choices"):
            section.reset_choices()
    assert state.layer is viewer.layers[0]
    assert ("torch" in sys.modules) is before


# Image


def test_no_image_says_what_to_do(state):
    section = ImageSection(state)
    assert "File ▸ Open" in section.about.value
    assert state.layer is None


def test_the_first_image_is_chosen_and_described(state, viewer, wait):
    section = ImageSection(state)
    layer = viewer.add_image(np.linspace(-1, 3, 12, dtype=np.float32).reshape(3, 4), name="a")
    section.reset_choices()
    assert state.layer is layer
    wait(lambda: section.about.value == "4 × 3 px, float32, values -1 to 3")
    for name in ("plane", "channel", "gray"):
        assert not visible(section, f"image.{name}")


def test_the_range_of_the_values_is_read_in_another_thread(state, viewer, wait, monkeypatch):
    from napari_graysam._napari.panel.sections import image

    found, real = [], image.sample
    monkeypatch.setattr(
        image, "sample", lambda *some: found.append(current_thread()) or real(*some)
    )
    section = ImageSection(state)
    viewer.add_image(np.arange(12.0).reshape(3, 4))
    section.reset_choices()
    wait(lambda: "values 0 to 11" in section.about.value)
    assert found
    assert main_thread() not in found


def test_a_stack_follows_the_viewer_unless_a_plane_is_chosen(state, viewer):
    section = ImageSection(state)
    viewer.add_image(np.zeros((5, 8, 9), np.uint8))
    section.reset_choices()
    viewer.dims.set_point(0, 3)
    assert "5 slices" in section.about.value
    assert "z 3 of 0–4" in section.about.value
    assert visible(section, "image.plane")
    plane = section.fields["image.plane"]
    plane.box.value = False
    plane.inner.spin.native.setValue(9)
    assert state.recipe.image.plane == 4
    assert "z 4 of 0–4" in section.about.value


def test_colours_offer_their_conversion(state, viewer):
    section = ImageSection(state)
    viewer.add_image(np.zeros((9, 8, 3), np.uint8), rgb=True)
    section.reset_choices()
    assert "colour" in section.about.value
    assert visible(section, "image.gray")
    assert visible(section, "image.channel")
    assert section.fields["image.channel"].box.text == "colours mixed"


def test_lazy_and_multiscale_images_are_described_without_computing(state, viewer):
    section = ImageSection(state)
    lazy = da.zeros((2, 64, 64), dtype=np.uint16, chunks=(1, 64, 64))
    viewer.add_image([lazy, lazy[:, ::2, ::2]], multiscale=True, contrast_limits=(5, 70))
    state.layer = viewer.layers[0]
    section.reset_choices()
    text = section.about.value
    assert "64 × 64 px, uint16, 2 slices" in text
    assert "shown from 5 to 70" in text


def test_a_dask_array_stays_lazy(state, viewer):
    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"])
        return np.zeros((1, 16, 16), np.uint8)

    lazy = da.map_blocks(block, chunks=((1,) * 50, 16, 16), dtype=np.uint8)
    viewer.add_image(lazy, contrast_limits=(0, 255))
    section = ImageSection(state)
    section.reset_choices()
    assert "50 slices" in section.about.value
    assert len(set(computed)) < 5


def test_a_labels_layer_and_three_dimensions_are_explained(state, viewer):
    section = ImageSection(state)
    viewer.add_labels(np.zeros((4, 4), int), name="cells")
    section.reset_choices()
    assert "“cells” is a Labels layer" in section.about.value
    viewer.add_image(np.zeros((3, 4, 4)))
    section.reset_choices()
    assert "⚠" not in section.about.value
    viewer.dims.ndisplay = 3
    assert "switch to 2D" in section.about.value


def test_a_removed_image_gives_way_to_another(state, viewer):
    section = ImageSection(state)
    first = viewer.add_image(np.zeros((4, 4)), name="first")
    section.reset_choices()
    second = viewer.add_image(np.ones((4, 4)), name="second")
    section.reset_choices()
    assert state.layer is second
    viewer.layers.remove(second)
    section.reset_choices()
    assert state.layer is first
    section.layer.value = first
    viewer.layers.clear()
    section.reset_choices()
    assert state.layer is None


def test_the_active_image_is_followed_and_a_chosen_one_is_active(state, viewer):
    section = ImageSection(state)
    viewer.layers.events.inserted.connect(section.reset_choices)
    first = viewer.add_image(np.zeros((4, 4)), name="first")
    second = viewer.add_image(np.zeros((4, 4)), name="second")
    assert state.layer == section.layer.value == second
    viewer.add_labels(np.zeros((4, 4), int))
    assert state.layer == second
    section.layer.value = first
    assert state.layer == viewer.layers.selection.active == first
    viewer.layers.selection.active = second
    assert state.layer == section.layer.value == second


def test_previews_of_ours_are_not_offered(state, viewer):
    section = ImageSection(state)
    viewer.add_image(np.zeros((4, 4)), metadata={"napari-graysam": {"preview": True}})
    section.reset_choices()
    assert state.layer is None


def test_an_explicit_window_starts_at_the_layers_contrast_limits(state, viewer):
    section = ImageSection(state)
    viewer.add_image(np.zeros((4, 4), np.uint16), contrast_limits=(12, 345))
    section.reset_choices()
    section.fields["image.window"].kind.value = Explicit
    assert state.recipe.image.window == Explicit(low=12, high=345)


# Model


@pytest.fixture
def section(state):
    return ModelSection(state)


def choices(section):
    native = section.model.native
    return [native.itemText(row) for row in range(native.count())]


def test_models_say_whether_they_are_here(section, tmp_path):
    assert any("Hiera Tiny · download 156 MB" in text for text in choices(section))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sam2.1_hiera_tiny.pt").write_bytes(b"")
    section.reset_choices()
    assert any("2.1 Hiera Tiny · on disk" in text for text in choices(section))


def test_another_model_brings_thresholds_that_suit_it(section, state):
    section.model.value = "sam2.1_hiera_tiny"
    expected = Recipe.preset(model="sam2.1_hiera_tiny")
    assert state.recipe == expected
    fields = GeneratorOptions.model_fields
    said = f"{fields['pred_iou_thresh'].title} {expected.generator.pred_iou_thresh:g}"
    assert said in section.notice.value
    assert fields["crop_n_layers"].title not in section.notice.value
    section.model.value = "graysam-small"
    assert state.recipe == Recipe.preset()


def test_edited_thresholds_are_kept(section, state):
    state.change({"generator.pred_iou_thresh": 0.57})
    section.model.value = "sam2.1_hiera_tiny"
    assert state.recipe.model.name == "sam2.1_hiera_tiny"
    assert state.recipe.generator.pred_iou_thresh == 0.57
    title = GeneratorOptions.model_fields["pred_iou_thresh"].title
    assert f"were kept; usual for SAM 2.1 Hiera Tiny: {title} 0.8" in section.notice.value


def test_crops_of_a_preset_go_with_its_model(section, state, monkeypatch):
    cropped = Recipe.preset("electron-microscopy").with_values({"generator.crop_n_layers": 1})
    known = {name: Recipe.preset(name).to_yaml() for name in presets()}
    known["electron-microscopy"] = cropped.to_yaml()
    monkeypatch.setattr("napari_graysam.recipe.document.preset_texts", lambda: known)
    state.recipe = Recipe.preset("electron-microscopy")
    crops = state.recipe.generator.crop_n_layers
    assert crops > 0
    section.model.value = "sam2.1_hiera_tiny"
    assert state.recipe.generator.crop_n_layers == 0
    title = GeneratorOptions.model_fields["crop_n_layers"].title
    assert f"{title} 0" in section.notice.value
    section.model.value = "graysam-small"
    assert state.recipe.generator.crop_n_layers == crops
    assert f"{title} {crops}" in section.notice.value
    state.change({"generator.crop_n_layers": 2})
    section.model.value = "sam2.1_hiera_tiny"
    assert state.recipe.generator.crop_n_layers == 2
    assert f"kept; usual for SAM 2.1 Hiera Tiny: {title} 0" in section.notice.value


def test_a_file_of_ones_own(section, state, tmp_path):
    path = tmp_path / "mine.pt"
    section.model.value = OWN
    assert not section.file.native.parentWidget().isHidden()
    assert state.recipe.model.checkpoint is None
    section.file.line_edit.value = str(path)
    section.file.line_edit.native.editingFinished.emit()
    assert state.recipe.model.checkpoint == str(path)
    assert "no file" in section.about.value
    path.write_bytes(b"0" * 2_000_000)
    section.reset_choices()
    assert "2 MB" in section.about.value
    section.model.value = "graysam-small"
    assert state.recipe.model.checkpoint is None


def test_memory_grows_with_the_batch_and_halves_with_the_precision(section, state):
    state.change({"model.name": "sam2.1_hiera_tiny", "generator.points_per_batch": 10})
    assert "156 MB for the model and 300 MB for a batch of 10" in section.about.value
    state.change({"model.precision": "bfloat16"})
    assert "78 MB for the model and 150 MB for a batch of 10" in section.about.value


def test_only_devices_that_are_there_are_offered(section, state, wait):
    assert list(section.device.choices) == ["auto"]
    QApplication.sendEvent(section.device.native, QFocusEvent(QEvent.Type.FocusIn))
    wait(lambda: "cuda:0" in section.device.choices)
    assert list(section.device.choices) == ["auto", "cuda:0", "cpu"]
    section.device.value = "cuda:0"
    assert state.recipe.model.device == "cuda:0"


def test_a_download_shows_its_progress_and_changes_the_mark(section, wait, monkeypatch, tmp_path):
    def fetch(entry):
        (tmp_path / "models").mkdir()
        for done in (0, 50, 100):
            yield Progress("download", done, 100)
        path = tmp_path / "models" / entry.filename
        path.write_bytes(b"")
        return path

    monkeypatch.setattr(download, "fetch", fetch)
    section.model.value = "sam2.1_hiera_tiny"
    bringing = section.download
    assert bringing.button.text == "Download SAM 2.1 Hiera Tiny (156 MB)"
    bars = []
    bringing.bar.changed.connect(bars.append)
    bringing.start()
    wait(lambda: not bringing.running)
    assert [done for done in bars if done] == [500, 1000]
    assert "on disk" in bringing.message.value
    assert bringing.button.native.isHidden()
    assert any("2.1 Hiera Tiny · on disk" in text for text in choices(section))


def test_a_download_can_be_cancelled(section, wait, monkeypatch):
    closed = []

    def fetch(entry):
        try:
            while True:
                yield Progress("download", 1, 100)
                time.sleep(0.01)
        finally:
            closed.append(True)

    monkeypatch.setattr(download, "fetch", fetch)
    section.model.value = "sam2.1_hiera_tiny"
    section.download.start()
    wait(lambda: section.download.bar.value == 10)
    section.download.stop()
    wait(lambda: not section.download.running)
    assert "Stopped" in section.download.message.value
    assert not section.download.button.native.isHidden()


def test_a_failed_download_is_told_once_and_can_be_tried_again(section, wait, monkeypatch):
    def fetch(entry):
        yield Progress("download", 0, 100)
        raise DownloadError("no connection")

    monkeypatch.setattr(download, "fetch", fetch)
    section.model.value = "sam2.1_hiera_tiny"
    section.download.start()
    wait(lambda: not section.download.running)
    assert section.download.message.value == "⚠ no connection"
    assert not section.download.button.native.isHidden()


# Points and thresholds


@pytest.fixture
def points(state, viewer):
    viewer.add_image(np.zeros((40, 60)), name="cells", scale=(0.5, 0.5), translate=(3, 4))
    state.layer = viewer.layers[0]
    return PointsSection(state)


def show_grid(section, wait):
    """Switch the grid on, and wait for what is said of it."""
    section.show_grid.value = True
    wait(lambda: section.message.value)


def test_the_grid_is_a_layer_on_the_image(points, state, viewer, wait):
    state.change({"generator.points_per_side": 4, "generator.crop_n_layers": 1})
    show_grid(points, wait)
    layer = viewer.layers["cells point grid"]
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))
    np.testing.assert_array_equal(layer.translate, (3, 4))
    found = crops((40, 60), state.recipe.generator)
    expected = np.concatenate([crop.points + crop.box[:2] for crop in found])[:, ::-1] - 0.5
    np.testing.assert_allclose(layer.data, expected)
    assert sorted(set(layer.features["crop_layer"])) == [0, 1]
    assert "80 points" in points.message.value
    assert layer.face_color[:, 3].max() == 0
    assert layer.border_color[:, 3].min() == 1
    low, high = layer.canvas_size_limits
    assert low == high < 10
    assert layer.size.min() > high
    assert viewer.layers.selection.active is not layer


def test_the_grid_follows_the_parameters_and_the_region(points, state, viewer, wait):
    show_grid(points, wait)
    layer = viewer.layers["cells point grid"]
    state.change({"generator.points_per_side": 6})
    wait(lambda: len(layer.data) == 36)
    shapes = viewer.add_shapes(
        [[[-1, -1], [-1, 29.5], [40, 29.5], [40, -1]]], scale=(0.5, 0.5), translate=(3, 4)
    )
    points.reset_choices()
    points.region.value = shapes
    assert state.region is shapes
    wait(lambda: len(layer.data) == 18)
    points.region.value = EVERYWHERE
    assert state.region is None
    wait(lambda: len(layer.data) == 36)


def test_a_removed_grid_switches_its_box_off_and_back(points, viewer, wait):
    show_grid(points, wait)
    viewer.layers.remove("cells point grid")
    assert points.show_grid.value is False
    points.show_grid.value = True
    points.show_grid.value = False
    wait(lambda: not points.grid._worker.busy)
    assert "cells point grid" not in viewer.layers


def test_too_many_points_are_not_drawn(points, state, viewer, wait):
    state.change({"generator.points_per_side": 512})
    show_grid(points, wait)
    assert "262,144 points" in points.message.value
    assert len(viewer.layers) == 1


def test_points_and_region_are_found_in_another_thread(points, viewer, wait, monkeypatch):
    found = []
    for name in ("propose.grid.crops", "_napari.canvas.region.of_labels"):
        module, _, attribute = f"napari_graysam.{name}".rpartition(".")
        real = getattr(importlib.import_module(module), attribute)
        note = partial(lambda real, *some: found.append(current_thread()) or real(*some), real)
        monkeypatch.setattr(f"{module}.{attribute}", note)
    painted = np.eye(40, 60, dtype=np.uint8)
    points._state.region = viewer.add_labels(painted, scale=(0.5, 0.5), translate=(3, 4))
    show_grid(points, wait)
    assert len(found) == 2
    assert main_thread() not in found


def test_the_grid_of_a_stack_lies_on_the_shown_plane(state, viewer, wait):
    viewer.add_image(np.zeros((5, 8, 8)), name="stack")
    viewer.dims.set_point(0, 2)
    state.layer = viewer.layers[0]
    section = PointsSection(state)
    show_grid(section, wait)
    (layer,) = (one for one in viewer.layers if "grid" in one.name)
    assert layer.ndim == 3
    assert layer.translate[0] == 2


def test_points_of_a_layer_replace_the_grid(points, state, viewer):
    viewer.add_points([[3.0 - 0.25, 4.0 - 0.25], [3 + 9.75, 4 + 14.75], [-50, -50]], name="mine")
    points.reset_choices()
    points.grids.take.changed.emit(True)
    assert state.recipe.generator.points_per_side is None
    assert state.recipe.generator.point_grids == (((0.0, 0.0), (0.5, 0.5)),)
    assert points.grids.given.value == "2 points"
    points.grids.clear_button.changed.emit(True)
    assert state.recipe.generator.point_grids is None
    assert state.recipe.generator.points_per_side == 32


def test_points_elsewhere_are_refused(points, state, viewer):
    problems = []
    state.problem.connect(problems.append)
    viewer.add_points([[-50, -50]])
    points.reset_choices()
    points.grids.take.changed.emit(True)
    assert len(problems) == 1
    assert "None of the 1 points" in problems[0]
    assert state.recipe.generator.point_grids is None


def test_a_removed_region_no_longer_limits(points, state, viewer):
    labels = viewer.add_labels(np.ones((40, 60), int))
    points.reset_choices()
    points.region.value = labels
    viewer.layers.remove(labels)
    points.reset_choices()
    assert state.region is None


def test_parameters_without_effect_are_grey(state):
    points, thresholds = PointsSection(state), ThresholdsSection(state)
    overlap = points.fields["generator.crop_overlap_ratio"]
    box, crop = (thresholds.fields[f"generator.{name}_nms_thresh"] for name in ("box", "crop"))
    state.recipe = Recipe()
    assert [overlap.enabled, box.enabled, crop.enabled] == [False, True, False]
    state.change({"generator.crop_n_layers": 1, "labels.suppression": "mask_iou"})
    assert [overlap.enabled, box.enabled, crop.enabled] == [True, False, True]


# Labels


def test_kept_masks_are_counted_and_forgotten(state):
    section = LabelsSection(state)
    assert section.forget.native.parentWidget().isHidden()
    assert state.change({"labels.keep": [{"point": [3.0, 4.0]}]})
    assert section.kept.value == "1"
    assert not section.forget.native.parentWidget().isHidden()
    section.forget.changed.emit(True)
    assert state.recipe.labels.keep == ()


def test_merging_and_splitting_have_a_slider_each(state):
    merging = LabelsSection(state).fields["labels.merging"].form.fields
    for name in ("merge", "split"):
        merging[name].spin.value = 0.5
        assert getattr(state.recipe.labels.merging, name) == 0.5
        state.change({f"labels.merging.{name}": 0.25})
        assert merging[name].value == 0.25
        assert merging[name].slider is not None
    merging["ask"].value = True
    assert state.recipe.labels.merging.ask


def test_results_are_drawn_as_outlines_on_request(state, viewer):
    section = LabelsSection(state)
    about = {"napari-graysam": {"arm": "raw"}}
    labels = np.eye(9, dtype=int)
    result = viewer.add_labels(labels, metadata=about)
    other = viewer.add_labels(labels)
    section.outlines.width_box.setValue(2)
    later = viewer.add_labels(labels, metadata=about)
    assert [one.contour for one in (result, other, later)] == [2, 0, 2]
    section.outlines.width_box.setValue(0)
    assert result.contour == later.contour == 0
    section.shut()


# Filters


@pytest.fixture
def filtered(state):
    """The section, and results of four squares of different brightness."""
    image = stub_run.squares(0.9, 0.8, 0.6, 0.3)
    live = stub_run.segmented(to_gray(image), stub_run.START.with_values(LOW))
    section = FiltersSection(state)
    state.recipe = live.result.recipe
    state.set_result("raw", live.result, live.selector)
    yield section
    section.shut()


LOW = {"generator.pred_iou_thresh": 0.2}


def test_a_filter_s_slider_spans_the_objects_and_writes_the_recipe(filtered, state, wait):
    filtered.actions_by_column["intensity_mean"].trigger()
    assert state.recipe.labels.filters == (ColumnFilter(column="intensity_mean"),)
    (row,) = filtered.rows
    wait(lambda: row.slider.maximum() > 200)
    low, high = row.slider.value()
    assert low <= round(255 * 0.3) < round(255 * 0.9) <= high
    row.slider.setValue((100, high))
    (one,) = state.recipe.labels.filters
    assert (one.column, one.minimum, one.maximum) == ("intensity_mean", 100, None)
    assert row.limits.text() == "from 100"
    row.slider.setValue((low, high))
    assert state.recipe.labels.filters == (ColumnFilter(column="intensity_mean"),)
    row.end.click()
    assert state.recipe.labels.filters == ()
    assert filtered.rows == []


def test_filters_of_a_loaded_recipe_are_shown(filtered, state, wait):
    wanted = [{"column": "area", "maximum": 50}, {"column": "solidity", "minimum": 0.5}]
    assert state.change({"labels.filters": wanted})
    assert [row.column for row in filtered.rows] == ["area", "solidity"]
    assert [row.limits.text() for row in filtered.rows] == ["up to 50", "from 0.5"]
    assert filtered.rows[0].slider.value()[1] == 50
    wait(lambda: filtered.rows[0].slider.maximum() >= 64)
    assert filtered.rows[0].slider.value()[1] == 50


# Recipe


@pytest.fixture
def book(state):
    return RecipeSection(state)


def test_a_preset_is_applied_whole_marked_when_edited_and_undone(book, state):
    bar = PresetBar(state)
    state.change({"image.channel": 1, "model.name": "sam2.1_hiera_tiny", "model.device": "cpu"})
    before = state.recipe
    bar.choice.activated.emit(bar.choice.findData("membranes"))
    preset = Recipe.preset("membranes", model="sam2.1_hiera_tiny")
    model = preset.model.replace(device="cpu")
    assert state.recipe == preset.replace(image=before.image, model=model)
    assert bar.choice.currentText() == "membranes"
    assert bar.edited.isHidden()
    applied = state.recipe
    state.change({"labels.min_area": 77})
    assert not bar.edited.isHidden()
    assert not bar.reset.isHidden()
    bar.reset.click()
    assert state.recipe == applied
    assert bar.reset.isHidden()
    bar.choice.activated.emit(bar.choice.findData("raw"))
    book.undo_button.changed.emit(True)
    assert state.recipe == applied
    state.change({"name": "mine"})
    assert bar.choice.currentText() == "mine"


def test_all_presets_are_offered_with_what_they_are_for(state):
    choice = PresetBar(state).choice
    for name, description in presets().items():
        tip = choice.itemData(choice.findData(name), Qt.ItemDataRole.ToolTipRole)
        assert description[:20] in tip


def test_a_saved_recipe_loads_again(book, state, tmp_path):
    path = str(tmp_path / "mine.yaml")
    state.change({"generator.points_per_side": 11, "name": "mine"})
    saved = state.recipe
    book.save(path)
    book.reset()
    assert state.recipe == Recipe.preset()
    book.load(path)
    assert state.recipe == saved
    assert book.fields["name"].value == "mine"


@pytest.mark.parametrize("text", ["schema_version: 99\n", "generator: {points: 3}\n"])
def test_a_recipe_that_cannot_be_read_changes_nothing(book, state, tmp_path, text):
    problems = []
    state.problem.connect(problems.append)
    before = state.recipe
    path = tmp_path / "other.yaml"
    path.write_text(text)
    book.load(str(path))
    assert state.recipe is before
    assert len(problems) == 1
    assert ("update napari-graysam" in problems[0]) is ("99" in text)


def test_a_folder_that_cannot_be_written_is_told(book, state, tmp_path):
    problems = []
    state.problem.connect(problems.append)
    book.save(str(tmp_path / "none" / "recipe.yaml"))
    assert len(problems) == 1


def test_name_and_description_are_edited(book, state):
    line = book.fields["name"].line.native
    line.setText("cells")
    line.editingFinished.emit()
    assert state.recipe.name == "cells"
    state.change({"name": "other"})
    assert line.text() == "other"


CHANGES = {
    "image.window": {"kind": "explicit", "low": 2.5, "high": 300.0},
    "generator.points_per_side": 9,
    "generator.points_per_batch": 3,
    "labels.max_area": 500,
    "labels.exclude_border": True,
    "preprocess": [{"kind": "clahe", "clip_limit": 2.5}, {"kind": "invert", "enabled": False}],
    "rgb": {"kind": "colormap", "name": "magma"},
    "model.checkpoint": "my model's.pt",
    "description": "a: b, 'c' \"d\" #1",
    "name": "7",
}


def copied(copy, wait):
    """Return what a button puts into the clipboard."""
    QApplication.clipboard().clear()
    copy()
    wait(lambda: QApplication.clipboard().text())
    return QApplication.clipboard().text()


def test_the_copied_command_gives_the_same_recipe(book, state, viewer, tmp_path, wait):
    path = tmp_path / "an image.tif"
    tifffile.imwrite(path, np.zeros((8, 9), np.uint8))
    viewer.open(path, plugin="napari")
    state.layer = viewer.layers[0]
    assert state.change(CHANGES)
    words = shlex.split(copied(book.copy_command, wait))
    assert words[:3] == ["graysam", "segment", str(path)]
    assert words[-2:] == ["--out", "results"]
    settings = [
        value for flag, value in zip(words[3::2], words[4::2], strict=True) if flag == "--set"
    ]
    assert len(settings) == len(CHANGES)
    assert make_recipe(None, None, settings) == state.recipe


def test_the_default_recipe_needs_no_settings(state):
    assert command_line(Copied.of(state)) == "graysam segment image.tif --out results"


def test_the_copied_command_names_the_preset_and_what_differs(book, state, viewer, wait):
    bar = PresetBar(state)
    bar.take("phase-contrast")
    state.change({"labels.min_area": 77})
    state.layer = viewer.add_image(np.zeros((8, 9)), name="drawn")
    words = shlex.split(copied(book.copy_command, wait))
    assert words[2:] == [
        *("image.tif", "--recipe", "phase-contrast", "--set", "labels.min_area=77"),
        *("--out", "results"),
    ]
    wait(lambda: book.message.value)
    assert "“drawn” has no file: save the layer first" in book.message.value
    state.change({"model.name": "sam2.1_hiera_tiny"})
    words = shlex.split(copied(book.copy_command, wait))
    settings = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    again = make_recipe("phase-contrast", words[words.index("--model") + 1], settings)
    assert again == state.recipe


def executed(code):
    names = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("model", [None, "sam2.1_hiera_tiny"])
def test_the_copied_python_names_the_preset_and_what_differs(book, state, viewer, wait, model):
    state.layer = viewer.add_image(np.zeros((8, 9)), name="drawn")
    assert state.change({"image.axes": "YX"})
    of_default = copied(book.copy_python, wait)
    assert (
        "Recipe.preset().with_values(\n    {\n        'image.axes': 'YX',\n    }\n)" in of_default
    )
    PresetBar(state).take("phase-contrast")
    changes = {"labels.min_area": 77, "image.window": {"kind": "dtype"}, "description": "no: 5"}
    assert state.change(changes if model is None else {**changes, "model.name": model})
    code = copied(book.copy_python, wait).split("image = ")[0]
    named = f", model={model!r}" if model else ""
    assert f"Recipe.preset('phase-contrast'{named}).with_values(" in code
    assert "'labels.min_area': 77,\n" in code
    assert "preprocess" not in code
    assert model is not None or "generator" not in code
    assert executed(code)["recipe"] == state.recipe


@pytest.mark.parametrize("from_file", [False, True])
def test_the_copied_python_runs(book, state, viewer, tmp_path, monkeypatch, wait, from_file):
    pixels = np.arange(3 * 8 * 9, dtype=np.uint8).reshape(3, 8, 9)
    path = tmp_path / "stack.tif"
    if from_file:
        tifffile.imwrite(path, pixels, metadata={"axes": "ZYX"}, imagej=True)
        viewer.open(path, plugin="napari")
    else:
        viewer.add_image(pixels, name="stack")
    viewer.dims.set_point(0, 2)
    state.layer = viewer.layers[0]
    changes = {name: value for name, value in CHANGES.items() if name != "model.checkpoint"}
    assert state.change(changes)
    calls = []
    monkeypatch.setitem(
        vars(napari_graysam), "segment", lambda *args, **options: calls.append(args)
    )
    code = copied(book.copy_python, wait)
    assert "points_per_side" in code
    assert "thresh" not in code
    exec(code, {"viewer": viewer})
    ((image, recipe),) = calls
    assert recipe.replace(image=state.recipe.image) == state.recipe
    gray = image if from_file else to_gray(image, recipe.image)
    np.testing.assert_array_equal(gray.raw, pixels[2])


@pytest.mark.parametrize("kind", ["shapes", "labels"])
def test_the_region_is_copied_to_the_pixel(book, state, viewer, wait, kind):
    state.layer = viewer.add_image(np.zeros((40, 60)), scale=(2, 2), name="cells")
    if kind == "shapes":
        areas = [[[5, 5], [31, 12], [22, 40]], [[20, 80], [20, 130], [70, 130], [70, 80]]]
        state.region = viewer.add_shapes(areas, rotate=8, shape_type="polygon")
    else:
        painted = np.zeros((40, 60), np.uint8)
        painted[3:20, 4:30] = 1
        painted[6:9, 8:12] = painted[9:12, 12:15] = 0  # Two holes that meet at a corner.
        painted[30:35, 40:50] = 2
        state.region = viewer.add_labels(painted, scale=(2, 2))
    expected = read_region(state.region, read_source(viewer, state.layer, ImageOptions())).mask()
    words = shlex.split(copied(book.copy_command, wait))
    recipe = make_recipe(None, None, [words[words.index("--set") + 1]])
    np.testing.assert_array_equal(region_mask(recipe.image.region, (40, 60)), expected)
    code = copied(book.copy_python, wait)
    recipe = executed(code.split("image = ")[0])["recipe"]
    np.testing.assert_array_equal(region_mask(recipe.image.region, (40, 60)), expected)


def test_a_region_beside_the_image_is_not_copied(book, state, viewer, wait):
    problems = []
    state.problem.connect(problems.append)
    state.layer = viewer.add_image(np.zeros((40, 60)))
    state.region = viewer.add_shapes([[[50, 50], [50, 60], [60, 60]]], shape_type="polygon")
    book.copy_command()
    wait(lambda: problems)
    assert "no area drawn" in problems[0]


def test_contrast_limits_are_copied_too(state, viewer):
    viewer.add_image(np.zeros((8, 9)), contrast_limits=(0.25, 0.5))
    state.layer = viewer.layers[0]
    state.change({"image.window": {"kind": "limits"}})
    assert "contrast_limits=(0.25, 0.5)" in python_code(Copied.of(state))
    words = shlex.split(command_line(Copied.of(state)))
    assert "explicit" in " ".join(words)
    recipe = make_recipe(None, None, [words[words.index("--set") + 1]])
    assert recipe.image.window == Explicit(low=0.25, high=0.5)
