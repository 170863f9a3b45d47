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
from qtpy.QtWidgets import QWidget
from roifile import ImagejRoi, roiread

from napari_graysam._napari.io import readers, writers
from napari_graysam._napari.io.readers import get_reader
from napari_graysam._napari.panel.state import PanelState
from napari_graysam.errors import OutputError
from napari_graysam.files import (
    read_coco,
    read_geojson,
    read_labels,
    read_recipe_text,
    read_rois,
    write_rois,
)
from napari_graysam.files.coco import read_coco_objects
from napari_graysam.masks import Mask
from napari_graysam.recipe import Recipe

PLUGIN = "napari-graysam"
RECIPE = Recipe().with_values({"name": "mine", "image.plane": 4}).to_dict()
NAMES = {
    "write_coco": "a.coco.json",
    "write_labels": "a.labels.tif",
    "write_geojson": "a.geojson",
    "write_rois": "a.zip",
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


@pytest.mark.parametrize("many", [False, True], ids=["ImageJ", "OME"])
def test_tiff_has_pixel_size_and_recipe(plugins, tmp_path, many):
    layer = labels_layer()
    if not many:
        layer.data = np.minimum(layer.data, 9)
    path = tmp_path / "a.labels.tif"
    save(plugins, "write_labels", path, layer)
    np.testing.assert_array_equal(read_labels(path), layer.data)
    assert Recipe.from_yaml(read_recipe_text(path)).to_dict() == RECIPE
    with tifffile.TiffFile(path) as file:
        if many:
            assert 'PhysicalSizeY="0.5"' in file.ome_metadata
            assert 'PhysicalSizeXUnit="µm"' in file.ome_metadata
        else:
            assert file.imagej_metadata["unit"] == "um"
            x, over = file.pages[0].tags["XResolution"].value
            assert x / over == 4


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
        return writers.read_layer(*layer.as_layer_data_tuple()[:2])[-2:]

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
    monkeypatch.setattr("napari_graysam._napari.panel.widget.SegmentPanel", Panel)
    return make_napari_viewer_proxy()


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
