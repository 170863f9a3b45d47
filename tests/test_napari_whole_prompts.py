"""Objects by hand in a whole image in tiles; with the bundled model."""

from pathlib import Path

import numpy as np
import pytest
from whole_squares import SCALE, open_panel, squares

from napari_graysam import read_image
from napari_graysam.tiles.kept import KeptObjects

SAMPLES = Path(__file__).parents[1] / "sample_data"


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def panel(viewer, qtbot, tmp_path):
    panel = open_panel(viewer, tmp_path / "out")
    yield panel
    panel.prompt.setChecked(False)
    settle(qtbot, panel)


def settle(qtbot, panel):
    whole, tool = panel.run.whole, panel.prompter
    workers = (tool._worker, tool.pins._worker, whole)
    qtbot.waitUntil(
        lambda: not (panel.state.running or any(one.busy for one in workers)), timeout=120_000
    )


def run(panel, qtbot):
    panel.run.native.both.click()
    settle(qtbot, panel)


def labels(viewer):
    layer = next(one for one in viewer.layers if "[raw]" in one.name)
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


def world(y, x):
    return (y * SCALE[0], x * SCALE[1])


def click(panel, qtbot, y, x):
    panel.prompter.ask_point(world(y, x))
    settle(qtbot, panel)


@pytest.mark.slow
def test_an_object_that_is_pinned_is_painted_into_the_whole_image(panel, viewer, qtbot):
    panel.state.change({"generator.pred_iou_thresh": 0.999})
    run(panel, qtbot)
    assert not labels(viewer).any()
    panel.prompt.click()
    click(panel, qtbot, 154, 188)
    mask = panel.prompter._answered.answer.masks[0]
    panel.prompter.keep()
    assert "Select again" in panel.prompter.text.text()
    (pin,) = panel.state.recipe.labels.pinned
    assert pin.size == (200, 210)
    assert panel.run.native.both.text() == "Select again"
    run(panel, qtbot)
    found = labels(viewer)
    assert found.max() == 1
    assert (found == 1).sum() == mask.area
    assert found[154, 188] == 1
    viewer.cursor.position = world(154, 188)
    panel.prompter.remove()
    settle(qtbot, panel)
    assert panel.state.recipe.labels.pinned == ()


@pytest.mark.slow
def test_an_object_that_is_removed_leaves_the_whole_image(panel, viewer, qtbot):
    run(panel, qtbot)
    before = labels(viewer)
    assert before[52, 86]
    panel.prompt.click()
    viewer.cursor.position = world(52, 86)
    panel.prompter.remove()
    settle(qtbot, panel)
    assert "Select again" in panel.prompter.text.text()
    (pin,) = panel.state.recipe.labels.pinned
    assert pin.kind == "remove"
    run(panel, qtbot)
    after = labels(viewer)
    assert not after[52, 86]
    np.testing.assert_array_equal(after > 0, (before > 0) & (before != before[52, 86]))


@pytest.mark.slow
def test_a_merge_in_a_tile_is_taken_back_and_taken_back_again(panel, viewer, qtbot):
    image = read_image(SAMPLES / "nuclei_uneven.tif").raw[:200, :210]
    panel.state.layer = viewer.add_image(image, name="nuclei")
    panel.state.extent.choose("whole")
    panel.run.whole.output.replace.setChecked(True)
    panel.state.change({
        "generator.pred_iou_thresh": 0.0, "generator.stability_score_thresh": 0.0,
        "labels.suppression": "mask_iou", "labels.suppression_thresh": 0.5,
    })  # fmt: skip
    run(panel, qtbot)
    parts = labels(viewer)
    panel.state.change({"labels.merging.merge": 1.0})
    assert panel.run.native.both.text() == "Select again"
    run(panel, qtbot)
    merged = labels(viewer)
    job = panel.run.whole.jobs.shown
    kept = KeptObjects.of(job.folder / f"{job.stem('raw')}.tiles")
    made = {n: kept.regroupings(n) for n in range(1, int(merged.max()) + 1)}
    made = {n: one for n, one in made.items() if one}
    assert made
    for label, (one, *_) in made.items():
        whole = np.zeros(merged.shape, bool)
        (mask,) = kept.masks([label])
        whole[mask.slices] = mask.bits
        assert all(whole[part.slices][part.bits].mean() > 0.5 for part in one.before)
    label, (one, *_) = next(iter(made.items()))
    y, x = np.argwhere(merged == label)[0]
    panel.prompt.click()
    viewer.cursor.position = (y, x)

    def press_u():
        panel.prompter.take_back()
        settle(qtbot, panel)
        return panel.state.recipe.labels.pinned

    pins = press_u()
    assert {pin.kind for pin in pins} == {"apart"}
    assert len(pins[0].parts) == len(one.before)
    assert "Select again" in panel.prompter.text.text()
    assert press_u() == ()
    assert press_u() == pins
    run(panel, qtbot)
    after = labels(viewer)
    there = (merged == label) & (parts > 0) & (after > 0)
    assert len(np.unique(after[there])) > 1
    elsewhere = merged != label
    assert ((after > 0) == (merged > 0))[elsewhere].mean() > 0.999
    assert press_u() == ()


@pytest.mark.slow
def test_an_image_that_is_not_segmented_takes_no_pins(panel, qtbot):
    panel.prompt.click()
    click(panel, qtbot, 154, 188)
    panel.prompter.keep()
    assert "Segment the whole image first" in panel.prompter.text.text()
    assert panel.state.recipe.labels.pinned == ()
    panel.prompter.remove()
    assert "Segment the whole image first" in panel.prompter.text.text()


def test_of_a_large_view_the_surroundings_of_the_click_are_asked(panel, viewer):
    image = np.tile(squares(), (8, 8))
    viewer.add_image(image, name="large", scale=SCALE)
    viewer.reset_view()
    prompts = panel.run.whole.prompts
    part = prompts.source(world(1000, 803)).part
    assert part.shape == (128, 128)
    x0, y0, x1, y1 = part.box
    assert x0 + 32 <= 803 < x1 - 32
    assert y0 + 32 <= 1000 < y1 - 32
    assert prompts.source(world(1003, 801)) is prompts.source(world(1000, 803))
    assert prompts.source(world(1, 1)).part.box == (0, 0, 128, 128)
    place = prompts.source(world(1000, 803)).placement
    np.testing.assert_allclose(place.world_at(0, 0), world(y0, x0))
