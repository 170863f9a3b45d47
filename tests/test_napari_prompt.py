"""The prompt tool, in a real viewer with the bundled model."""

from pathlib import Path
from threading import current_thread, main_thread
from types import SimpleNamespace

import numpy as np
import pytest
from app_model.types import KeyBinding

from napari_graysam import pipeline, read_image, read_labels
from napari_graysam._napari.panel.sections.run import RunSection
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.prompt.tool import PromptTool
from napari_graysam.masks import label_masks, mask_iou
from napari_graysam.prompt import Predictor
from napari_graysam.recipe import Recipe

SAMPLES = Path(__file__).parents[1] / "sample_data"
SCALE, SHIFT = np.array((2.0, 0.5)), np.array((10.0, -5.0))
SIDE = 160
RECIPE = Recipe().with_values(
    {
        "generator.points_per_side": 3,
        "generator.pred_iou_thresh": 0.5,
        "model.device": "cpu",
        "preprocess": "[{kind: gamma, gamma: 0.7}]",
    }
)


@pytest.fixture(scope="module")
def image():
    return read_image(SAMPLES / "nuclei_uneven.tif").raw[:SIDE, :SIDE]


@pytest.fixture(scope="module")
def truth():
    masks, _ = label_masks(read_labels(SAMPLES / "nuclei_uneven.labels.tif")[:SIDE, :SIDE])
    whole = [mask for mask in masks if max(mask.box) < SIDE and min(mask.box) > 0]
    assert len(whole) >= 3
    return whole


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def run(viewer, image, qtbot):
    state = PanelState(viewer, RECIPE)
    run = RunSection(state)
    viewer.window.add_dock_widget(run.native, name="Run")
    state.layer = viewer.add_image(image, name="nuclei", scale=SCALE, translate=SHIFT)
    yield run
    run.cancel()
    qtbot.waitUntil(lambda: not run.planes._worker.busy, timeout=60_000)


@pytest.fixture
def tool(run, qtbot):
    def placement(arm):
        found = run.live_update.run_of(arm)
        return None if found is None else found.source.placement

    tool = PromptTool(run.state, placement)
    run.state.viewer.window.add_dock_widget(tool, name="Prompt")
    tool.active = True
    yield tool
    settle(tool, run, qtbot)
    tool.close_tool()


def settle(tool, run, qtbot):
    workers = (
        *(tool._worker, tool.pins._worker, run.planes._worker),
        *(run.live_update._selecting, run.live_update._measuring, run.layers.queue),
    )
    qtbot.waitUntil(lambda: not any(worker.busy for worker in workers), timeout=120_000)


@pytest.fixture
def settled(tool, run, qtbot):
    return lambda: settle(tool, run, qtbot)


@pytest.fixture
def segmented(tool, run, settled, qtbot):
    run.run()
    qtbot.waitUntil(lambda: not run.state.running, timeout=120_000)
    settled()
    return run


def world(place):
    x, y = place
    return tuple(SHIFT + SCALE * (y, x))


def middle(mask):
    y, x = np.nonzero(mask.bits)
    at = np.hypot(y - y.mean(), x - x.mean()).argmin()
    return int(x[at] + mask.box[0]), int(y[at] + mask.box[1])


def press(tool, *places, modifiers=()):
    """Press the mouse at the first place, move it to the others, and release it at the last."""
    viewer = tool._state.viewer
    event = SimpleNamespace(
        type="mouse_press",
        position=world(places[0]),
        pos=np.array(places[0]) * 4,
        button=1,
        modifiers=modifiers,
    )
    steps = [callback(viewer, event) for callback in viewer.mouse_drag_callbacks]
    for step in steps:
        next(step, None)
    panned = [viewer.scene.camera.mouse_pan]
    for place in places[1:]:
        event.type, event.position, event.pos = "mouse_move", world(place), np.array(place) * 4
        for step in steps:
            next(step, None)
        panned.append(viewer.scene.camera.mouse_pan)
    event.type = "mouse_release"
    for step in steps:
        next(step, None)
    return panned


def key(viewer, name):
    """Press a key as napari resolves it: the active layer's keys first."""
    active = viewer.layers.selection.active
    maps = [] if active is None else [active.keymap, active.__class__.class_keymap]
    wanted = KeyBinding.from_str(name)
    for keymap in (*maps, viewer.keymap):
        if wanted in keymap:
            done = keymap[wanted](viewer)
            return None if done is None else next(done, None)
    raise KeyError(name)


def missed(result, truth):
    return [mask for mask in truth if all(mask_iou(mask, one) < 0.3 for one in result.masks)]


def outline(viewer):
    names = [layer.name for layer in viewer.layers]
    return viewer.layers["prompt: answer"] if "prompt: answer" in names else None


def test_a_missed_object_is_added_in_both_arms_and_undone(tool, segmented, truth, viewer, settled):
    state = segmented.state
    state.change({"generator.pred_iou_thresh": 0.99})
    settled()
    before = {arm: len(result.masks) for arm, result in state.results.items()}
    (lost, *_) = missed(state.results["preprocessed"], truth)
    press(tool, middle(lost))
    settled()
    drawn = outline(viewer)
    covered = {tuple(drawn.data_to_world(at)) for at in np.argwhere(drawn.data)}
    wanted = {world((x + lost.box[0], y + lost.box[1])) for y, x in np.argwhere(lost.bits)}
    assert len(covered & wanted) / len(covered | wanted) > 0.7
    assert "predicted IoU" in tool.text.text()
    key(viewer, "Enter")
    settled()
    (pin,) = state.recipe.labels.pinned
    assert pin.prompt.positive == (middle(lost),)
    for result in state.results.values():
        assert result.masks[-1].pinned
        assert mask_iou(result.masks[-1], lost) > 0.7
    assert outline(viewer) is None
    shown = viewer.layers["nuclei [preprocessed]"].data
    assert np.array_equal(shown, state.results["preprocessed"].labels)
    fresh = pipeline.segment(state.layer.data, state.recipe)
    assert np.array_equal(fresh.labels, state.results["preprocessed"].labels)
    key(viewer, "Control-Z")
    settled()
    assert state.recipe.labels.pinned == ()
    assert {arm: len(result.masks) for arm, result in state.results.items()} == before


def test_delete_removes_the_object_under_the_mouse_and_takes_back_a_pinned_one(
    tool, segmented, viewer, settled
):
    state = segmented.state
    victim = state.results["preprocessed"].masks[0]
    viewer.cursor.position = world(middle(victim))
    key(viewer, "Delete")
    settled()
    (pin,) = state.recipe.labels.pinned
    assert pin.kind == "remove"
    for result in state.results.values():
        assert missed(result, [victim])
    press(tool, middle(victim))
    settled()
    tool.keep_button.click()
    settled()
    assert not missed(state.results["preprocessed"], [victim])
    key(viewer, "Backspace")
    settled()
    assert state.recipe.labels.pinned == (pin,)
    viewer.cursor.position = world((1, 1)) if not state.results["raw"].labels[1, 1] else (0, 0)
    key(viewer, "Delete")
    settled()
    assert state.recipe.labels.pinned == (pin,)


def test_drag_is_a_box_shift_click_a_negative_and_the_image_stays(
    tool, run, truth, viewer, settled
):
    mask, other = truth[:2]
    x0, y0, x1, y1 = mask.box
    panned = press(tool, (x0 - 1, y0 - 1), (x0 + 5, y0 + 5), (x1, y1))
    assert panned == [False, False, False]
    assert viewer.scene.camera.mouse_pan
    settled()
    assert mask_iou(tool._answered.answer.masks[0], mask) > 0.7
    assert "prompt: box" in viewer.layers
    press(tool, middle(other), modifiers=("Shift",))
    settled()
    prompt = tool._answered.answer.prompt
    assert prompt.box == (x0 - 1, y0 - 1, x1, y1)
    assert (prompt.positive, prompt.negative) == ((), (middle(other),))
    assert list(viewer.layers["prompt: points"].data[0]) == list(middle(other))[::-1]
    key(viewer, "Escape")
    assert [layer.name for layer in viewer.layers] == ["nuclei"]
    assert run.state.recipe == RECIPE


def test_a_negative_point_alone_asks_nothing(tool, truth, viewer, settled):
    press(tool, middle(truth[0]), modifiers=("Shift",))
    settled()
    assert "Start with a click on the object" in tool.text.text()
    assert outline(viewer) is None


def test_the_next_mask_of_the_answer_can_be_kept(tool, run, truth, viewer, settled):
    press(tool, middle(truth[0]))
    settled()
    masks = tool._answered.answer.masks
    assert len(masks) > 1
    key(viewer, ".")
    assert "mask 2 of" in tool.text.text()
    key(viewer, "Enter")
    (pin,) = run.state.recipe.labels.pinned
    assert pin.predicted_iou == pytest.approx(masks[1].predicted_iou, abs=1e-4)
    assert "when you segment" in tool.text.text()


def test_a_prompt_needs_no_run_works_off_the_gui_thread_and_reads_the_image_once(
    tool, run, truth, viewer, settled, monkeypatch
):
    asked, read = [], []
    ask, steps = Predictor.ask, pipeline.predictor_steps

    def watched(self, prompt):
        asked.append(current_thread())
        return (yield from ask(self, prompt))

    monkeypatch.setattr(Predictor, "ask", watched)
    monkeypatch.setattr(
        pipeline, "predictor_steps", lambda *a, **k: read.append(1) or steps(*a, **k)
    )
    said = []
    tool.text.setText = lambda text, real=tool.text.setText: said.append(text) or real(text)
    for mask in truth[:2]:
        press(tool, middle(mask))
        settled()
        key(viewer, "Escape")
    assert len(asked) == 2
    assert main_thread() not in asked
    assert read == [1]
    assert sum(text.startswith("Encoding the image") for text in said) >= 1
    tool.arm.setCurrentText("raw")
    press(tool, middle(truth[0]))
    settled()
    assert read == [1, 1]
    assert tool._answered.answer.masks[0].source == "raw"


def test_places_outside_and_missing_images_are_said(tool, run, viewer, settled):
    press(tool, (-30, 4))
    assert "outside of “nuclei”" in tool.text.text()
    viewer.cursor.position = world((5, 5))
    key(viewer, "Delete")
    assert "segment the image first" in tool.text.text()
    run.state.layer = None
    press(tool, (4, 4))
    assert "No image is chosen" in tool.text.text()


def test_a_layer_that_is_being_edited_keeps_its_clicks(tool, run, truth, viewer, settled):
    labels = viewer.add_labels(np.zeros((SIDE, SIDE), int), name="mine")
    labels.mode = "paint"
    press(tool, middle(truth[0]))
    assert "“mine” is in paint mode" in tool.text.text()
    assert tool._prompt is None


def test_while_space_is_held_a_drag_moves_the_image(tool, run, truth, viewer):
    holding = tool.mouse.pan()
    next(holding)
    press(tool, (5, 5), (40, 40))
    assert tool._prompt is None
    next(holding, None)
    press(tool, (5, 5), (40, 40))
    assert tool._prompt is not None


def test_another_image_or_chain_discards_the_prompt(tool, run, truth, viewer, settled):
    press(tool, middle(truth[0]))
    settled()
    run.state.change({"preprocess": "[{kind: invert}]"})
    assert outline(viewer) is None
    press(tool, middle(truth[0]))
    settled()
    assert outline(viewer) is not None or "no object" in tool.text.text()
    run.state.layer = viewer.add_image(np.zeros((9, 9)), name="other")
    assert outline(viewer) is None
    assert tool._prompt is None


def test_switched_off_it_leaves_nothing_behind(tool, run, truth, viewer, settled):
    keys = dict(viewer.layers[0].keymap)
    press(tool, middle(truth[0]))
    settled()
    tool.active = False
    assert [layer.name for layer in viewer.layers] == ["nuclei"]
    assert not viewer.keymap
    assert len(viewer.layers[0].keymap) < len(keys)
    assert viewer.scene.camera.mouse_pan
    press(tool, middle(truth[0]))
    assert tool._prompt is None


def test_u_takes_back_the_merge_of_the_object_under_the_mouse(tool, segmented, viewer, settled):
    state = segmented.state
    state.recipe = state.recipe.with_values(
        {
            "generator.pred_iou_thresh": 0.0,
            "generator.stability_score_thresh": 0.0,
            "labels.suppression": "mask_iou",
            "labels.suppression_thresh": 0.5,
            "labels.merging.merge": 1.0,
        }
    )
    settled()
    result = state.results["preprocessed"]
    before = len(result.regroupings)
    place = next(
        (int(x), int(y), one)
        for one in result.regroupings
        for label in one.labels(result.masks)
        for y, x in np.argwhere(result.labels == label)[:1]
    )
    viewer.cursor.position = world(place[:2])
    key(viewer, "U")
    settled()
    (pin,) = state.recipe.labels.pinned
    assert (pin.kind, len(pin.parts)) == ("apart", len(place[2].before))
    assert "is as before" in tool.text.text()
    parts = {mask.candidates for mask in place[2].before}
    after = state.results["preprocessed"]
    assert not any(parts <= {mask.candidates for mask in one.before} for one in after.regroupings)
    tool.undo_button.click()
    settled()
    assert state.recipe.labels.pinned == ()
    assert len(state.results["preprocessed"].regroupings) == before
