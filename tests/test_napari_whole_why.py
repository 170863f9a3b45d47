"""Why a place of a whole image is unmasked, by what its tile kept; with the bundled model."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from whole_squares import SCALE, open_panel, squares

from napari_graysam._napari.inspect.floors_note import floors_of
from napari_graysam.errors import UsageError
from napari_graysam.masks import Mask


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def panel(viewer, qtbot, tmp_path):
    panel = open_panel(viewer, tmp_path / "out")
    run(panel, qtbot)
    yield panel
    panel.why.setChecked(False)
    settle(qtbot, panel)


def settle(qtbot, panel):
    whole, tool = panel.run.whole, panel.inspector
    workers = (tool._asking, tool._drawing, tool._relaxing, tool.actions.pinning, whole)
    qtbot.waitUntil(
        lambda: not (panel.state.running or any(one.busy for one in workers)), timeout=120_000
    )


def run(panel, qtbot):
    panel.run.native.both.click()
    settle(qtbot, panel)


def labels(viewer):
    layer = next(one for one in viewer.layers if "[raw]" in one.name)
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


def ask(panel, qtbot, y, x):
    """Click a pixel and return what the table says, from the first row on."""
    panel.inspector.ask((y * SCALE[0], x * SCALE[1]))
    settle(qtbot, panel)
    table = panel.inspector.table
    return list(table._explanations)


def forbid(monkeypatch):
    """Let no model be loaded any more."""

    def refuse(*some, **options):
        raise AssertionError("the model was asked")

    monkeypatch.setattr("napari_graysam.model.load_steps", refuse)
    monkeypatch.setattr("napari_graysam.propose.generator.models.load_steps", refuse)


@pytest.mark.slow
def test_a_tile_answers_for_its_pixels_without_the_model(panel, viewer, qtbot, monkeypatch):
    forbid(monkeypatch)
    assert panel.why.isVisibleTo(panel)
    panel.why.click()
    found = labels(viewer)
    for y, x in ((18, 18), (52, 86), (154, 188)):
        first = ask(panel, qtbot, y, x)[0]
        assert first.reason == "object"
        assert first.label == found[y, x] > 0
        assert f"object {first.label}" in first.text
        assert f"object {first.label}" in panel.inspector.table.item(0, 4).text().lower()
    assert "candidates of tile r001c002" in panel.inspector.text.text()
    assert not panel.inspector.keep.isEnabled()  # It is an object.
    panel.inspector.table.selectRow(0)
    settle(qtbot, panel)
    drawn = next(one for one in viewer.layers if one.name not in ("slide", "slide [raw]"))
    y, x = np.argwhere(np.asarray(drawn.data) > 0).mean(axis=0)
    place = np.array(drawn.data_to_world((y, x))) / SCALE
    np.testing.assert_allclose(place, (161.5, 187.5), atol=8)


@pytest.mark.slow
def test_what_the_image_dropped_is_told_and_relaxed(panel, viewer, qtbot, monkeypatch):
    forbid(monkeypatch)
    panel.state.change({"labels.min_area": 2000})
    run(panel, qtbot)
    assert not labels(viewer)[52, 86]
    panel.why.click()
    said = next(one for one in ask(panel, qtbot, 52, 86) if one.reason == "min_area")
    assert said.label is None
    assert said.limit == 2000
    assert "smaller than 2,000" in said.text
    row = panel.inspector.table._explanations.index(said)
    panel.inspector.table.selectRow(row)
    panel.inspector.relax.click()
    settle(qtbot, panel)
    assert panel.state.recipe.labels.min_area == said.value
    run(panel, qtbot)
    assert labels(viewer)[52, 86]


@pytest.mark.slow
def test_what_a_threshold_dropped_is_told_and_relaxed(panel, viewer, qtbot, monkeypatch):
    forbid(monkeypatch)
    panel.state.change({"generator.pred_iou_thresh": 0.999})
    run(panel, qtbot)
    assert not labels(viewer).any()
    panel.why.click()
    said = ask(panel, qtbot, 52, 86)
    assert {one.reason for one in said} <= {"predicted_iou", "stability"}
    assert said
    panel.inspector.table.selectRow(0)
    panel.inspector.relax.click()
    settle(qtbot, panel)
    run(panel, qtbot)
    assert labels(viewer)[52, 86]


@pytest.mark.slow
def test_a_candidate_that_is_kept_becomes_an_object(panel, viewer, qtbot, monkeypatch):
    forbid(monkeypatch)
    panel.state.change({"generator.pred_iou_thresh": 0.999})
    run(panel, qtbot)
    panel.why.click()
    # In a tile that does not begin at the image's corner.
    first = ask(panel, qtbot, 154, 188)[0]
    panel.inspector.table.selectRow(0)
    told = []
    panel.state.said.connect(lambda text, warning: told.append(text))

    def keep():
        panel.inspector.keep.click()
        settle(qtbot, panel)
        return panel.state.recipe.labels.pinned

    (pin,) = keep()
    assert (pin.kind, pin.size) == ("add", (200, 210))
    assert "Select again" in told[-1]
    assert keep() == ()
    assert keep() == (pin,)
    assert panel.run.native.both.text() == "Select again"
    run(panel, qtbot)
    found = labels(viewer)
    assert found.max() == 1
    assert found[154, 188] == 1
    assert (found == 1).sum() == first.mask.area


@pytest.mark.slow
def test_a_candidate_that_is_cut_off_is_not_kept(panel, viewer, qtbot, monkeypatch):
    panel.state.change({"generator.pred_iou_thresh": 0.999})
    run(panel, qtbot)
    panel.why.click()
    candidate = ask(panel, qtbot, 154, 188)[0]
    panel.inspector.table.selectRow(0)
    pin, told = panel.inspector._answer.pin, []
    panel.state.problem.connect(told.append)
    # The tile's window begins at column 82 and row 72, where the object may go on.
    reaching = Mask(np.ones((9, 50), bool), (0, 60, 50, 69))
    wide = replace(candidate, draw=lambda: reaching)
    with pytest.raises(UsageError, match="Add or correct"):
        pin(wide)
    monkeypatch.setattr(panel.inspector.actions, "_explanation", wide)
    panel.inspector.keep.click()
    settle(qtbot, panel)
    assert panel.state.recipe.labels.pinned == ()
    assert "tile r001c002 sees" in told[-1]
    # On the right and below, the image ends.
    at_border = Mask(np.ones((9, 9), bool), (119, 119, 128, 128))
    assert pin(replace(candidate, draw=lambda: at_border)).size == (200, 210)


@pytest.mark.slow
def test_candidates_that_are_not_kept_are_said(panel, qtbot, tmp_path, monkeypatch):
    forbid(monkeypatch)
    shutil.rmtree(tmp_path / "out" / "slide_raw.tiles" / "candidates")
    panel.why.click()
    assert ask(panel, qtbot, 52, 86) == []
    text = panel.inspector.text.text()
    assert "kept no candidates" in text
    assert "--cache-size" in text


@pytest.mark.slow
def test_places_outside_are_said(panel, qtbot):
    panel.why.click()
    assert ask(panel, qtbot, 900, 900) == []
    assert "outside" in panel.inspector.text.text()


@pytest.mark.slow
def test_a_run_that_replaced_another_answers_for_itself(panel, viewer, qtbot):
    panel.why.click()
    assert ask(panel, qtbot, 18, 18)[0].reason == "object"
    before = labels(viewer)
    viewer.layers["slide"].data = np.roll(squares(), (17, 17), axis=(0, 1))
    panel.run.whole.output.replace.setChecked(True)
    qtbot.waitUntil(lambda: not panel.run.whole.jobs.inputs.busy, timeout=20_000)
    run(panel, qtbot)
    found = labels(viewer)
    y, x = 69, 103
    assert found[y, x]
    assert not before[y, x]
    first = ask(panel, qtbot, y, x)[0]
    assert first.reason == "object"
    assert first.label == found[y, x]


@pytest.mark.slow
def test_what_was_asked_is_asked_again_of_the_new_result(panel, viewer, qtbot):
    panel.why.click()
    assert ask(panel, qtbot, 52, 86)[0].reason == "object"
    panel.state.change({"labels.min_area": 2000})
    run(panel, qtbot)
    assert "min_area" in {one.reason for one in panel.inspector.table._explanations}


@pytest.mark.slow
def test_the_end_of_the_first_run_is_noticed(panel, viewer, qtbot, tmp_path):
    panel.why.click()
    viewer.layers.remove(next(one for one in viewer.layers if "[raw]" in one.name))
    panel.state.layer = viewer.add_image(squares(), name="second", scale=SCALE)
    assert "no result to ask yet" in panel.inspector.text.text()
    panel.run.whole.output.line.setText(str(tmp_path / "second"))
    panel.run.whole.output.line.editingFinished.emit()
    run(panel, qtbot)
    assert "Click a place" in panel.inspector.text.text()
    first = ask(panel, qtbot, 52, 86)[0]
    assert first.label == labels(viewer)[52, 86] > 0


@pytest.mark.slow
def test_a_mask_of_a_tile_is_not_kept_by_its_name(panel, qtbot):
    panel.state.change({"generator.pred_iou_thresh": 0.0, "generator.stability_score_thresh": 0.0})
    panel.run.whole.output.replace.setChecked(True)
    run(panel, qtbot)
    panel.why.click()
    rows = ask(panel, qtbot, 52, 86)
    assert not any(floors_of(panel.inspector._answer.selector))
    panel.inspector.table.selectRow(next(n for n, one in enumerate(rows) if one.label is None))
    panel.inspector.keep.click()
    settle(qtbot, panel)
    assert panel.state.recipe.labels.keep == ()
    assert [pin.kind for pin in panel.state.recipe.labels.pinned] == ["add"]
