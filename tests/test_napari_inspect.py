from dataclasses import replace
from threading import current_thread, main_thread
from types import SimpleNamespace

import numpy as np
import pytest
import stub_run
from fake_results import placement

from napari_graysam._napari.inspect.tool import Inspector
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.results.run import score_floors
from napari_graysam.pipeline import ScoreFloors, select
from napari_graysam.recipe import Recipe, presets
from napari_graysam.select.explanation import Explanation
from napari_graysam.select.selector import Selector
from napari_graysam.source.gray import to_gray

SHAPE = (64, 64)
SCALE, SHIFT = np.array((2.0, 0.5)), np.array((10.0, -5.0))
RECIPE = stub_run.START.with_values({"generator.pred_iou_thresh": 0.7})
WHOLE = {(y, x) for y in range(4, 12) for x in range(4, 12)}
"""Pixels of the square at x 4 to 11, y 4 to 11, whose left half and twin are candidates too."""
LEFT = {(y, x) for y, x in WHOLE if x < 8}


def segmented(**options):
    """Segment a bright square and a dim one, and keep the candidates."""
    gray = to_gray(stub_run.squares(1, 0.5))
    return stub_run.segmented(gray, RECIPE, parts=True, **options)


@pytest.fixture(scope="module")
def live():
    return segmented()


@pytest.fixture(scope="module")
def without_low_scores():
    return segmented(score_floors=ScoreFloors(0.4, 0.4))


@pytest.fixture
def state(make_napari_viewer_proxy):
    state = PanelState(make_napari_viewer_proxy())
    state.viewer.add_image(np.zeros(SHAPE), scale=SCALE, translate=SHIFT)
    return state


@pytest.fixture
def inspector(state, live, qtbot):
    """An active inspector of a preprocessed result that lies shifted and scaled."""
    place = placement(SHAPE, scale=SCALE, translate=SHIFT)
    inspector = Inspector(state, lambda arm: place)
    qtbot.addWidget(inspector)
    state.recipe = RECIPE
    show(state, live)
    inspector.active = True
    yield inspector
    settle(inspector, qtbot)


def show(state, live, arm="preprocessed"):
    state.set_result(arm, live.result, live.selector)


def settle(inspector, qtbot):
    """Wait until everything that was asked is answered."""
    workers = (inspector._asking, inspector._drawing, inspector._relaxing)
    qtbot.waitUntil(lambda: not any(worker.busy for worker in workers), timeout=60_000)


@pytest.fixture
def ask(inspector, qtbot):
    """Click a pixel, select a row if one is named, and wait for the answers."""

    def ask(x, y, row=None):
        click(inspector, x, y)
        settle(inspector, qtbot)
        if row is not None:
            inspector.table.selectRow(row)
            settle(inspector, qtbot)

    return ask


def click(inspector, x, y, drag=0):
    """Press and release the mouse over a pixel."""
    event = SimpleNamespace(
        type="mouse_press",
        position=SHIFT + SCALE * (y, x),
        pos=np.zeros(2),
        button=1,
        modifiers=(),
    )
    steps = [
        callback(inspector._state.viewer, event)
        for callback in inspector._state.viewer.mouse_drag_callbacks
        if getattr(callback, "__self__", None) is inspector
    ]
    for step in steps:
        next(step)
        event.type, event.pos = "mouse_move", np.array((drag, 0))
        next(step, None)
        event.type = "mouse_release"
        next(step, None)


def rows(inspector):
    table = inspector.table
    return [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def drawn(state):
    """Return the world coordinates that the candidate layer covers, by its pixels' centres."""
    layers = [layer for layer in state.viewer.layers if layer.name == "candidate"]
    if not layers or not layers[0].visible:
        return None
    return {tuple(layers[0].data_to_world(at)) for at in np.argwhere(layers[0].data)}


def world(pixels):
    return {tuple(SHIFT + SCALE * at) for at in pixels}


def test_a_click_lists_what_became_of_every_candidate(inspector, ask):
    ask(6, 6)
    assert [row[:4] for row in rows(inspector)] == [
        ["1", "1.00", "1.00", "64"],
        ["–", "0.90", "1.00", "64"],
        ["–", "0.50", "1.00", "32"],
    ]
    said = [row[4] for row in rows(inspector)]
    assert said[0] == "Object 1"
    assert "uplicate of object 1" in said[1]
    assert "redicted IoU 0.50" in said[2]
    assert "x 6, y 6: 3 candidates, 1 in the result" in inspector.text.text()
    ask(10, 6)
    assert [row[0] for row in rows(inspector)] == ["1", "–"]


def test_a_place_without_candidates_or_outside_is_said(inspector, ask):
    ask(40, 40)
    assert rows(inspector) == []
    assert "no candidate covers it" in inspector.text.text()
    ask(64, 30)
    assert "outside" in inspector.text.text()


def test_a_drag_asks_nothing(inspector, qtbot):
    click(inspector, 6, 6, drag=20)
    settle(inspector, qtbot)
    assert rows(inspector) == []


def test_without_a_result_the_tool_says_run_first(state, qtbot):
    inspector = Inspector(state, lambda arm: None)
    qtbot.addWidget(inspector)
    inspector.active = True
    assert "segment the image first" in inspector.text.text()
    click(inspector, 6, 6)
    assert "segment the image first" in inspector.text.text()


def test_a_chosen_candidate_is_drawn_where_it_lies(inspector, state, ask):
    ask(6, 6)
    selected = list(state.viewer.layers.selection)
    assert drawn(state) is None
    for row, pixels in enumerate((WHOLE, WHOLE, LEFT)):
        ask(6, 6, row)
        assert drawn(state) == world(pixels)
    assert list(state.viewer.layers.selection) == selected


def test_a_hovered_candidate_is_drawn_until_the_mouse_leaves(inspector, state, ask, qtbot):
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    ask(6, 6)
    inspector.table.cellEntered.emit(2, 0)
    settle(inspector, qtbot)
    assert drawn(state) == world(LEFT)
    QApplication.sendEvent(inspector.table.viewport(), QEvent(QEvent.Type.Leave))
    assert drawn(state) is None


def test_switching_the_tool_off_removes_the_layer_and_the_list(inspector, state, ask, qtbot):
    ask(6, 6, 1)
    inspector.active = False
    assert [layer.name for layer in state.viewer.layers] == ["Image"]
    assert rows(inspector) == []
    click(inspector, 6, 6)
    settle(inspector, qtbot)
    assert rows(inspector) == []


def test_the_user_may_delete_the_candidate_layer(inspector, state, ask):
    ask(6, 6, 0)
    state.viewer.layers.remove("candidate")
    ask(6, 6, 2)
    assert drawn(state) == world(LEFT)


def test_the_selector_is_asked_in_another_thread(inspector, ask, monkeypatch, qtbot):
    found = []

    def note(name, real):
        return lambda *some: found.append((name, current_thread())) or real(*some)

    for name in ("explain", "relax"):
        monkeypatch.setattr(Selector, name, note(name, getattr(Selector, name)))
    monkeypatch.setattr(Explanation, "mask", property(note("mask", Explanation.mask.fget)))
    ask(6, 6, 2)
    inspector.relax.click()
    settle(inspector, qtbot)
    assert [name for name, _ in found] == ["explain", "mask", "relax"]
    assert main_thread() not in {thread for _, thread in found}


def test_keep_records_the_candidate_in_the_recipe(inspector, state, live, ask):
    ask(6, 6, 0)
    assert not inspector.keep.isEnabled()
    ask(6, 6, 2)
    inspector.keep.click()
    (kept,) = state.recipe.labels.keep
    areas = sorted(mask.area for mask in select(live.selector, state.recipe).masks)
    assert (kept.mask, areas) == (1, [32, 64])


def test_a_kept_candidate_can_be_given_up(inspector, state, live, ask):
    ask(6, 6, 2)
    inspector.keep.click()
    selected = select(live.selector, state.recipe)
    again = replace(live.result, recipe=state.recipe, masks=selected.masks, labels=selected.labels)
    show(state, replace(live, result=again))
    ask(6, 6, 0)  # The smaller object is on top.
    assert inspector.keep.text() == "Keep no longer"
    inspector.keep.click()
    assert state.recipe.labels.keep == ()


def test_where_not_every_mask_is_stored_the_way_out_is_one_press(
    inspector, state, live, without_low_scores, ask
):
    assert state.change({"generator.points_per_side": 64, "generator.crop_n_layers": 1})
    show(state, without_low_scores)
    ask(6, 6, 2)
    assert not inspector.keep.isEnabled()
    assert inspector.relax.isEnabled()
    assert not inspector.floors.isHidden()
    said = inspector.floors.text.text()
    assert "predicted IoU 0.40" in said
    assert "run again" in said
    inspector.floors.button.click()
    points = state.recipe.generator.points_per_side
    assert score_floors(state.recipe) == (0, 0)
    more = state.recipe.with_values({"generator.points_per_side": points + 1})
    assert score_floors(more) != (0, 0)
    assert inspector.floors.button.isHidden()
    assert "Run again" in inspector.floors.text.text()
    show(state, live)
    ask(6, 6, 2)
    assert inspector.floors.isHidden()
    assert inspector.keep.isEnabled()


def test_without_a_regular_grid_only_words_help(inspector, state, without_low_scores, ask):
    grids = [[[x / 100, y / 100] for x in range(100) for y in range(100)]]
    assert state.change({"generator.points_per_side": None, "generator.point_grids": grids})
    show(state, without_low_scores)
    ask(6, 6)
    assert inspector.floors.button.isHidden()
    assert "fewer points" in inspector.floors.text.text()


def test_relax_changes_what_dropped_it_by_as_little_as_needed(inspector, state, live, ask, qtbot):
    ask(6, 6, 0)
    assert not inspector.relax.isEnabled()
    ask(6, 6, 2)
    assert "becomes 0.4" in inspector.relax.toolTip()
    inspector.relax.click()
    settle(inspector, qtbot)
    assert 0.4 < state.recipe.generator.pred_iou_thresh < 0.5
    assert 32 in {mask.area for mask in select(live.selector, state.recipe).masks}


def test_values_that_were_found_for_another_recipe_are_not_taken(inspector, state, ask, qtbot):
    ask(6, 6, 2)
    inspector.relax.click()
    state.change({"labels.min_area": 7})
    before = state.recipe
    settle(inspector, qtbot)
    assert state.recipe == before


def test_a_new_result_is_asked_again_and_the_choice_stays(inspector, state, live, ask, qtbot):
    ask(6, 6, 1)
    show(state, live)
    settle(inspector, qtbot)
    assert inspector.table.selectionModel().selectedRows()[0].row() == 1
    state.set_result("preprocessed", None)
    assert rows(inspector) == []


def test_either_arm_can_be_asked(inspector, state, live, ask):
    assert inspector.arm.isHidden()
    state.set_result("raw", live.result)
    assert not inspector.arm.isHidden()
    assert inspector.arm.currentText() == "preprocessed"
    ask(6, 6)
    inspector.arm.setCurrentText("raw")
    inspector.arm.activated.emit(1)
    assert "kept no candidates" in inspector.text.text()
    show(state, live, "raw")
    assert inspector.arm.currentText() == "raw"
    assert len(rows(inspector)) == 0


def test_the_preprocessed_arm_is_asked_unless_the_user_picks(state, live, qtbot):
    inspector = Inspector(state, lambda arm: placement(SHAPE))
    qtbot.addWidget(inspector)
    for arm in ("raw", "preprocessed"):
        show(state, live, arm)
    assert inspector.arm.currentText() == "preprocessed"


def test_a_run_with_kept_masks_stores_every_candidate():
    dense = Recipe().with_values({"generator.crop_n_layers": 2})
    assert score_floors(dense).predicted_iou > 0
    keeping = dense.with_values({"labels.keep": [{"point": [3.0, 4.0]}]})
    assert score_floors(keeping) == (0, 0)


@pytest.mark.parametrize("name", presets())
def test_presets_keep_every_candidate(name):
    assert score_floors(Recipe.preset(name)) == (0, 0)
