import json
import zipfile
from importlib.metadata import EntryPoint

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest
from qtpy.QtWidgets import QApplication, QMenu, QWidget
from roifile import ImagejRoi, roiread

from napari_graysam._napari.io import readers, writers
from napari_graysam._napari.io.readers import get_reader
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.results.features import show_table
from napari_graysam.errors import OutputError
from napari_graysam.files import (
    read_coco,
    read_geojson,
    read_label_file,
    read_labels,
    read_recipe_text,
    read_rois,
    write_labels,
    write_rois,
)
from napari_graysam.files.coco_reader import read_coco_objects
from napari_graysam.masks import Mask
from napari_graysam.recipe import Recipe
from napari_graysam.select.label_table import label_table
from napari_graysam.select.table import PHYSICAL

PLUGIN = "napari-graysam"
RECIPE = Recipe().with_values({"name": "mine", "image.plane": 4}).to_dict()
NAMES = {
    "write_coco": "a.coco.json",
    "write_labels": "a.labels.tif",
    "write_geojson": "a.geojson",
    "write_rois": "a.zip",
    "write_csv": "a.csv",
}


@pytest.fixture
def plugins():
    manager = PluginManager()
    manager.register(PluginManifest.from_distribution(PLUGIN))
    return manager


def labels_layer(**options):
    labels = np.zeros((12, 15), np.uint32)
    labels[1:6, 2:8] = 3
    labels[3, 4] = 0
    labels[8:, 10:] = 70_000
    labels[7, 9] = 70_000
    options = {
        "name": "cells [raw]",
        "scale": (0.5, 0.25),
        "units": "um",
        "features": pd.DataFrame(
            {
                "index": [3, 70_000],
                "predicted_iou": [0.75, 0.5],
                "stability_score": [0.875, 0.25],
                "parent": [0, 3],
                "depth": [0, 1],
                "source": ["raw", "preprocessed"],
                "intensity_std": [np.nan, 1.5],
            }
        ),
        "metadata": {PLUGIN: {"recipe": RECIPE, "arm": "raw", "source_layer": "cells"}},
        **options,
    }
    return Labels(labels, **options)


def save(plugins, command, path, layer):
    python_name = plugins.get_command(f"{PLUGIN}.{command}").python_name
    data, attributes, _ = layer.as_layer_data_tuple()
    return EntryPoint("x", python_name, "x").load()(str(path), data, attributes)


# Writing


@pytest.mark.parametrize(("command", "name"), NAMES.items())
def test_a_path_without_ending_gets_one(plugins, tmp_path, command, name):
    layer = labels_layer()
    assert save(plugins, command, tmp_path / "a", layer) == [str(tmp_path / name)]
    assert save(plugins, command, tmp_path / name, layer) == [str(tmp_path / name)]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES.values())
def test_napari_finds_the_writer_by_the_ending(plugins, name):
    writer, _ = plugins.get_writer(name, ["labels"])
    assert NAMES[writer.command.partition(".")[2]] == name
    assert plugins.get_writer(name, ["image"])[0] is None


def test_plain_tiff_stays_with_napari(plugins):
    assert plugins.get_writer("a.tif", ["labels"])[0] is None


def test_coco_has_labels_scores_and_recipe(plugins, tmp_path):
    layer = labels_layer()
    save(plugins, "write_coco", tmp_path / "a.coco.json", layer)
    objects = read_coco_objects(tmp_path / "a.coco.json")
    assert objects.labels == (3, 70_000)
    assert objects.recipe == RECIPE
    first, second = objects.masks
    np.testing.assert_array_equal(first.full((12, 15)), layer.data == 3)
    assert (first.predicted_iou, first.stability, first.source) == (0.75, 0.875, "raw")
    assert (second.parent, second.depth, second.source) == (0, 1, "preprocessed")
    content = json.loads((tmp_path / "a.coco.json").read_text())
    assert content["images"][0]["file_name"] == "cells"
    assert [one["id"] for one in content["annotations"]] == [3, 70_000]
    assert [one["parent"] for one in content["annotations"]] == [0, 3]


def test_tiff_has_pixel_size_and_recipe(plugins, tmp_path):
    layer = labels_layer()
    path = tmp_path / "a.labels.tif"
    save(plugins, "write_labels", path, layer)
    np.testing.assert_array_equal(read_labels(path), layer.data)
    assert Recipe.from_yaml(read_recipe_text(path)).to_dict() == RECIPE
    with tifffile.TiffFile(path) as file:
        assert 'PhysicalSizeY="0.5"' in file.ome_metadata
        assert 'PhysicalSizeXUnit="µm"' in file.ome_metadata


def test_csv_has_every_object_with_units(plugins, tmp_path):
    layer = labels_layer()
    save(plugins, "write_csv", tmp_path / "a.csv", layer)
    table = pd.read_csv(tmp_path / "a.csv").set_index("index")
    assert table.index.tolist() == [3, 70_000]
    assert table["area"].tolist() == [29, 21]
    assert table["area_um2"].tolist() == [29 / 8, 21 / 8]
    assert table["predicted_iou"].tolist() == [0.75, 0.5]
    layer.units = ("nm", "nm")
    save(plugins, "write_csv", tmp_path / "a.csv", layer)
    assert pd.read_csv(tmp_path / "a.csv")["area_um2"].tolist() == pytest.approx(
        [29e-6 / 8, 21e-6 / 8]
    )
    layer.units, layer.scale = ("pixel", "pixel"), (1, 1)
    save(plugins, "write_csv", tmp_path / "a.csv", layer)
    assert "area_um2" not in pd.read_csv(tmp_path / "a.csv")


def test_geojson_and_rois_have_measurements_and_recipe(plugins, tmp_path):
    layer = labels_layer()
    for command, read in (("write_geojson", read_geojson), ("write_rois", read_rois)):
        save(plugins, command, tmp_path / NAMES[command], layer)
        objects = read(tmp_path / NAMES[command])
        assert (objects.labels, objects.shape) == ((3, 70_000), (12, 15))
        assert objects.recipe == RECIPE
        assert objects.measurements[0]["predicted_iou"] == 0.75
        assert objects.measurements[1]["intensity_std"] == 1.5
        assert "intensity_std" not in objects.measurements[0]
        for label, mask in zip(objects.labels, objects.masks, strict=True):
            np.testing.assert_array_equal(mask.full((12, 15)), layer.data == label)
    assert {roi.position for roi in roiread(tmp_path / "a.zip")} == {5}


@pytest.mark.parametrize(("command", "name"), NAMES.items())
def test_layers_that_are_not_ours(plugins, tmp_path, command, name):
    layer = Labels(np.eye(5, dtype=np.int64) * 2, features={"score": [0, 1, 5]})
    save(plugins, command, tmp_path / name, layer)
    if command == "write_coco":
        (mask,) = read_coco(tmp_path / name)
        assert mask.area == 5
    elif command == "write_labels":
        np.testing.assert_array_equal(read_labels(tmp_path / name), layer.data)
    elif command == "write_csv":
        row = pd.read_csv(tmp_path / name).iloc[0]
        assert row[["index", "area", "score"]].tolist() == [2, 5, 5]
    else:
        objects = (read_geojson if command == "write_geojson" else read_rois)(tmp_path / name)
        assert objects.recipe is None
        assert objects.labels == (2,)
        assert objects.measurements == ({"score": 5.0},)


@pytest.mark.parametrize(("command", "name"), NAMES.items())
def test_planes_of_stacks_and_empty_layers(plugins, tmp_path, command, name):
    plane = labels_layer().data
    save(plugins, command, tmp_path / name, Labels(plane[None, :, None, :][0][None]))
    with pytest.raises(OutputError, match=r"“stack” is a stack of shape \(2, 12, 15\)"):
        save(plugins, command, tmp_path / name, Labels(np.stack([plane] * 2), name="stack"))
    assert save(plugins, command, tmp_path / name, Labels(np.zeros((4, 5), int)))


@pytest.mark.parametrize("command", NAMES)
def test_one_clear_error_for_a_wrong_place(plugins, tmp_path, command):
    with pytest.raises(OutputError, match=r"a\.png: a .* file ends in \."):
        save(plugins, command, tmp_path / "a.png", labels_layer())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        save(plugins, command, tmp_path / "file" / NAMES[command], labels_layer())
    negative = Labels(np.array([[-1, 2]]), name="odd")
    with pytest.raises(OutputError, match=r"“odd” has labels from -1 to 2"):
        save(plugins, command, tmp_path / NAMES[command], negative)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_pixel_sizes():
    def size(**options):
        layer = labels_layer(**options)
        saved = writers.read_layer(*layer.as_layer_data_tuple()[:2])
        return saved.pixel_size, saved.unit

    assert size() == ((0.5, 0.25), "µm")
    assert size(scale=(1, 1), units="pixel") == (None, None)
    assert size(scale=(2, 2), units="pixel") == ((2, 2), "pixel")
    height, width = size(scale=(500, 0.25), units=("nm", "um"))[0]
    assert (round(height, 9), width) == (0.5, 0.25)


# Reading


def texts():
    """Text of notifications since the test began."""
    return " ".join(record.message for record in notification_manager.records)


@pytest.fixture(autouse=True)
def _fresh_notifications():
    notification_manager.records.clear()


@pytest.mark.parametrize("command", ["write_coco", "write_geojson", "write_rois"])
def test_what_was_saved_opens_as_it_was(plugins, tmp_path, command):
    layer = labels_layer()
    path = str(tmp_path / NAMES[command])
    save(plugins, command, path, layer)
    (opened,) = get_reader(path)(path)
    again = Labels.create(*opened)
    np.testing.assert_array_equal(again.data, layer.data)
    assert again.name == "a"
    assert again.metadata[PLUGIN]["recipe"] == RECIPE
    features = again.features.set_index("index")
    assert features.loc[70_000, "predicted_iou"] == 0.5
    assert features.loc[70_000, "parent"] == 3
    assert features.loc[3, "area"] == 29


def test_smaller_objects_lie_on_top(tmp_path):
    outer = Mask(np.ones((6, 6), bool), (0, 0, 6, 6))
    inner = Mask(np.ones((2, 2), bool), (2, 2, 4, 4))
    write_rois(tmp_path / "a.zip", [inner, outer], (6, 6))
    ((labels, _, _),) = get_reader(str(tmp_path / "a.zip"))(str(tmp_path / "a.zip"))
    assert (labels == 1).sum() == 4
    assert (labels == 2).sum() == 32


PLACE = {
    "scale": (3.0, 2.0, 0.5),
    "translate": (1.0, 3.0, 4.0),
    "rotate": [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]],
    "shear": (0.0, 0.0, 0.5),
    "affine": [[1, 0, 0, 5], [0, 1, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]],
    "units": ("um", "nm", "nm"),
    "axis_labels": ("z", "rows", "columns"),
}


def test_label_tiffs_come_back_with_features_and_place(plugins, tmp_path):
    plane = labels_layer()
    before = Labels(plane.data[None], **PLACE, metadata=plane.metadata)
    table = label_table(plane.data).assign(
        point_x=[1.0, 2.0], source=["raw", "preprocessed"], intensity_mean=[np.nan, 2.0]
    )
    show_table(before, table, PLUGIN)
    path = str(tmp_path / "a.labels.tif")
    save(plugins, "write_labels", path, before)
    after = Labels.create(*get_reader(path)(path)[0])
    np.testing.assert_array_equal(after.data, before.data)
    for name in PLACE:
        np.testing.assert_array_equal(
            np.asarray(getattr(after, name)), np.asarray(getattr(before, name))
        )
    assert after.features["area_um2"].tolist() == pytest.approx(
        (before.features["area"] * 1e-6).tolist()
    )
    pd.testing.assert_frame_equal(
        after.features.drop(columns=list(PHYSICAL), errors="ignore"),
        before.features,
        check_like=True,
    )
    assert after.metadata[PLUGIN]["recipe"] == RECIPE
    again = tmp_path / "b.labels.tif"
    save(plugins, "write_labels", again, after)
    kept = read_label_file(again).attachment
    first = read_label_file(path).attachment
    pd.testing.assert_frame_equal(kept.table, first.table)
    assert kept.placement == first.placement
    assert kept.table["point_x"].tolist() == [1, 2]


FOREIGN = {
    "a.json": '{"images": [], "annotations": []}',
    "schema.json": '{"schema_version": 1, "tracks": []}',
    "list.json": '["schema_version"]',
    "text.json": '"schema_version',
    "map.json": '{"type": "FeatureCollection", "features": []}',
    "a.yaml": "name: other\n",
    "b.yml": "schema_version: 2\nservices: []\n",
    "empty.yaml": "",
    "a.geojson": "{}",
    "a.zip": "no zip",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_others_are_declined(tmp_path, name):
    (tmp_path / name).write_text(FOREIGN[name])
    assert get_reader(str(tmp_path / name)) is None
    assert get_reader([str(tmp_path / name)]) is None
    assert get_reader(str(tmp_path / "missing" / name)) is None


def test_other_archives_and_binary_files_are_declined(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("image.tif", b"x")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00\xd8" * 10)
    assert get_reader(str(tmp_path / "a.zip")) is None
    assert get_reader(str(tmp_path / "a.json")) is None


def test_a_damaged_file_is_one_message(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.roi", b"nonsense")
    assert get_reader(str(path))(str(path)) == [(None,)]
    assert texts().count("is no ImageJ ROI or is damaged") == 1


class Panel(QWidget):
    """Stands in for the panel, whose opening is tested with it."""

    def __init__(self, napari_viewer):
        super().__init__()
        self.state = PanelState(napari_viewer)


@pytest.fixture
def viewer(make_napari_viewer_proxy, monkeypatch):
    viewer = make_napari_viewer_proxy()
    # npe2 remembers what a command led to: later tests must find the panel again.
    commands = PluginManager.instance().commands
    commands.get("napari-graysam.panel")
    monkeypatch.setattr(commands._commands["napari-graysam.panel"], "function", Panel)
    monkeypatch.setattr("napari_graysam._napari.panel.widget.SegmentPanel", Panel)
    return viewer


def test_objects_lie_on_the_open_image(viewer, tmp_path):
    roi = ImagejRoi.frompoints([[0, 0], [4, 0], [4, 3]], name="one")
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.roi", roi.tobytes())
    (alone,) = viewer.open(path, plugin=PLUGIN)
    assert alone.data.shape == (3, 4)
    assert "3 × 4 pixels hold every object" in texts()
    viewer.layers.clear()
    image = viewer.add_image(np.zeros((20, 30)), scale=(2, 3), translate=(5, 6), units="nm")
    (placed,) = viewer.open(path, plugin=PLUGIN)
    assert placed.data.shape == (20, 30)
    np.testing.assert_array_equal(placed.scale, image.scale)
    np.testing.assert_array_equal(placed.translate, image.translate)
    assert placed.units == image.units
    assert f"Placed on the image “{image.name}”" in texts()


def label_file(path, **options):
    labels = np.zeros((20, 30), np.uint32)
    labels[2:5, 2:6] = 4
    write_labels(path, labels, **options)
    return path


def test_foreign_coco_opens_for_the_image_of_that_name(viewer, tmp_path):
    path = tmp_path / "all.json"
    boxes = {1: [0, 0, 2, 0, 2, 2, 0, 2], 2: [3, 3, 6, 3, 6, 6, 3, 6]}
    images = [
        {"id": number, "file_name": f"cells_{number}.png", "height": 8, "width": 9}
        for number in boxes
    ]
    annotations = [
        {"id": number + 4, "image_id": number, "category_id": 1, "segmentation": [box]}
        for number, box in boxes.items()
    ]
    path.write_text(json.dumps({"annotations": annotations, "images": images}))
    viewer.add_image(np.zeros((8, 9)), name="cells_2")
    (layer,) = viewer.open(str(path), plugin=PLUGIN)
    assert np.unique(layer.data).tolist() == [0, 6]
    assert (layer.data == 6).sum() == 9
    viewer.layers.clear()
    assert get_reader(str(path))(str(path)) == [(None,)]
    assert "cells_1.png, cells_2.png" in texts()


def test_label_tiffs_open_as_labels_with_their_pixel_size(viewer, tmp_path):
    path = label_file(tmp_path / "a.labels.tif", pixel_size=(500, 250), unit="nm")
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert isinstance(layer, Labels)
    assert layer.scale.tolist() == [500, 250]
    assert [f"{unit:~}" for unit in layer.units] == ["nm", "nm"]
    assert layer.features.to_dict("list") == {"index": [4], "area": [12]}
    viewer.layers.clear()
    label_file(path, pixel_size=(5, 5), unit="furlongs per fortnight")
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert layer.scale.tolist() == [5, 5]


def test_napari_alone_takes_label_tiffs_for_labels(viewer, tmp_path):
    (layer,) = viewer.open(label_file(tmp_path / "a.tif"), plugin="napari")
    assert isinstance(layer, Labels)


def test_label_tiffs_lie_on_the_open_image(viewer, tmp_path):
    image = viewer.add_image(np.zeros((20, 30)), scale=(2, 3), translate=(5, 6))
    path = label_file(tmp_path / "a.labels.tif", pixel_size=(7, 7))
    (layer,) = viewer.open(path, plugin=PLUGIN)
    np.testing.assert_array_equal(layer.scale, image.scale)
    np.testing.assert_array_equal(layer.translate, image.translate)
    label_file(path, placement={"shape": [3, 9], "scale": [1, 1]})
    (layer,) = viewer.open(path, plugin=PLUGIN)
    np.testing.assert_array_equal(layer.scale, image.scale)
    assert "The place that it holds is damaged" in texts()


def test_any_label_image_opens_as_labels_on_request(viewer, tmp_path, monkeypatch):
    labels = np.arange(600, dtype=np.uint16).reshape(20, 30) // 100
    tifffile.imwrite(tmp_path / "other.tif", labels)
    np.save(tmp_path / "colours.npy", np.zeros((4, 4, 3), np.uint8))
    paths = [str(tmp_path / "other.tif"), str(tmp_path / "colours.npy")]
    monkeypatch.setattr("qtpy.QtWidgets.QFileDialog.getOpenFileNames", lambda *_: (paths, ""))
    menus = [one for one in QApplication.allWidgets() if isinstance(one, QMenu)]
    (menu,) = [one for one in menus if "IO Utilities" in one.title()]
    menu.aboutToShow.emit()
    (action,) = [one for one in menu.actions() if "label image as Labels" in one.text()]
    action.trigger()
    (layer,) = viewer.layers
    assert isinstance(layer, Labels)
    assert layer.name == "other"
    np.testing.assert_array_equal(layer.data, labels)
    assert texts().count("colours, not labels") == 1


def test_file_save_of_a_layer_as_csv(viewer, tmp_path):
    layer = viewer.add_labels(labels_layer().data, scale=(0.5, 0.5), units="um")
    assert layer.save(str(tmp_path / "a.csv")) == [str(tmp_path / "a.csv")]
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["area_um2"].tolist() == [29 / 4, 21 / 4]


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_a_dropped_recipe_goes_to_the_panel(viewer, tmp_path, suffix):
    path = tmp_path / f"a.recipe{suffix}"
    recipe = Recipe().with_values({"name": "mine", "preprocess": [{"kind": "clahe"}]})
    recipe.to_file(path)
    assert viewer.open(path, plugin=PLUGIN) == []
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, readers.PANEL)
    assert panel.state.recipe == recipe
    assert "The recipe “mine” is now in the panel." in texts()
    recipe.replace(name="other").to_file(path)
    viewer.open(path, plugin=PLUGIN)
    assert panel.state.recipe.name == "other"


def test_a_recipe_of_a_newer_program_is_one_message(viewer, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("schema_version: 99\nname: later\nnovelty: 1\n")
    assert viewer.open(path, plugin=PLUGIN) == []
    assert texts().count("schema_version 99") == 1
    assert "update napari-graysam" in texts()
    assert not [layer for layer in viewer.layers if isinstance(layer, Image)]
