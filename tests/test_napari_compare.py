"""The dock that compares two Labels layers."""

import gc
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fake_results import result, square
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.compare import CompareDock
from napari_graysam._napari.compare import dock as dock_module
from napari_graysam._napari.compare.pairing import arm_of, pair_among, problem_with
from napari_graysam._napari.results.colors import object_colors
from napari_graysam._napari.results.layers import ResultLayers
from napari_graysam.comparison import ARMS, CHANGES, CODES, COLORS
from napari_graysam.errors import OutputError
from napari_graysam.recipe import ImageOptions

SHAPE = (40, 60)
PLACE = {"scale": (2, 2), "translate": (10, 20), "units": ("um", "um")}
KEPT, LOST, SPLIT, CHANGED, GAINED = (10, 10), (10, 30), (30, 15), (30, 37), (10, 50)
"""A pixel inside each object: row and column."""


def planes():
    """Two label images in which one object each is kept, changed, gained, lost and split."""
    raw, preprocessed = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    raw[5:15, 5:15], raw[5:15, 25:35], raw[25:35, 5:25], raw[25:35, 35:45] = 1, 2, 3, 4
    preprocessed[5:15, 5:15], preprocessed[5:15, 45:55] = 11, 12
    preprocessed[25:35, 5:15], preprocessed[25:35, 15:25] = 13, 14
    preprocessed[25:35, 35:41] = 15
    return raw, preprocessed


def scores(labels):
    ids = np.unique(labels)[1:]
    return pd.DataFrame({"index": ids, "predicted_iou": 0.5 + ids / 100, "stability_score": 0.9})


def add(viewer, arm, data, name="cells", **options):
    metadata = {"napari-graysam": {"arm": arm, "source_layer": name}}
    place = {**PLACE, **options}
    return viewer.add_labels(
        data, name=f"{name} [{arm}]", features=scores(data), metadata=metadata, **place
    )


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy(show=True)
    raw, preprocessed = planes()
    viewer.add_image(np.arange(raw.size).reshape(SHAPE), name="cells", **PLACE)
    add(viewer, "raw", raw)
    add(viewer, "preprocessed", preprocessed)
    return viewer


@pytest.fixture
def opened(viewer, qtbot, monkeypatch):
    """Open the dock, and wait until it shows a comparison."""
    monkeypatch.setattr(dock_module, "_SETTLE", 20)
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, name="Compare masks", area="right")
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    yield dock
    viewer.window.remove_dock_widget(dock)


def click(viewer, pixel, **fields):
    """Press and release the mouse over a pixel of the labels."""
    world = tuple(10 * (1 + place) + 2 * at for place, at in enumerate(pixel))
    event = {"pos": (5, 5), "button": 1, "modifiers": (), "type": "mouse_press", "viewbox": (0, 0)}
    event = SimpleNamespace(**{**event, "position": world, **fields})
    callback = viewer.mouse_drag_callbacks[-1]
    steps = callback(viewer, event)
    next(steps)
    event.type = "mouse_release"
    assert next(steps, None) is None


def row_of(dock):
    row = dock.view.table.selected
    return None if row is None else tuple(row.labels[arm] for arm in ARMS)


def shown(dock):
    model = dock.view.table.events
    rows = [model.row(at) for at in range(model.rowCount())]
    return [tuple(row.labels[arm] for arm in ARMS) for row in rows]


def test_the_two_arms_are_chosen_and_counted(opened):
    assert {arm: layer.name for arm, layer in opened.chosen.layers.items()} == {
        "raw": "cells [raw]",
        "preprocessed": "cells [preprocessed]",
    }
    texts = {change: button.text() for change, button in opened.view.counts.buttons.items()}
    counted = {"kept": 1, "changed": 1, "gained": 1, "lost": 1, "split": 1, "merged": 0}
    assert texts == {change: f"{change}: {number}" for change, number in counted.items()}
    assert len(shown(opened)) == 5


def test_selecting_a_row_selects_both_labels_and_moves_the_camera(opened, viewer):
    table = opened.view.table
    camera = viewer.scene.camera
    camera.center, camera.zoom = (0, 500, 500), 0.1
    table.selectRow(table.events.find("raw", 4))
    assert viewer.layers["cells [raw]"].selected_label == 4
    assert viewer.layers["cells [preprocessed]"].selected_label == 15
    # Both objects together: rows 25 to 35 and columns 35 to 45, scaled by 2 and moved.
    assert camera.center[-2:] == pytest.approx((10 + 2 * 29.5, 20 + 2 * 39.5))
    room = min(viewer.canvas.viewbox_size(viewer.layers))
    assert 0.2 < 24 * 2 * camera.zoom / room < 0.9
    table.selectRow(table.events.find("preprocessed", 12))
    assert viewer.layers["cells [preprocessed]"].selected_label == 12
    assert viewer.layers["cells [raw]"].selected_label == 0


def test_clicking_an_object_selects_its_row_and_leaves_the_camera(opened, viewer):
    before = tuple(viewer.scene.camera.center), viewer.scene.camera.zoom
    viewer.layers.selection.active = viewer.layers["cells [raw]"]
    click(viewer, KEPT)
    assert row_of(opened) == ((1,), (11,))
    assert viewer.layers["cells [preprocessed]"].selected_label == 11
    viewer.layers.selection.active = viewer.layers["cells [preprocessed]"]
    click(viewer, KEPT)
    assert row_of(opened) == ((1,), (11,))
    click(viewer, LOST)
    assert row_of(opened) == ((2,), ())
    assert (tuple(viewer.scene.camera.center), viewer.scene.camera.zoom) == before


def test_dragging_and_painting_select_nothing(opened, viewer):
    event = SimpleNamespace(
        pos=(5, 5), button=1, modifiers=(), type="mouse_press", position=(30, 40), viewbox=(0, 0)
    )
    callback = viewer.mouse_drag_callbacks[-1]
    steps = callback(viewer, event)
    next(steps)
    event.type, event.pos = "mouse_move", (50, 5)
    next(steps)
    event.type = "mouse_release"
    next(steps, None)
    assert row_of(opened) is None
    layer = viewer.layers["cells [raw]"]
    viewer.layers.selection.active = layer
    layer.mode = "paint"
    click(viewer, KEPT)
    assert row_of(opened) is None


def test_a_label_selected_in_a_layer_selects_its_row(opened, viewer):
    viewer.layers["cells [preprocessed]"].selected_label = 14
    assert row_of(opened) == ((3,), (13, 14))
    assert viewer.layers["cells [raw]"].selected_label == 3
    assert viewer.layers["cells [preprocessed]"].selected_label == 14


def test_a_dock_out_of_sight_follows_no_clicks(opened, viewer):
    opened.hide()
    click(viewer, KEPT)
    viewer.layers["cells [raw]"].selected_label = 3
    assert row_of(opened) is None


def test_the_difference_layer_lies_on_the_labels_in_the_colours_of_the_counts(opened, viewer):
    opened.view.add_difference.click()
    layer = viewer.layers["cells [difference]"]
    assert layer.data.dtype == np.uint8
    found = [CHANGES[layer.data[at] - 1] for at in (KEPT, LOST, SPLIT, CHANGED, GAINED)]
    assert found == ["kept", "lost", "split", "changed", "gained"]
    raw = viewer.layers["cells [raw]"]
    for name in ("scale", "translate", "rotate", "shear"):
        assert np.array_equal(getattr(layer, name), getattr(raw, name))
    assert layer.units == raw.units
    for change, code in CODES.items():
        color = "#" + "".join(f"{round(255 * part):02x}" for part in layer.get_color(code)[:3])
        assert color.upper() == COLORS[change].upper()
    assert layer.metadata["napari-graysam"]["counts"]["split"] == 1
    assert not layer.editable


def test_clicking_the_difference_finds_the_object_of_that_colour(opened, viewer):
    opened.show_difference()
    viewer.layers.selection.active = viewer.layers["cells [difference]"]
    click(viewer, GAINED)
    assert row_of(opened) == ((), (12,))
    click(viewer, SPLIT)
    assert row_of(opened) == ((3,), (13, 14))
    click(viewer, (1, 1))
    assert row_of(opened) == ((3,), (13, 14))


def test_editing_a_layer_compares_again_and_updates_the_difference(opened, viewer, qtbot):
    opened.show_difference()
    layer = viewer.layers["cells [raw]"]
    kept = opened.outcome
    layer.fill(LOST, 0)
    qtbot.waitUntil(lambda: opened.outcome is not kept, timeout=10000)
    assert opened.outcome.comparison.counts["lost"] == 0
    assert viewer.layers["cells [difference]"].data[LOST] == 0
    edited = opened.outcome
    layer.undo()
    qtbot.waitUntil(lambda: opened.outcome is not edited, timeout=10000)
    assert opened.outcome.comparison.counts["lost"] == 1
    assert [one.name for one in viewer.layers].count("cells [difference]") == 1


def test_thresholds_come_from_the_rules_and_count(opened, qtbot):
    fields = opened.view.rules.fields
    assert list(fields) == ["kept_iou", "match_iou", "part_inside", "part_share", "covered"]
    before = opened.outcome
    fields["kept_iou"].spin.value = 0.55
    qtbot.waitUntil(lambda: opened.outcome not in (None, before), timeout=10000)
    assert opened.outcome.comparison.counts["changed"] == 0
    assert opened.outcome.comparison.counts["kept"] == 2


def test_pressing_a_count_lists_only_its_objects(opened):
    opened.view.counts.buttons["split"].click()
    assert shown(opened) == [((3,), (13, 14))]
    opened.view.counts.buttons["lost"].click()
    assert len(shown(opened)) == 2
    opened.view.counts.buttons["split"].click()
    assert shown(opened) == [((2,), ())]


def test_sorting_keeps_the_selected_object(opened):
    table = opened.view.table
    table.selectRow(table.events.find("preprocessed", 12))
    table.sortByColumn(1, table.model().sort.__defaults__[0])
    assert [raw for raw, _ in shown(opened)] == [(), (1,), (2,), (3,), (4,)]
    assert row_of(opened) == ((), (12,))


def test_next_and_previous_visit_every_change_once(opened):
    visited = []
    for _ in range(4):
        opened.view.table.step(1)
        visited.append(opened.view.table.selected.change)
    assert sorted(visited) == ["changed", "gained", "lost", "split"]
    last = row_of(opened)
    opened.view.table.step(1)
    assert opened.view.table.selected.change == visited[0]
    opened.view.table.step(-1)
    assert row_of(opened) == last


def test_a_change_is_a_row_whose_partners_and_differences_are_in_sight(opened, viewer):
    model, table = opened.view.table.events, opened.view.table
    row = model.find("preprocessed", 14)
    cells = [model.data(model.index(row, column)) for column in range(model.columnCount())]
    assert cells[:5] == ["split", "3", "13 14", "1.00", "+0"]
    assert [model.headerData(at, Qt.Orientation.Horizontal) for at in (1, 2, 7)] == [
        "Raw",
        "Prep.",
        "Raw µm²",
    ]
    opened.resize(360, 600)
    QApplication.processEvents()
    seen = sum(table.columnWidth(column) for column in range(6))
    assert seen <= 340


def seen_areas(dock, label):
    """Return the areas that a row shows, by their headers."""
    table, model = dock.view.table, dock.view.table.events
    row, places = model.find("raw", label), range(model.columnCount())
    shown = {
        model.headerData(at, Qt.Orientation.Horizontal): model.data(model.index(row, at))
        for at in places
        if not table.isColumnHidden(at)
    }
    return {name: text for name, text in shown.items() if name.endswith("²")}


def test_areas_are_shown_in_physical_units_and_pixels(opened, viewer, qtbot, tmp_path):
    physical = {"Δ µm²": "−160", "Raw µm²": "400", "Prep. µm²": "240"}
    pixels = {"Δ px²": "−40", "Raw px²": "100", "Prep. px²": "60"}
    assert seen_areas(opened, 4) == {**physical, **pixels}
    opened.export(tmp_path / "out.csv", "csv")
    row = pd.read_csv(tmp_path / "out.csv").set_index(["arm", "index"]).loc[("raw", 4)]
    assert row[["area", "area_um2", "delta_area_um2"]].tolist() == [100, 400, -160]
    assert row["delta_area"] == -40
    opened.view.tabs.setCurrentIndex(1)
    qtbot.waitUntil(lambda: opened.view.plots.canvas is not None)
    axis = opened.view.plots.canvas.figure.axes[0]
    assert axis.get_xlabel() == "Object area (µm²)"
    before = opened.outcome
    for layer in viewer.layers:
        layer.scale, layer.units = (0.5, 0.5), ("nm", "nm")
    qtbot.waitUntil(lambda: opened.outcome is not before, timeout=20000)
    assert seen_areas(opened, 4)["Raw µm²"] == "2.5e−05"
    before = opened.outcome
    for layer in viewer.layers:
        layer.scale, layer.units = (1, 1), ("pixel", "pixel")
    qtbot.waitUntil(lambda: opened.outcome is not before, timeout=20000)
    assert seen_areas(opened, 4) == pixels
    assert axis.get_xlabel() == "Object area (px²)"
    opened.export(tmp_path / "out.csv", "csv")
    assert "area_um2" not in pd.read_csv(tmp_path / "out.csv")


def test_going_to_a_change_outlines_it_and_turns_its_layer_on(opened, viewer):
    raw, preprocessed = (viewer.layers[f"cells [{arm}]"] for arm in ARMS)
    active = viewer.layers.selection.active
    raw.visible = False
    table = opened.view.table
    table.selectRow(table.events.find("raw", 2))
    outline = viewer.layers["change"]
    assert raw.visible
    assert outline.contour == 1
    assert viewer.layers.selection.active == active
    inside = outline.data_to_world(np.argwhere(outline.data)[[0, -1]][0])
    np.testing.assert_allclose(raw.world_to_data(inside), (5, 25))
    assert np.count_nonzero(outline.data) == 100
    preprocessed.visible = False
    table.selectRow(table.events.find("raw", 3))
    assert not preprocessed.visible, "one layer that holds the objects is enough"
    assert len(np.unique(outline.data)) == 1 + 2
    assert outline in viewer.layers
    opened.view.choices["raw"].layer = None
    assert outline not in viewer.layers


def test_only_the_selected_object_is_shown_on_request(opened, viewer):
    opened.view.alone.click()
    assert viewer.layers["cells [raw]"].show_selected_label
    opened.view.alone.click()
    assert not viewer.layers["cells [raw]"].show_selected_label


def test_side_by_side_and_back(opened, viewer):
    viewer.layers["cells [raw]"].visible = False
    viewer.add_points([[0, 0]], name="points")
    before = [(layer.name, layer.visible) for layer in viewer.layers]
    grid = viewer.canvas.grid
    settings = (grid.enabled, grid.stride, grid.shape, grid.spacing)
    opened.view.side_by_side.click()
    cells = [
        [viewer.layers[index].name for index in indices]
        for _, indices in grid.iter_viewboxes(viewer.layers)
    ]
    assert cells == [
        ["cells", "cells [raw]"],
        ["cells (cell 2)", "cells [preprocessed]"],
    ]
    viewer.layers["cells"].contrast_limits = (3, 50)
    assert viewer.layers["cells (cell 2)"].contrast_limits == [3, 50]
    click(viewer, KEPT, viewbox=(0, 1))
    assert row_of(opened) == ((1,), (11,))
    click(viewer, KEPT, viewbox=(0, 0))
    assert row_of(opened) == ((1,), (11,))
    opened.view.side_by_side.click()
    assert [(layer.name, layer.visible) for layer in viewer.layers] == before
    assert (grid.enabled, grid.stride, grid.shape, grid.spacing) == settings


def test_a_ground_truth_scores_both_layers(opened, viewer, qtbot):
    truth = viewer.add_labels(planes()[0], name="truth", **PLACE)
    opened.view.truth.layer = truth
    qtbot.waitUntil(lambda: bool(opened.outcome and opened.outcome.scores), timeout=10000)
    table = opened.view.scores.table
    cells = [[table.item(row, at).text() for at in range(4)] for row in range(table.rowCount())]
    by_name = {name: values for name, *values in cells}
    assert by_name["AP at IoU 0.50"] == ["1.000", "0.500", "−0.500"]
    assert by_name["True objects"] == ["4", "4", "0"]
    assert {"F1 at IoU 0.5", "Panoptic quality", "Mean matched IoU"} <= set(by_name)


def test_the_ground_truth_of_a_sample_is_found(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    raw, preprocessed = planes()
    about = {"napari-graysam": {"ground_truth": True}}
    viewer.add_labels(raw, name="truth", metadata=about)
    add(viewer, "raw", raw, scale=(1, 1), translate=(0, 0), units=None)
    add(viewer, "preprocessed", preprocessed, scale=(1, 1), translate=(0, 0), units=None)
    dock = CompareDock(viewer)
    assert dock.chosen.truth.name == "truth"
    dock.deleteLater()


def test_plots_are_drawn_when_looked_at_in_the_theme_s_colours(opened, viewer):
    from napari.utils.theme import get_theme

    assert opened.view.plots.canvas is None
    opened.view.tabs.setCurrentWidget(opened.view.plots)
    figure = opened.view.plots.canvas.figure
    assert [axis.get_legend() is not None for axis in figure.axes] == [True, True, False]
    assert [len(axis.collections) for axis in figure.axes][2] == 2
    for theme in ("light", "dark"):
        viewer.theme = theme
        colors = get_theme(theme)
        text = tuple(part / 255 for part in colors.text.as_rgb_tuple())
        drawn = matplotlib_rgb(figure.axes[0].xaxis.label.get_color())
        assert drawn == pytest.approx(text)


def matplotlib_rgb(color):
    from matplotlib.colors import to_rgb

    return to_rgb(color)


def test_export_writes_what_is_shown(opened, tmp_path):
    for kind in ("csv", "json", "png"):
        opened.export(tmp_path / f"out.{kind}", kind)
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["change"].value_counts().to_dict() == {
        "split": 3,
        "kept": 2,
        "changed": 2,
        "lost": 1,
        "gained": 1,
    }
    assert table.loc[0, "predicted_iou"] == pytest.approx(0.51)
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["counts"]["split"] == 1
    assert content["layers"] == {"raw": "cells [raw]", "preprocessed": "cells [preprocessed]"}
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.json", "out.png"]


def test_an_export_that_fails_says_why(opened, tmp_path, monkeypatch):
    target = tmp_path / "file"
    target.write_text("here")
    with pytest.raises(OutputError):
        opened.export(target / "out.csv", "csv")
    monkeypatch.setattr(
        dock_module.QFileDialog, "getSaveFileName", lambda *_: (str(target / "out"), "")
    )
    opened.view.exports["csv"].trigger()
    assert "out.csv" in opened.view.message.text
    assert target.read_text() == "here"


def test_the_dialog_s_file_gets_its_suffix(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(
        dock_module.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "out"), "")
    )
    opened.view.exports["json"].trigger()
    assert (tmp_path / "out.json").is_file()


def test_a_file_that_the_dialog_did_not_ask_about_stays(opened, tmp_path, monkeypatch):
    (tmp_path / "out.json").write_text("mine")
    monkeypatch.setattr(
        dock_module.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "out"), "")
    )
    opened.view.exports["json"].trigger()
    assert "out.json is there already" in opened.view.message.text
    assert (tmp_path / "out.json").read_text() == "mine"


def test_a_difference_in_memory_stays_when_the_dock_is_closed(opened, viewer, qtbot):
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, name="Another", area="right")
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    dock.show_difference()
    viewer.window.remove_dock_widget(dock)
    assert viewer.layers["cells [difference]"].visible


def test_a_removed_layer_clears_the_comparison_and_says_so(opened, viewer, qtbot):
    opened.view.side_by_side.click()
    viewer.layers.remove("cells [raw]")
    qtbot.waitUntil(lambda: opened.view.message.text != "", timeout=5000)
    assert "“cells [raw]” left the viewer" in opened.view.message.text
    assert opened.outcome is None
    assert shown(opened) == []
    assert not opened.view.export.isEnabled()
    assert not viewer.canvas.grid.enabled
    assert "cells (cell 2)" not in viewer.layers


def test_arms_that_come_later_are_chosen(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    qtbot.waitUntil(lambda: "Choose two Labels layers" in dock.view.message.text, timeout=5000)
    raw, preprocessed = planes()
    add(viewer, "raw", raw)
    add(viewer, "preprocessed", preprocessed)
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    assert dock.view.message.text == ""
    viewer.window.remove_dock_widget(dock)


def test_the_next_pair_is_followed_after_all_layers_were_cleared(opened, viewer, qtbot):
    opened.view.choices["raw"].activated.emit(1)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: opened.outcome is None, timeout=5000)
    for arm, data in zip(ARMS, planes(), strict=True):
        add(viewer, arm, data, name="again")
    qtbot.waitUntil(lambda: opened.outcome is not None, timeout=20000)
    assert opened.chosen.layers["raw"].name == "again [raw]"
    assert opened.view.message.text == ""


def test_choosing_a_ground_truth_does_not_end_following(opened, viewer, qtbot):
    truth = viewer.add_labels(planes()[0], name="truth", **PLACE)
    opened.view.truth.layer = truth
    opened.view.truth.activated.emit(1)
    for arm, data in zip(ARMS, planes(), strict=True):
        add(viewer, arm, data, name="newer")
    assert [one.name for one in opened.chosen.layers.values()] == [
        "newer [raw]",
        "newer [preprocessed]",
    ]
    assert opened.chosen.truth.name == "truth"


def test_layers_chosen_by_hand_stay_when_newer_ones_come(opened, viewer):
    opened.view.choices["raw"].activated.emit(1)
    for arm, data in zip(ARMS, planes(), strict=True):
        add(viewer, arm, data, name="newer")
    assert opened.chosen.layers["raw"].name == "cells [raw]"


def test_a_closed_dock_lets_the_viewer_go(viewer):
    before = list(viewer.mouse_drag_callbacks)
    layer = viewer.layers["cells [raw]"]
    listening = len(layer.events.paint.callbacks)
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    assert len(viewer.mouse_drag_callbacks) == len(before) + 1
    assert len(layer.events.paint.callbacks) == listening + 1
    viewer.window.remove_dock_widget(dock)
    assert viewer.mouse_drag_callbacks == before
    assert len(layer.events.paint.callbacks) == listening
    viewer.layers.remove("cells [raw]")
    assert len(dock.chosen.layers) == 2


def labels(data, **options):
    from napari.layers import Labels

    return Labels(data, **options)


def test_layers_that_do_not_fit_are_named():
    raw, _ = planes()
    first = labels(raw, name="one")
    for other, said in [
        (labels(raw[:20], name="other"), ["40 × 60", "20 × 60"]),
        (labels(raw, name="other", scale=(2, 2)), ["scale 1 × 1", "2 × 2"]),
        (labels(raw, name="other", translate=(3, 0)), ["at (3, 0)"]),
        (labels(np.stack([raw, raw]), name="other"), ["(2, 40, 60)"]),
    ]:
        for pair in [(first, other, None), (first, labels(raw, name="second"), other)]:
            message = problem_with(*pair)
            assert "“other”" in message
            assert all(part in message for part in said)
    assert "“one”" in problem_with(first, first, None)
    assert problem_with(first, labels(raw, name="{other}"), None) == ""


def test_equal_grids_in_other_units_fit_and_others_are_refused_with_their_units():
    raw, _ = planes()
    first = labels(raw, name="one", scale=(250, 250), translate=(0, 500), units=("nm", "nm"))
    same = {"scale": (0.25, 0.25), "translate": (0, 0.5), "units": ("um", "um")}
    assert problem_with(first, labels(raw, name="other", **same), None) == ""
    thousandfold = labels(raw, name="other", **{**same, "units": ("mm", "mm")})
    for pair in [(first, thousandfold, None), (first, labels(raw, **same), thousandfold)]:
        message = problem_with(*pair)
        assert "250 × 250 nm at (0, 500)" in message
        assert "“other” has 0.25 × 0.25 mm at (0, 0.5)" in message
        assert "same scale, units and position" in message
    turned = labels(raw, name="other", rotate=30)
    assert "rotation" in problem_with(labels(raw, name="one"), turned, None)


def test_clicks_and_rows_find_objects_of_layers_in_other_units(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    raw, preprocessed = planes()
    add(viewer, "raw", raw, scale=(0.002, 0.002), translate=(0.01, 0.02), units=("mm", "mm"))
    add(viewer, "preprocessed", preprocessed)
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    viewer.layers.selection.active = viewer.layers["cells [raw]"]
    click(viewer, LOST)
    assert row_of(dock) == ((2,), ())
    dock.view.table.selectRow(dock.view.table.events.find("raw", 4))
    middle = viewer.scene.camera.center[-2:]
    assert middle == pytest.approx((10 + 2 * 29.5, 20 + 2 * 39.5))
    viewer.window.remove_dock_widget(dock)


@pytest.fixture
def nested(make_napari_viewer_proxy, qtbot):
    """A dock, and both arms' layers and results, of which two masks are covered by a larger one."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(np.zeros(SHAPE), name="cells", **PLACE)
    source = read_source(viewer, viewer.layers["cells"], ImageOptions())
    large = square(4, 4, 20, predicted_iou=0.9)
    small = [square(6, x, 4, predicted_iou=0.5) for x in (6, 14)]
    results = {"raw": result((large, *small)), "preprocessed": result((large, small[0]))}
    shown, colors = ResultLayers(viewer), object_colors(results)
    for arm in ARMS:
        assert set(np.unique(results[arm].labels)) == {0, 1}
        shown.show(arm, results[arm], source, colors[arm], new=False)
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    yield dock, {arm: shown.layer(arm) for arm in ARMS}, results
    viewer.window.remove_dock_widget(dock)


def counted(dock):
    return {change: n for change, n in dock.outcome.comparison.counts.items() if n}


def test_covered_masks_of_results_count(nested, tmp_path):
    dock, _, _ = nested
    assert counted(dock) == {"kept": 2, "lost": 1}
    assert "whole masks" in dock.view.basis.text()
    objects = dock.outcome.comparison.objects
    assert objects.loc[objects["index"] == 3, "area"].tolist() == [16]
    dock.view.table.selectRow(dock.view.table.events.find("raw", 3))
    assert "cover raw 3" in dock.view.status.text()
    dock.view.table.selectRow(dock.view.table.events.find("raw", 1))
    assert "cover" not in dock.view.status.text()
    dock.export(tmp_path / "c.json", "json")
    assert json.loads((tmp_path / "c.json").read_text())["compared"] == "masks"


def test_an_edited_or_forgotten_result_is_compared_as_the_layer_shows_it(nested, qtbot):
    dock, layers, results = nested
    layers["preprocessed"].paint((30, 50), 7)
    qtbot.waitUntil(lambda: "label images" in dock.view.basis.text(), timeout=10000)
    assert counted(dock) == {"kept": 1, "gained": 1}
    layers["preprocessed"].undo()
    qtbot.waitUntil(lambda: "whole masks" in dock.view.basis.text(), timeout=10000)
    assert counted(dock) == {"kept": 2, "lost": 1}
    results.clear()
    gc.collect()
    dock.refresh()
    qtbot.waitUntil(lambda: "label images" in dock.view.basis.text(), timeout=10000)
    assert counted(dock) == {"kept": 1}


def test_a_plane_of_a_stack_is_compared_as_a_plane(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(np.zeros((5, *SHAPE)), name="stack")
    raw, preprocessed = (data[np.newaxis] for data in planes())
    for arm, data in zip(ARMS, (raw, preprocessed), strict=True):
        viewer.add_labels(data, name=f"stack [{arm}]", translate=(3, 0, 0))
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    dock.show_difference()
    assert viewer.layers["stack [difference]"].data.shape == (1, *SHAPE)
    viewer.dims.set_point(0, 0)
    dock.view.table.step(1)
    assert viewer.dims.point[0] == 3
    viewer.window.remove_dock_widget(dock)


def test_names_alone_make_a_pair():
    raw, _ = planes()
    layers = [
        labels(raw, name="a [raw]"),
        labels(raw, name="a [preprocessed]"),
        labels(raw, name="b [raw]"),
        labels(raw, name="other"),
    ]
    assert [arm_of(layer) for layer in layers] == ["raw", "preprocessed", "raw", None]
    assert pair_among(layers) == (layers[0], layers[1])
    assert pair_among(layers[3:]) == (None, None)


def test_the_manifest_offers_the_dock():
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(Path(__file__).parents[1] / "napari.yaml")
    contributions = manifest.contributions
    (widget,) = [one for one in contributions.widgets if one.display_name == "Compare masks"]
    (command,) = [one for one in contributions.commands if one.id == widget.command]
    assert command.python_name == "napari_graysam._napari.compare:CompareDock"
    offered = [item.command for item in contributions.menus["napari/layers/measure"]]
    assert widget.command in offered
