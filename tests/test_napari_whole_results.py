"""What the panel does with the results of a whole image in tiles: table and files."""

import json
import threading

import dask.array as da
import fake_tiles
import numpy as np
import pandas as pd
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog

from napari_graysam._napari.compare import CompareDock
from napari_graysam._napari.large import run as large_run
from napari_graysam._napari.large.saving import FILES
from napari_graysam._napari.panel.widget import SegmentPanel
from napari_graysam.files import read_coco, read_geojson
from napari_graysam.masks import paint
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.source.pyramid import open_pyramid
from napari_graysam.tiles.export import export_tiled

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
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def panel(viewer, monkeypatch, qtbot, tmp_path):
    fake_tiles.install(monkeypatch)
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, name="panel", area="right")
    state = panel.state
    state.recipe = RECIPE
    data = [da.from_array(level, chunks=100) for level in (IMAGE, IMAGE[::2, ::2])]
    state.layer = viewer.add_image(data, name="slide", multiscale=True, scale=(0.5, 0.25))
    state.extent.choose("whole")
    panel.run.whole.output.line.setText(str(tmp_path / "out"))
    panel.run.whole.output.line.editingFinished.emit()
    panel.told = []
    state.said.connect(lambda text, warning: panel.told.append(text))
    yield panel
    settle(qtbot, panel)


def settle(qtbot, panel):
    whole = panel.run.whole
    qtbot.waitUntil(
        lambda: not (panel.state.running or whole.busy or whole.saver.busy), timeout=60_000
    )


@pytest.fixture
def segmented(panel, qtbot):
    panel.run.native.both.click()
    settle(qtbot, panel)
    panel.told.clear()
    return panel


def layer_of(viewer):
    return viewer.layers["slide [raw]"]


def test_the_next_steps_are_those_of_the_whole_image(panel, qtbot):
    assert not panel.next.isVisibleTo(panel)
    panel.run.native.both.click()
    settle(qtbot, panel)
    assert panel.next.isVisibleTo(panel)
    assert panel.next.table.isEnabled()
    panel.state.extent.choose("view")
    assert not panel.next.isVisibleTo(panel)


def test_what_is_provisional_has_no_next_steps(panel, viewer, qtbot, monkeypatch):
    gate = threading.Event()

    def slowly(*some, **options):
        if any("[raw]" in layer.name for layer in viewer.layers):
            while not gate.wait(0.02):
                yield Progress("decode", 1, 2)
        return (yield from fake_tiles.segment_steps(*some, **options))

    fake_tiles.install(monkeypatch, slowly)
    panel.run.native.both.click()
    qtbot.waitUntil(lambda: any("provisional" in one.name for one in viewer.layers), timeout=60_000)
    assert not panel.next.isVisibleTo(panel)
    gate.set()
    settle(qtbot, panel)
    assert panel.next.isVisibleTo(panel)


def test_a_row_of_the_table_moves_to_its_object(segmented, viewer, qtbot):
    segmented.next.table.click()
    layer = layer_of(viewer)
    assert viewer.layers.selection.active == layer
    table = segmented.next._table._followed.table
    for row in (30, 4):
        object_ = layer.features.iloc[row]
        viewer.scene.camera.center = (0, 0, 0)
        table.selectRow(row)
        qtbot.wait(10)
        assert layer.selected_label == object_["index"]
        y, x = viewer.scene.camera.center[-2:]
        middle = [(object_[f"bbox_{a}0"] + object_[f"bbox_{a}1"] - 1) / 2 for a in "yx"]
        np.testing.assert_allclose((y / 0.5, x / 0.25), middle, atol=0.01)
        assert [one.row() for one in table.selectionModel().selectedRows()] == [row]


def test_too_many_objects_have_their_table_on_disk(panel, qtbot, monkeypatch, tmp_path):
    monkeypatch.setattr(large_run, "LARGEST_TABLE", 3)
    panel.run.native.both.click()
    settle(qtbot, panel)
    panel.next.table.click()
    assert str(tmp_path / "out" / "slide_raw.objects.csv") in panel.told[-1]
    assert (tmp_path / "out" / "slide_raw.objects.csv").exists()


def test_an_image_without_objects_says_so(panel, viewer, qtbot):
    panel.state.layer.data = [np.full_like(level, 10) for level in (IMAGE, IMAGE[::2, ::2])]
    panel.run.native.both.click()
    settle(qtbot, panel)
    assert not np.asarray(layer_of(viewer).data[0]).any()
    panel.told.clear()
    panel.next.table.click()
    assert panel.told == ["There are no objects."]


def test_a_closed_panel_leaves_the_table_to_napari(segmented, viewer):
    segmented.next.table.click()
    layer = layer_of(viewer)
    table = segmented.next._table._followed.table
    viewer.window.remove_dock_widget(segmented)
    viewer.scene.camera.center = (0, 0, 0)
    table.selectRow(4)
    assert viewer.scene.camera.center[-2:] == (0, 0)
    assert viewer.layers.selection.active == layer


def save(panel, qtbot, path, kind, monkeypatch):
    title, ending = next((t, e) for t, (e, of) in FILES.items() if of == kind)
    asked = []

    def answer(parent, caption, start, filters):
        asked.append((caption, filters))
        return str(path), f"{title} (*{ending})"

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    panel.next.save.click()
    settle(qtbot, panel)
    return asked


@pytest.mark.parametrize("kind", [kind for _, kind in FILES.values()])
def test_results_are_saved_elsewhere(segmented, viewer, qtbot, monkeypatch, tmp_path, kind):
    ending = next(end for end, of in FILES.values() if of == kind)
    path = tmp_path / "copy" / f"mine{ending}"
    asked = save(segmented, qtbot, tmp_path / "copy" / "mine", kind, monkeypatch)
    assert str(tmp_path / "out") in asked[0][0]
    assert segmented.told[-1] == f"Saved {path}. All results are in {tmp_path / 'out'}."
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name]
    shown = np.asarray(layer_of(viewer).data[0])
    if kind == "labels":
        found = open_pyramid(path / "labels" / "slide_raw")
        np.testing.assert_array_equal(np.asarray(found.levels[0]), shown)
    elif kind == "objects":
        assert pd.read_csv(path)["index"].tolist() == layer_of(viewer).features["index"].tolist()
    elif kind in ("coco", "geojson"):
        masks = read_coco(path) if kind == "coco" else read_geojson(path).masks
        np.testing.assert_array_equal(paint(masks, IMAGE.shape), shown)
    elif kind == "recipe":
        assert Recipe.from_file(path).tiles == RECIPE.tiles
    else:
        assert json.loads(path.read_text())["objects"] == shown.max()


def test_coco_that_the_run_did_not_write_is_made(segmented, viewer, qtbot, monkeypatch, tmp_path):
    (tmp_path / "out" / "slide_raw.coco.json").unlink()
    save(segmented, qtbot, tmp_path / "mine", "coco", monkeypatch)
    masks = read_coco(tmp_path / "mine.coco.json")
    shown = np.asarray(layer_of(viewer).data[0])
    np.testing.assert_array_equal(paint(masks, IMAGE.shape), shown)


def test_what_is_in_the_folder_already_is_said(segmented, qtbot, monkeypatch, tmp_path):
    path = tmp_path / "out" / "slide_raw.objects.csv"
    before = path.stat().st_mtime_ns
    save(segmented, qtbot, path, "objects", monkeypatch)
    assert "there already" in segmented.told[-1]
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(("typed", "kind"), [("cells", "objects"), ("cells.json", "coco")])
def test_a_file_that_the_dialog_did_not_ask_about_is_not_replaced(
    segmented, qtbot, monkeypatch, tmp_path, typed, kind
):
    ending = next(end for end, of in FILES.values() if of == kind)
    path = tmp_path / f"cells{ending}"
    path.write_text("mine")
    save(segmented, qtbot, tmp_path / typed, kind, monkeypatch)
    assert f"{path} is there already" in segmented.told[-1]
    assert path.read_text() == "mine"
    save(segmented, qtbot, path, kind, monkeypatch)  # The dialog has asked.
    assert segmented.told[-1].startswith(f"Saved {path}.")
    assert path.read_text() != "mine"


@pytest.mark.parametrize(
    ("typed", "kind", "name"),
    [
        ("x.json", "coco", "x.coco.json"),
        ("x.JSON", "provenance", "x.provenance.json"),
        ("x.yaml", "recipe", "x.recipe.yaml"),
        ("x.y", "objects", "x.y.csv"),
        ("x.geojson", "coco", "x.geojson"),
    ],
)
def test_an_ending_is_completed_and_not_doubled(
    segmented, qtbot, monkeypatch, tmp_path, typed, kind, name
):
    save(segmented, qtbot, tmp_path / "copy" / typed, kind, monkeypatch)
    assert [one.name for one in (tmp_path / "copy").iterdir()] == [name]


def test_a_copy_in_the_folder_of_the_results_is_a_new_file(segmented, qtbot, monkeypatch, tmp_path):
    path = tmp_path / "out" / "mine.csv"
    save(segmented, qtbot, path, "objects", monkeypatch)
    assert segmented.told[-1].startswith(f"Saved {path}.")
    made = tmp_path / "out" / "slide_raw.geojson"
    made.unlink(missing_ok=True)
    save(segmented, qtbot, made, "geojson", monkeypatch)
    assert segmented.told[-1].startswith(f"Saved {made}.")
    assert made.exists()


def test_a_store_that_is_there_is_never_replaced(segmented, qtbot, monkeypatch, tmp_path):
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "note").write_text("mine")
    save(segmented, qtbot, tmp_path / "mine.zarr", "labels", monkeypatch)
    assert "is there already" in segmented.told[-1]
    assert (tmp_path / "mine.zarr" / "note").read_text() == "mine"


def test_results_that_were_removed_are_said(segmented, qtbot, monkeypatch, tmp_path):
    (tmp_path / "out" / "slide_raw.provenance.json").unlink()
    save(segmented, qtbot, tmp_path / "mine", "provenance", monkeypatch)
    assert "segment the image again" in segmented.told[-1]
    assert not (tmp_path / "mine.provenance.json").exists()


def test_nothing_is_segmented_while_results_are_saved(
    segmented, viewer, qtbot, monkeypatch, tmp_path
):
    go_on = threading.Event()

    def slowly(*some):
        assert go_on.wait(60)
        export_tiled(*some)

    monkeypatch.setattr("napari_graysam.tiles.export.export_tiled", slowly)
    shown = np.asarray(layer_of(viewer).data[0])
    segmented.run.whole.saver.write(layer_of(viewer), str(tmp_path / "mine.geojson"))
    segmented.state.change({"labels.min_area": 150})
    notification_manager.records.clear()
    segmented.run.native.both.click()
    assert not segmented.state.running
    assert "being saved" in notification_manager.records[-1].message
    go_on.set()
    settle(qtbot, segmented)
    masks = read_geojson(tmp_path / "mine.geojson").masks
    np.testing.assert_array_equal(paint(masks, IMAGE.shape), shown)
    segmented.run.native.both.click()
    settle(qtbot, segmented)
    assert len(layer_of(viewer).features) < len(masks)


def test_both_arms_of_the_image_are_compared(panel, viewer, qtbot):
    compare = panel.next.compare
    panel.state.recipe = RECIPE.with_values(
        {
            "arms": "preprocessed",
            "image.window": {"kind": "explicit", "low": 0, "high": 255},
            "preprocess": [{"kind": "gamma", "gamma": 4}],  # The bar alone stays above 100.
        }
    )
    panel.run.native.raw.click()
    settle(qtbot, panel)
    assert not compare.isEnabled()
    panel.run.native.preprocessed.click()
    settle(qtbot, panel)
    assert compare.isEnabled()
    for name in ("one", "other [raw]", "other [preprocessed]"):
        viewer.add_labels(np.ones((9, 9), np.uint8), name=name)
    compare.click()
    docks = viewer.window.dock_widgets.values()
    (dock,) = (one for one in docks if isinstance(one, CompareDock))
    chosen = {arm: layer.name for arm, layer in dock.chosen.layers.items()}
    assert chosen == {arm: f"slide [{arm}]" for arm in ("raw", "preprocessed")}
    dock.refresh()  # The window is not shown.
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=30_000)
    objects = len(np.unique(TRUTH)) - 1
    assert sum(dock.outcome.comparison.count_objects("raw").values()) == objects
    assert dock.outcome.comparison.counts["lost"] == objects - 1
    panel._actions()["next"]()
    assert dock.view.table.selected.change == "lost"
    viewer.layers.remove("slide [raw]")
    panel.run.whole.changed.emit()
    assert not compare.isEnabled()
