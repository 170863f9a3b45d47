import gc
import json
import weakref

import numpy as np
import pandas as pd
import pytest
import stub_run
from qtpy.QtWidgets import QApplication

from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.io.writers import read_layer
from napari_graysam._napari.results.colors import colormap, object_colors, palette
from napari_graysam._napari.results.layers import ResultLayers
from napari_graysam.masks import overlay
from napari_graysam.recipe import ImageOptions, Recipe
from napari_graysam.source.gray import to_gray

RAW = stub_run.START


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def source(viewer):
    image = stub_run.squares(1, 0.9, 0.6, 0.3)
    layer = viewer.add_image(
        image,
        name="cells",
        scale=(0.5, 0.25),
        translate=(3, 4),
        rotate=30,
        shear=[0.2],
        affine=np.array([[1, 0.1, 5], [0, 1, 6], [0, 0, 1]]),
        units=("um", "um"),
        axis_labels=("y", "x"),
    )
    return read_source(viewer, layer, ImageOptions())


def result(source, threshold=0.5, arm="raw"):
    recipe = RAW.with_values({"generator.pred_iou_thresh": threshold})
    gray = to_gray(source.array, source.options)
    return stub_run.segmented(gray, recipe, source=arm).result


def show(layers, source, segmentation, arm="raw", new=False):
    colors = object_colors({arm: segmentation})[arm]
    return finished(layers, layers.show(arm, segmentation, source, colors, new=new))


def finished(layers, message=""):
    while layers.queue.busy:
        QApplication.processEvents()
    return message


def test_a_result_is_a_labels_layer_on_its_image(viewer, source):
    layers, segmentation = ResultLayers(viewer), result(source)
    assert segmentation.table is not None
    assert show(layers, source, segmentation) == ""
    image, layer = viewer.layers["cells"], viewer.layers["cells [raw]"]
    assert layers.layer("raw") is layer or layers.layer("raw").name == layer.name
    assert viewer.layers.selection == {layer}
    assert layer.data.dtype == np.uint32
    np.testing.assert_array_equal(layer.data, segmentation.labels)
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(layer, name), getattr(image, name))
    np.testing.assert_allclose(layer.affine.affine_matrix, image.affine.affine_matrix)
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels
    assert list(layer.features["index"]) == [1, 2, 3]
    assert list(layer.features["area"]) == [64, 64, 64]


def test_the_status_bar_shows_what_objects_are_first_and_not_how_they_were_found(viewer, source):
    layers, segmentation = ResultLayers(viewer), result(source)
    assert segmentation.table is not None
    show(layers, source, segmentation)
    layer = viewer.layers["cells [raw]"]
    columns = list(layer.features)
    assert columns[:4] == ["index", "area", "predicted_iou", "stability_score"]
    assert not [name for name in columns if name.startswith(("point_", "crop_"))]
    status = layer.get_status(np.argwhere(layer.data == 1)[0])
    assert "crop_x0" not in status["coordinates"]
    assert "area: 64" in status["coordinates"]
    saved = read_layer(*layer.as_layer_data_tuple()[:2]).table
    pd.testing.assert_frame_equal(
        saved[segmentation.table.columns], segmentation.table, check_dtype=False
    )


def test_no_object_has_a_colour_near_gray():
    red_green_blue = palette()[:, :3]
    assert np.ptp(red_green_blue, axis=1).min() > 0.25
    assert red_green_blue.max(axis=1).min() > 0.5
    np.testing.assert_allclose(red_green_blue * 255, overlay.palette(), atol=1e-3)


def test_a_layer_says_how_it_was_made(viewer, source):
    layers, segmentation = ResultLayers(viewer), result(source)
    show(layers, source, segmentation)
    about = json.loads(json.dumps(viewer.layers["cells [raw]"].metadata["napari-graysam"]))
    assert (about["arm"], about["source_layer"], about["plane"]) == ("raw", "cells", "")
    assert Recipe.from_dict(about["recipe"]) == segmentation.recipe
    assert about["provenance"]["model"]["sha256"] == "0" * 64


def test_painting_changes_the_layer_and_not_the_result(viewer, source):
    layers, segmentation = ResultLayers(viewer), result(source)
    show(layers, source, segmentation)
    layers.layer("raw").data[:] = 9
    assert segmentation.labels.max() == 3


def test_a_second_run_updates_its_layer_or_adds_one_as_chosen(viewer, source):
    layers = ResultLayers(viewer)
    show(layers, source, result(source))
    show(layers, source, result(source, 0.95))
    assert viewer.layers["cells [raw]"].data.max() == 1
    assert len(viewer.layers) == 2
    show(layers, source, result(source, 0.7), new=True)
    assert [layer.name for layer in viewer.layers][1:] == ["cells [raw]", "cells [raw] 2"]
    assert [layer.data.max() for layer in viewer.layers[1:]] == [1, 2]
    assert layers.layer("raw").name == "cells [raw] 2"


def test_a_panel_that_is_opened_again_updates_what_the_first_one_made(viewer, source):
    show(ResultLayers(viewer), source, result(source))
    again = ResultLayers(viewer)
    assert show(again, source, result(source, 0.95)) == ""
    assert [layer.name for layer in viewer.layers] == ["cells", "cells [raw]"]
    assert viewer.layers["cells [raw]"].data.max() == 1
    show(again, source, result(source), arm="preprocessed")
    assert len(viewer.layers) == 3


@pytest.mark.parametrize("edit", ["paint", "overwrite"])
def test_a_panel_that_is_opened_again_leaves_edited_layers_alone(viewer, source, edit):
    show(ResultLayers(viewer), source, result(source))
    edited = viewer.layers["cells [raw]"]
    {"paint": paint, "overwrite": overwrite}[edit](edited)
    before = edited.data.copy()
    assert "was edited and stays" in show(ResultLayers(viewer), source, result(source, 0.95))
    np.testing.assert_array_equal(edited.data, before)
    assert viewer.layers["cells [raw] 2"].data.max() == 1
    # The next panel goes on with the layer that nobody has edited.
    assert show(ResultLayers(viewer), source, result(source, 0.7)) == ""
    assert viewer.layers["cells [raw] 2"].data.max() == 2


def test_a_layer_of_unknown_history_is_left_alone(viewer, source):
    made = result(source)
    show(ResultLayers(viewer), source, made)
    ours = viewer.layers["cells [raw]"]
    opened = viewer.add_labels(ours.data.copy(), name="from a file", metadata=ours.metadata)
    viewer.layers.remove(ours)
    show(ResultLayers(viewer), source, result(source, 0.95))
    np.testing.assert_array_equal(opened.data, made.labels)
    assert viewer.layers["cells [raw]"].data.max() == 1


def test_a_layer_that_was_removed_is_let_go_of(viewer, source):
    layers = ResultLayers(viewer)
    show(layers, source, result(source))
    layer = weakref.ref(layers._entries[source.subject, "raw"])
    viewer.layers.clear()
    del layers
    gc.collect()
    assert layer() is None


def test_a_new_layer_can_be_painted_in_at_once(viewer, source):
    layers = ResultLayers(viewer)
    show(layers, source, result(source))
    layer = viewer.layers["cells [raw]"]
    assert layer.visible
    layer.mode = "polygon"
    layer.mode = "paint"
    paint(layer)
    assert layer.data[30, 30] == 7


def paint(layer):
    layer.selected_label = 7
    layer.paint((30, 30), 7)


def paint_and_undo(layer):
    paint(layer)
    layer.undo()


def overwrite(layer):
    layer.data[0, 0] = 5


@pytest.mark.parametrize("edit", [paint, paint_and_undo, overwrite])
@pytest.mark.parametrize("again", ["run", "retune"])
def test_an_edited_layer_is_never_overwritten(viewer, source, edit, again):
    layers = ResultLayers(viewer)
    show(layers, source, result(source))
    edited = viewer.layers["cells [raw]"]
    edit(edited)
    before = edited.data.copy()
    after = result(source, 0.95)
    if again == "run":
        message = show(layers, source, after)
    else:
        colors = object_colors({"raw": after})["raw"]
        message = finished(layers, layers.update("raw", after, colors))
    assert "“cells [raw]” was edited and stays" in message
    np.testing.assert_array_equal(edited.data, before)
    edited.redo() if edit is paint_and_undo else edited.undo()
    assert viewer.layers["cells [raw] 2"].data.max() == 1
    # From now on the new layer is the arm's own.
    assert show(layers, source, result(source)) == ""
    assert len(viewer.layers) == 3


def test_a_removed_layer_comes_back_with_the_next_result(viewer, source):
    layers = ResultLayers(viewer)
    show(layers, source, result(source))
    viewer.layers.remove(viewer.layers["cells [raw]"])
    assert layers.layer("raw") is None
    again = result(source, 0.95)
    assert finished(layers, layers.update("raw", again, object_colors({"raw": again})["raw"])) == ""
    assert viewer.layers["cells [raw]"].data.max() == 1


def test_a_stale_table_is_never_shown(viewer, source):
    layers, first, second = ResultLayers(viewer), result(source), result(source, 0.95)
    assert len(first.table) == 3
    show(layers, source, first)
    layers.update("raw", second, object_colors({"raw": second})["raw"])
    assert len(layers.layer("raw").features) == 0
    layers.set_table("raw", first)
    assert len(layers.layer("raw").features) == 0
    layers.set_table("raw", second)
    assert list(layers.layer("raw").features["index"]) == [1]


def test_a_plane_of_a_stack_has_its_own_layer_at_its_own_place(viewer):
    image = viewer.add_image(
        np.stack([stub_run.squares(1), stub_run.squares(1, 1)]), name="deep", scale=(4, 1, 1)
    )
    layers = ResultLayers(viewer)
    for plane in (0, 1):
        viewer.dims.set_point(0, 4 * plane)
        source = read_source(viewer, image, ImageOptions())
        show(layers, source, result(source))
    layer = viewer.layers["deep z 1 [raw]"]
    assert layer.data.shape == (1, 64, 64)
    assert layer.get_value((4, 8, 20), world=True) == 2
    assert layer.extent.world[0][0] == layer.extent.world[1][0] == 4
    assert viewer.layers["deep z 0 [raw]"].data.max() == 1


def color(layer, label):
    return tuple(np.round(layer.get_color(label), 3))


def test_matched_objects_have_one_colour_in_both_arms(viewer, source):
    layers = ResultLayers(viewer)
    # The preprocessed arm misses the first object, so that labels differ between the arms.
    raw, other = result(source, 0.2), result(source, 0.2, "preprocessed")
    keep = other.masks[1:]
    labels = np.where(other.labels > 1, other.labels - 1, 0).astype(np.uint32)
    other = type(other)(**{**vars(other), "masks": keep, "labels": labels})
    colors = object_colors({"raw": raw, "preprocessed": other})
    layers.show("raw", raw, source, colors["raw"], new=False)
    layers.show("preprocessed", other, source, colors["preprocessed"], new=False)
    finished(layers)
    one, two = viewer.layers["cells [raw]"], viewer.layers["cells [preprocessed]"]
    for label in (2, 3, 4):
        assert color(one, label) == color(two, label - 1)
    assert len({color(one, label) for label in (1, 2, 3, 4)}) == 4
    assert color(one, 1)[3] == 1


def test_an_object_keeps_its_colour_while_others_come_and_go(source):
    all_of_them, some = result(source, 0.2), result(source, 0.5)
    boxes = {mask.box: at for at, mask in enumerate(all_of_them.masks)}
    before = object_colors({"raw": all_of_them})["raw"]
    after = object_colors({"raw": some})["raw"]
    assert [before[boxes[mask.box]] for mask in some.masks] == list(after)


def test_a_match_gives_its_colour_even_where_shapes_differ(source):
    raw = result(source, 0.2)
    shifted = np.roll(raw.labels, 1, axis=1)
    masks = tuple(
        mask.replace(box=(mask.box[0] + 1, mask.box[1], mask.box[2] + 1, mask.box[3]))
        for mask in raw.masks
    )
    other = type(raw)(**{**vars(raw), "masks": masks, "labels": shifted})
    colors = object_colors({"raw": raw, "preprocessed": other})
    np.testing.assert_array_equal(colors["raw"], colors["preprocessed"])
    assert list(object_colors({"preprocessed": other})["preprocessed"]) != list(colors["raw"])


def test_a_colormap_of_many_labels_follows_the_positions():
    positions = np.arange(3000) % 7
    colors = colormap(positions).map(np.arange(1, 3001))
    for place in range(7):
        assert len(np.unique(colors[positions == place], axis=0)) == 1
    assert len(np.unique(colors, axis=0)) == 7
    assert not colormap(positions).map(np.array([0])).any()
    assert colormap(np.empty(0, int)).map(np.array([1]))[0, 3] == 1


def test_one_arm_at_a_time_is_visible(viewer, source):
    layers = ResultLayers(viewer)
    assert layers.toggle() is None
    show(layers, source, result(source))
    show(layers, source, result(source, arm="preprocessed"), "preprocessed")
    raw, other = viewer.layers["cells [raw]"], viewer.layers["cells [preprocessed]"]
    assert (raw.visible, other.visible) == (False, True)
    assert layers.toggle() == "raw"
    assert (raw.visible, other.visible) == (True, False)


def test_what_is_drawn_follows_an_update(viewer, source):
    layers = ResultLayers(viewer)
    show(layers, source, result(source))
    layer = layers.layer("raw")
    before = np.count_nonzero(layer.thumbnail[..., :3].any(axis=2))
    update = result(source, 0.95)
    assert 0 < update.labels.max() < layer.data.max()
    layers.update("raw", update, object_colors({"raw": update})["raw"])
    finished(layers)
    assert 0 < np.count_nonzero(layer.thumbnail[..., :3].any(axis=2)) < before
