from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fake_results import SHAPE, placement, result, square

from napari_graysam._napari.inspect.tool import Inspector
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.results.run import score_floors
from napari_graysam.recipe import PinnedMask, Recipe, presets
from napari_graysam.select.explanation import Explanation

SCALE, SHIFT = np.array((2.0, 0.5)), np.array((10.0, -5.0))
OBJECT, DIM, TWIN = square(4, 6, 12), square(6, 8, 6), square(5, 6, 12)


def explanation(candidate, mask, **said):
    return Explanation(
        candidate=candidate,
        predicted_iou=0.91 - candidate / 10,
        stability=0.95,
        area=mask.area,
        box=mask.box,
        point=(0, 0),
        draw=lambda: mask,
        **said,
    )


EXPLANATIONS = (
    explanation(0, OBJECT, reason="object", text="object 1", label=1),
    explanation(
        1,
        DIM,
        reason="predicted_iou",
        text="predicted IoU 0.74 < 0.80",
        parameter="generator.pred_iou_thresh",
        relaxed=0.73,
    ),
    explanation(2, TWIN, reason="cut_off", text="cut off at the edge of its crop"),
)


class Selector:
    """Knows the candidates of `EXPLANATIONS`, which lie where their masks are."""

    def __init__(self, floor=0.0):
        record = {"iou_floor": floor, "stability_floor": floor}
        self.proposals = SimpleNamespace(record=record)

    def explain(self, x, y, generator, labels):
        def covers(mask):
            x0, y0, x1, y1 = mask.box
            return x0 <= x < x1 and y0 <= y < y1

        return [one for one in EXPLANATIONS if covers(one.mask)]

    def relax(self, candidate, generator, labels):
        parameter = EXPLANATIONS[candidate].parameter
        return None if parameter is None else {parameter: EXPLANATIONS[candidate].relaxed}

    def pinned_mask(self, candidate):
        return PinnedMask(point=(candidate, 0))


@pytest.fixture
def state(make_napari_viewer_proxy):
    state = PanelState(make_napari_viewer_proxy())
    state.viewer.add_image(np.zeros(SHAPE), scale=SCALE, translate=SHIFT)
    return state


@pytest.fixture
def inspector(state, qtbot):
    """An active inspector of a preprocessed result that lies shifted and scaled."""
    place = placement(scale=SCALE, translate=SHIFT)
    inspector = Inspector(state, lambda arm: place)
    qtbot.addWidget(inspector)
    state.set_result("preprocessed", result((OBJECT,)), Selector())
    inspector.active = True
    return inspector


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


def world(mask):
    return {
        tuple(SHIFT + SCALE * (y + mask.box[1], x + mask.box[0])) for y, x in np.argwhere(mask.bits)
    }


def test_a_click_lists_what_became_of_every_candidate(inspector):
    click(inspector, 9, 7)
    assert rows(inspector) == [
        ["1", "0.91", "0.95", "144", "Object 1"],
        ["–", "0.81", "0.95", "36", "Predicted IoU 0.74 < 0.80"],
        ["–", "0.71", "0.95", "144", "Cut off at the edge of its crop"],
    ]
    assert "x 9, y 7: 3 candidates, 1 in the result" in inspector.text.text()
    click(inspector, 6, 4)
    assert [row[0] for row in rows(inspector)] == ["1"]


def test_a_place_without_candidates_or_outside_is_said(inspector):
    click(inspector, 50, 30)
    assert rows(inspector) == []
    assert "no candidate covers it" in inspector.text.text()
    click(inspector, 60, 30)
    assert "outside" in inspector.text.text()


def test_a_drag_asks_nothing(inspector):
    click(inspector, 9, 7, drag=20)
    assert rows(inspector) == []


def test_without_a_result_the_tool_says_run_first(state, qtbot):
    inspector = Inspector(state, lambda arm: None)
    qtbot.addWidget(inspector)
    inspector.active = True
    assert "segment the image first" in inspector.text.text()
    click(inspector, 9, 7)
    assert "segment the image first" in inspector.text.text()


def test_a_chosen_candidate_is_drawn_where_it_lies(inspector, state):
    click(inspector, 9, 7)
    selected = list(state.viewer.layers.selection)
    assert drawn(state) is None
    for row, one in enumerate(EXPLANATIONS):
        inspector.table.selectRow(row)
        assert drawn(state) == world(one.mask)
    assert list(state.viewer.layers.selection) == selected


def test_a_hovered_candidate_is_drawn_until_the_mouse_leaves(inspector, state):
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    click(inspector, 9, 7)
    inspector.table.cellEntered.emit(2, 0)
    assert drawn(state) == world(TWIN)
    QApplication.sendEvent(inspector.table.viewport(), QEvent(QEvent.Type.Leave))
    assert drawn(state) is None


def test_switching_the_tool_off_removes_the_layer_and_the_list(inspector, state):
    click(inspector, 9, 7)
    inspector.table.selectRow(1)
    inspector.active = False
    assert [layer.name for layer in state.viewer.layers] == ["Image"]
    assert rows(inspector) == []
    click(inspector, 9, 7)
    assert rows(inspector) == []


def test_the_user_may_delete_the_candidate_layer(inspector, state):
    click(inspector, 9, 7)
    inspector.table.selectRow(0)
    state.viewer.layers.remove("candidate")
    inspector.table.selectRow(1)
    assert drawn(state) == world(DIM)


def test_keep_records_the_candidate_in_the_recipe(inspector, state):
    click(inspector, 9, 7)
    assert not inspector.keep.isEnabled()
    inspector.table.selectRow(1)
    inspector.keep.click()
    assert state.recipe.labels.keep == (PinnedMask(point=(1, 0)),)
    inspector.table.selectRow(0)
    assert not inspector.keep.isEnabled()


def test_a_kept_candidate_can_be_given_up(inspector, state):
    click(inspector, 9, 7)
    inspector.table.selectRow(1)
    inspector.keep.click()
    kept = replace(EXPLANATIONS[1], pinned=True, label=2)
    inspector.table.show_explanations((kept,))
    inspector.table.selectRow(0)
    assert inspector.keep.text() == "Keep no longer"
    inspector.keep.click()
    assert state.recipe.labels.keep == ()


def test_where_not_every_mask_is_stored_the_way_out_is_one_press(inspector, state):
    assert state.change({"generator.points_per_side": 64, "generator.crop_n_layers": 1})
    state.set_result("preprocessed", result((OBJECT,)), Selector(floor=0.4))
    click(inspector, 9, 7)
    inspector.table.selectRow(1)
    assert not inspector.keep.isEnabled()
    assert inspector.relax.isEnabled()
    assert not inspector.stored.isHidden()
    said = inspector.stored.text.text()
    assert "predicted IoU 0.40" in said
    assert "run again" in said
    inspector.stored.button.click()
    points = state.recipe.generator.points_per_side
    assert score_floors(state.recipe) == (0, 0)
    assert score_floors(state.recipe.with_values({"generator.points_per_side": points + 1})) != (
        0,
        0,
    )
    assert inspector.stored.button.isHidden()
    assert "Run again" in inspector.stored.text.text()
    state.set_result("preprocessed", result((OBJECT,)), Selector())
    assert inspector.stored.isHidden()
    assert inspector.keep.isEnabled()


def test_without_a_regular_grid_only_words_help(inspector, state):
    grids = [[[x / 100, y / 100] for x in range(100) for y in range(100)]]
    assert state.change({"generator.points_per_side": None, "generator.point_grids": grids})
    state.set_result("preprocessed", result((OBJECT,)), Selector(floor=0.4))
    click(inspector, 9, 7)
    assert inspector.stored.button.isHidden()
    assert "fewer points" in inspector.stored.text.text()


def test_relax_changes_the_parameter_that_dropped_it(inspector, state):
    click(inspector, 9, 7)
    inspector.table.selectRow(2)
    assert not inspector.relax.isEnabled()
    inspector.table.selectRow(1)
    assert "becomes 0.73" in inspector.relax.toolTip()
    inspector.relax.click()
    assert state.recipe.generator.pred_iou_thresh == 0.73


def test_a_new_result_is_asked_again_and_the_choice_stays(inspector, state):
    click(inspector, 9, 7)
    inspector.table.selectRow(1)
    state.set_result("preprocessed", result((OBJECT, DIM)), Selector())
    assert inspector.table.explanation is EXPLANATIONS[1]
    state.set_result("preprocessed", None)
    assert rows(inspector) == []


def test_either_arm_can_be_asked(inspector, state):
    assert inspector.arm.isHidden()
    state.set_result("raw", result((OBJECT,)))
    assert not inspector.arm.isHidden()
    assert inspector.arm.currentText() == "preprocessed"
    click(inspector, 9, 7)
    inspector.arm.setCurrentText("raw")
    inspector.arm.activated.emit(1)
    assert "kept no candidates" in inspector.text.text()
    state.set_result("raw", result((OBJECT,)), Selector())
    assert inspector.arm.currentText() == "raw"
    assert len(rows(inspector)) == 0


def test_the_preprocessed_arm_is_asked_unless_the_user_picks(state, qtbot):
    inspector = Inspector(state, lambda arm: placement(scale=SCALE, translate=SHIFT))
    qtbot.addWidget(inspector)
    for arm in ("raw", "preprocessed"):
        state.set_result(arm, result((OBJECT,)), Selector())
    assert inspector.arm.currentText() == "preprocessed"


def test_a_run_with_kept_masks_stores_every_candidate():
    dense = Recipe().with_values({"generator.crop_n_layers": 2})
    assert score_floors(dense).predicted_iou > 0
    keeping = dense.with_values({"labels.keep": [{"point": [3.0, 4.0]}]})
    assert score_floors(keeping) == (0, 0)


@pytest.mark.parametrize("name", presets())
def test_presets_keep_every_candidate(name):
    assert score_floors(Recipe.preset(name)) == (0, 0)
