"""The dock that compares two Labels layers, for images that need not fit into memory."""

import json
import threading

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from test_napari_compare import click, row_of, shown

from napari_graysam._napari.compare import CompareDock
from napari_graysam._napari.compare import dock as dock_module
from napari_graysam._napari.compare.whole_image import WholeOutcome
from napari_graysam.comparison import ARMS, CHANGES, CODES

SHAPE = (1200, 1600)
BLOCK = 256
MOST = 250_000
"""Pixels that may be read at once: more than a block or the canvas has, far less than all."""
PLACE = {"scale": (2, 2), "translate": (10, 20), "units": ("um", "um")}
SAMPLES = {
    "kept": (250, 270, 11, 21),
    "changed": (250, 560, 12, 22),
    "split": (600, 510, 13, 23),
    "merged": (900, 250, 14, 25),
    "lost": (800, 1000, 16, 0),
    "gained": (1100, 1500, 0, 26),
}
"""A pixel inside an object of each class, row and column, and its labels in both arms."""


class Guarded:
    """Labels on disk, so to speak: once shut, only parts of them can be read."""

    def __init__(self, labels):
        self._labels = labels
        self.shape, self.dtype = labels.shape, labels.dtype
        self.ndim, self.size = labels.ndim, labels.size
        self.reads = 0
        self.shut, self.gate = False, None

    def __getitem__(self, index):
        part = self._labels[index]
        assert not self.shut or part.size <= MOST, f"{part.shape} read at once"
        self.reads += 1
        if self.gate is not None:
            self.gate.wait(10)
        return part

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:, :], dtype)


def planes():
    """Return labels of both arms, with objects over the borders of blocks."""
    raw, preprocessed = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    raw[240:280, 240:290], preprocessed[240:280, 240:290] = 11, 21
    raw[240:280, 540:600], preprocessed[240:280, 540:580] = 12, 22
    raw[560:640, 480:560] = 13
    preprocessed[560:640, 480:520], preprocessed[560:640, 520:560] = 23, 24
    raw[880:920, 240:270], raw[880:920, 270:290], preprocessed[880:920, 240:290] = 14, 15, 25
    raw[760:840, 980:1050] = 16
    preprocessed[1080:1130, 1480:1560] = 26
    return raw, preprocessed


def levels(labels):
    return [Guarded(np.ascontiguousarray(labels[::step, ::step])) for step in (1, 2, 4, 8)]


def scores(labels):
    ids = np.unique(labels)[1:]
    return pd.DataFrame({"index": ids, "predicted_iou": 0.5 + ids / 100, "stability_score": 0.9})


def add(viewer, arm, labels, data=None, **about):
    metadata = {"napari-graysam": {"arm": arm, "source_layer": "slide", **about}}
    data = levels(labels) if data is None else data
    return viewer.add_labels(
        data, name=f"slide [{arm}]", features=scores(labels), metadata=metadata, **PLACE
    )


@pytest.fixture
def viewer(make_napari_viewer_proxy, monkeypatch):
    monkeypatch.setattr("napari_graysam.comparison.blocks.BLOCK", BLOCK)
    monkeypatch.setattr("napari_graysam.comparison.coarse.LARGEST", BLOCK)
    monkeypatch.setattr("napari_graysam._napari.compare.levels.CHUNK", BLOCK)
    monkeypatch.setattr(dock_module, "_SETTLE", 20)
    viewer = make_napari_viewer_proxy(show=True)
    image = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint32).reshape(SHAPE)
    viewer.add_image([image, image[::2, ::2], image[::8, ::8]], name="slide", **PLACE)
    return viewer


def open_dock(viewer, qtbot, *, shut=True):
    """Open the dock, when napari has drawn all of the image at 1:1, as it does at first."""
    viewer.fit_to_view()
    viewer.screenshot(flash=False)
    for layer in viewer.layers:
        if shut and layer.name != "slide":
            layer.data[0].reads, layer.data[0].shut = 0, True
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, name="Compare masks", area="right")
    return dock


@pytest.fixture
def opened(viewer, qtbot):
    for arm, labels in zip(ARMS, planes(), strict=True):
        add(viewer, arm, labels)
    dock = open_dock(viewer, qtbot)
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    yield dock
    viewer.window.remove_dock_widget(dock)


def labels_of(change):
    *_, raw, preprocessed = SAMPLES[change]
    return raw, preprocessed


def test_every_class_is_counted_and_listed(opened):
    assert isinstance(opened.outcome, WholeOutcome)
    texts = {change: button.text() for change, button in opened.view.counts.buttons.items()}
    assert texts == {change: f"{change}: 1" for change in CHANGES}
    assert set(shown(opened)) == {
        ((11,), (21,)), ((12,), (22,)), ((13,), (23, 24)), ((14, 15), (25,)), ((16,), ()),
        ((), (26,)),
    }  # fmt: skip
    assert "block by block" in opened.view.basis.text()
    opened.view.counts.buttons["split"].click()
    assert shown(opened) == [((13,), (23, 24))]


def test_the_comparison_is_that_of_layers_in_one_piece(opened, viewer, qtbot):
    whole = opened.outcome.comparison
    viewer.layers.remove("slide [raw]")
    viewer.layers.remove("slide [preprocessed]")
    for arm, labels in zip(ARMS, planes(), strict=True):
        add(viewer, arm, labels, labels)
    qtbot.waitUntil(lambda: opened.outcome is not None and opened.outcome.comparison is not whole)
    assert not isinstance(opened.outcome, WholeOutcome)
    assert opened.outcome.comparison.events == whole.events
    pd.testing.assert_frame_equal(opened.outcome.comparison.objects, whole.objects)


def test_a_row_moves_the_camera_and_outlines_the_objects(opened, viewer):
    table = opened.view.table
    table.selectRow(table.events.find("raw", 13))
    assert viewer.layers["slide [raw]"].selected_label == 13
    assert viewer.layers["slide [preprocessed]"].selected_label == 23
    assert viewer.scene.camera.center[-2:] == pytest.approx((10 + 2 * 599.5, 20 + 2 * 519.5))
    outline = opened.selected.outline.layer
    assert np.count_nonzero(outline.data) == 80 * 80
    corner = outline.data_to_world((1, 1))
    assert tuple(corner) == pytest.approx((10 + 2 * 560, 20 + 2 * 480))


def test_what_is_too_large_to_be_read_is_not_outlined(opened, viewer, monkeypatch):
    monkeypatch.setattr("napari_graysam._napari.compare.whole_image.MOST_OUTLINED", 80 * 80)
    table = opened.view.table
    table.selectRow(table.events.find("raw", 16))
    assert opened.selected.outline.layer is not None
    table.selectRow(table.events.find("raw", 13))
    assert opened.selected.outline.layer is None
    assert viewer.layers["slide [raw]"].selected_label == 13


@pytest.mark.parametrize("change", CHANGES)
def test_clicking_an_object_selects_its_row(opened, viewer, change):
    row, column, *labels = SAMPLES[change]
    click(viewer, (row, column))
    found = row_of(opened)
    for label, of_arm in zip(labels, found, strict=True):
        assert not label or label in of_arm


def test_the_difference_is_painted_where_it_is_looked_at(opened, viewer, qtbot):
    opened.view.add_difference.click()
    layer = viewer.layers["slide [difference]"]
    assert layer.multiscale
    assert [tuple(level.shape) for level in layer.data] == [
        SHAPE,
        (600, 800),
        (300, 400),
        (150, 200),
    ]
    assert tuple(layer.scale) == PLACE["scale"]
    assert tuple(layer.translate) == PLACE["translate"]
    for change, (row, column, *_) in SAMPLES.items():
        part = np.asarray(layer.data[0][row : row + 1, column : column + 1])
        assert part.tolist() == [[CODES[change]]]
        assert int(layer.data[3][row // 8, column // 8]) == CODES[change]
    assert layer.data[0].blocks.size > 20
    viewer.layers.selection.active = layer
    click(viewer, SAMPLES["gained"][:2])
    assert row_of(opened) == ((), (26,))
    before = opened.outcome
    opened.view.rules.fields["kept_iou"].spin.value = 0.55
    qtbot.waitUntil(lambda: opened.outcome is not before, timeout=20000)
    row, column, *_ = SAMPLES["changed"]
    assert int(viewer.layers["slide [difference]"].data[0][row, column]) == CODES["kept"]


def replace_on_disk(layer, labels):
    """Write other labels where a layer reads its own, as a run into the same folder does."""
    for level, step in zip(layer.data, (1, 2, 4, 8), strict=True):
        level._labels = np.ascontiguousarray(labels[::step, ::step])


def select_again(viewer, arm, labels):
    """Do to a layer what another run does: show single tiles, then what was written."""
    layer = viewer.layers[f"slide [{arm}]"]
    replace_on_disk(layer, labels)
    layer.metadata = {"napari-graysam": {"arm": arm, "source_layer": "slide", "provisional": True}}
    layer.data = levels(np.zeros(SHAPE, np.uint32))
    yield
    layer.metadata = {"napari-graysam": {"arm": arm, "source_layer": "slide"}}
    layer.features = scores(labels)
    layer.data = levels(labels)


def renumbered(labels):
    """Return the same objects under numbers that others had before."""
    numbers = np.unique(labels)
    return np.concatenate([[0], np.roll(numbers[1:], 1)])[np.searchsorted(numbers, labels)]


@pytest.mark.parametrize("sight", [True, False])
def test_labels_that_are_replaced_are_not_coloured_by_the_comparison_before(
    opened, viewer, qtbot, sight
):
    opened.show_difference()
    layer = viewer.layers["slide [difference]"]
    place = SAMPLES["lost"][:2]
    if not sight:
        opened.hide()
    run = select_again(viewer, "raw", renumbered(planes()[0]))
    next(run)
    assert int(layer.data[0][place]) != CODES["lost"]  # What would be seen.
    assert not layer.visible
    if sight:
        qtbot.waitUntil(lambda: "provisional" in opened.view.message.text, timeout=20000)
    assert not layer.visible
    next(run, None)
    opened.show()
    qtbot.waitUntil(lambda: layer.visible, timeout=20000)
    assert viewer.layers["slide [difference]"] == layer
    assert int(layer.data[0][place]) == CODES["lost"]


def test_a_difference_that_the_user_has_hidden_stays_so(opened, viewer, qtbot):
    opened.show_difference()
    layer, before = viewer.layers["slide [difference]"], opened.outcome
    layer.visible = False
    for _ in select_again(viewer, "raw", planes()[0]):
        pass
    qtbot.waitUntil(lambda: opened.outcome not in (None, before), timeout=20000)
    assert not layer.visible


def test_a_difference_stays_in_sight_while_rules_change(opened, viewer, qtbot):
    opened.show_difference()
    layer, before = viewer.layers["slide [difference]"], opened.outcome
    seen = []
    layer.events.visible.connect(lambda event: seen.append(layer.visible))
    opened.view.rules.fields["kept_iou"].spin.value = 0.55
    qtbot.waitUntil(lambda: opened.outcome is not before, timeout=20000)
    assert layer.visible
    assert seen == []


def test_a_difference_of_labels_that_are_gone_is_hidden(opened, viewer):
    opened.show_difference()
    viewer.layers.remove("slide [raw]")
    assert not viewer.layers["slide [difference]"].visible


def test_a_difference_that_reads_labels_goes_with_the_dock(viewer, qtbot):
    for arm, labels in zip(ARMS, planes(), strict=True):
        add(viewer, arm, labels)
    dock = open_dock(viewer, qtbot)
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    dock.show_difference()
    viewer.window.remove_dock_widget(dock)
    assert [layer.name for layer in viewer.layers] == [
        "slide",
        "slide [raw]",
        "slide [preprocessed]",
    ]


def test_other_rules_read_nothing_again(opened, viewer, qtbot):
    fine = viewer.layers["slide [raw]"].data[0]
    before, reads = opened.outcome, fine.reads
    opened.view.rules.fields["kept_iou"].spin.value = 0.55
    qtbot.waitUntil(lambda: opened.outcome is not before, timeout=20000)
    assert opened.outcome.comparison.counts["changed"] == 0
    assert fine.reads == reads


def test_a_ground_truth_scores_both_layers(opened, viewer, qtbot):
    _, preprocessed = planes()
    viewer.add_labels(levels(preprocessed), name="truth", **PLACE)
    opened.view.truth.setCurrentText("truth")
    qtbot.waitUntil(lambda: opened.outcome is not None and opened.outcome.scores is not None)
    scored = opened.outcome.scores
    assert scored["preprocessed"].f1 == 1
    assert (scored["raw"].n_predicted, scored["raw"].n_true) == (6, 6)
    assert scored["raw"].n_matched == 4  # Halves of an object share 0.5 of it.


def test_exports_hold_what_is_shown(opened, tmp_path):
    for kind in ("csv", "json", "png"):
        opened.export(tmp_path / f"out.{kind}", kind)
    about = json.loads((tmp_path / "out.json").read_text())
    assert about["counts"] == dict.fromkeys(CHANGES, 1)
    assert about["compared"] == "label images"
    assert len(pd.read_csv(tmp_path / "out.csv")) == 12
    assert (tmp_path / "out.png").stat().st_size > 10_000


def test_side_by_side_shows_both_layers(opened, viewer):
    opened.view.side_by_side.click()
    assert viewer.canvas.grid.enabled
    assert viewer.layers["slide (cell 2)"].multiscale
    opened.view.side_by_side.click()
    assert not viewer.canvas.grid.enabled


def test_provisional_labels_are_refused_until_the_run_ends(viewer, qtbot):
    raw, preprocessed = planes()
    add(viewer, "raw", raw)
    layer = add(viewer, "preprocessed", preprocessed, provisional=True)
    dock = open_dock(viewer, qtbot)
    qtbot.waitUntil(lambda: "provisional" in dock.view.message.text, timeout=20000)
    assert "Wait until the run ends" in dock.view.message.text
    assert dock.outcome is None
    layer.metadata = {"napari-graysam": {"arm": "preprocessed"}}
    layer.data = levels(preprocessed)
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    assert not dock.view.message.isVisible()
    viewer.window.remove_dock_widget(dock)


def hold(viewer, qtbot):
    """Add both arms, of which no second block is read before the gate opens."""
    gate = threading.Event()
    for arm, labels in zip(ARMS, planes(), strict=True):
        add(viewer, arm, labels)
    raw = viewer.layers["slide [raw]"].data[0]
    viewer.fit_to_view()
    viewer.screenshot(flash=False)
    raw.reads, raw.gate = 0, gate
    return raw, gate


@pytest.mark.parametrize("end", ["hide", "remove"])
def test_a_comparison_that_nobody_waits_for_is_cancelled(viewer, qtbot, end):
    raw, gate = hold(viewer, qtbot)
    dock = open_dock(viewer, qtbot)
    qtbot.waitUntil(lambda: raw.reads == 1, timeout=20000)
    if end == "hide":
        dock.hide()
    else:
        viewer.layers.remove("slide [preprocessed]")
    gate.set()
    qtbot.waitUntil(lambda: not dock._worker.busy, timeout=20000)
    assert raw.reads < 5
    assert dock.outcome is None
    if end == "hide":
        dock.show()
        qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
        assert raw.reads > 35
    viewer.window.remove_dock_widget(dock)


def test_progress_is_in_the_status_line(viewer, qtbot, monkeypatch):
    for arm, labels in zip(ARMS, planes(), strict=True):
        add(viewer, arm, labels)
    dock = open_dock(viewer, qtbot)
    said = []
    monkeypatch.setattr(dock.view.status, "setText", said.append)
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    assert any(text.startswith("Comparing block by block: ") for text in said)
    viewer.window.remove_dock_widget(dock)


def test_what_exists_only_in_memory_is_not_offered(opened):
    assert not opened.view.undo.isEnabled()
    assert "whole image" in opened.view.undo.toolTip()
    assert not opened.view.whole.isVisible()


def test_large_arrays_of_one_level_are_compared_in_blocks_and_followed(viewer, qtbot, monkeypatch):
    monkeypatch.setattr("napari_graysam.tiles.extent.MOST_PIXELS", SHAPE[0] * SHAPE[1] - 1)
    for arm, labels in zip(ARMS, planes(), strict=True):
        add(viewer, arm, labels, labels)
    dock = open_dock(viewer, qtbot, shut=False)
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    before = dock.outcome
    assert isinstance(before, WholeOutcome)
    assert before.comparison.counts == dict.fromkeys(CHANGES, 1)
    dock.show_difference()
    layer = viewer.layers["slide [difference]"]
    assert [tuple(level.shape) for level in layer.data] == [SHAPE, (600, 800)]
    row, column, *_ = SAMPLES["lost"]
    viewer.layers["slide [raw]"].fill((row, column), 0)
    qtbot.waitUntil(lambda: dock.outcome is not before, timeout=20000)
    assert dock.outcome.comparison.counts["lost"] == 0
    assert int(viewer.layers["slide [difference]"].data[0][row, column]) == 0
    viewer.window.remove_dock_widget(dock)


def test_the_plane_that_is_shown_of_a_stack_is_compared(viewer, qtbot):
    for arm, labels in zip(ARMS, planes(), strict=True):
        stack = np.stack([np.zeros_like(labels), labels, labels])
        stack[2][stack[2] == 16] = 0
        data = [da.from_array(stack[:, ::step, ::step]) for step in (1, 4)]
        viewer.add_labels(data, name=f"stack [{arm}]", metadata={"napari-graysam": {"arm": arm}})
    viewer.dims.set_point(0, 1)
    dock = open_dock(viewer, qtbot, shut=False)
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=20000)
    assert dock.outcome.comparison.counts == dict.fromkeys(CHANGES, 1)
    dock.show_difference()
    layer = viewer.layers["stack [difference]"]
    assert [tuple(level.shape) for level in layer.data] == [(1, *SHAPE), (1, 300, 400)]
    assert tuple(layer.translate) == (1, 0, 0)
    before = dock.outcome
    viewer.dims.set_point(0, 2)
    qtbot.waitUntil(lambda: dock.outcome is not before, timeout=20000)
    assert dock.outcome.comparison.counts["lost"] == 0
    viewer.window.remove_dock_widget(dock)
