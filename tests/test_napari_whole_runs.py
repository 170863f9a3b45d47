"""Runs of whole images that are refused, cancelled early or repeated: what is there stays so."""

import dask.array as da
import fake_tiles
import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_graysam._napari.panel.widget import SegmentPanel
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe

RECIPE = Recipe().with_values(
    {
        "tiles.use": "always",
        "tiles.size": 192,
        "tiles.halo": 24,
        "generator.points_per_side": 48,
        "arms": "raw",
    }
)
IMAGE, _ = fake_tiles.picture((300, 400))
TILES = 6


@pytest.fixture
def model(monkeypatch):
    model = fake_tiles.Gate()
    fake_tiles.install(monkeypatch, model.steps)
    return model


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def panel(viewer, model, qtbot, tmp_path):
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, name="panel", area="right")
    panel.state.recipe = RECIPE
    data = [da.from_array(level, chunks=100) for level in (IMAGE, IMAGE[::2, ::2])]
    panel.state.layer = viewer.add_image(data, name="slide", multiscale=True)
    panel.state.extent.choose("whole")
    panel.run.whole.output.line.setText(str(tmp_path / "out"))
    panel.run.whole.output.line.editingFinished.emit()
    notification_manager.records.clear()
    yield panel
    model.open.set()
    panel.run.cancel()
    settle(qtbot, panel)


def settle(qtbot, panel):
    whole = panel.run.whole
    qtbot.waitUntil(
        lambda: not (panel.state.running or whole.busy or whole.saver.busy), timeout=60_000
    )


def press(panel, qtbot, button="both"):
    getattr(panel.run.native, button).click()
    settle(qtbot, panel)


def said():
    return [record.message for record in notification_manager.records]


def names(viewer):
    return [layer.name for layer in viewer.layers if layer.name != "slide"]


BOTH = {"arms": "preprocessed", "preprocess": [{"kind": "gamma", "gamma": 0.9}]}


def is_there(panel, viewer, *arms):
    """Whether all that can be done with results can be done with those of some arms."""
    saver = panel.run.whole.saver
    layers = [viewer.layers[f"slide [{arm}]"] for arm in arms]
    return [saver.why_not(one) for one in layers] == [""] * len(arms) and [
        *panel.run.whole.results.arms()
    ] == [*arms]


def test_a_run_that_is_refused_leaves_what_is_there(panel, viewer, qtbot):
    press(panel, qtbot)
    panel.state.change({"generator.points_per_side": 40})
    press(panel, qtbot)
    assert "Replace what is there" in said()[-1]
    assert names(viewer) == ["slide [raw] (outdated)"]
    panel.state.change({"generator.points_per_side": 48})
    assert names(viewer) == ["slide [raw]"]
    assert is_there(panel, viewer, "raw")
    panel.state.change({"labels.min_area": 150})
    assert panel.run.native.both.text() == "Select again"
    press(panel, qtbot)
    assert viewer.layers["slide [raw]"].features["area"].min() >= 150


def test_a_run_that_is_cancelled_before_its_tiles_leaves_what_is_there(
    panel, viewer, model, qtbot, monkeypatch
):
    press(panel, qtbot)

    def reading(*some, **options):
        while not model.open.wait(0.02):
            yield Progress("read", 1, 2)

    monkeypatch.setattr("napari_graysam.batch.tiles.prepare", reading)
    panel.state.change({"generator.points_per_side": 40})
    panel.run.whole.output.replace.setChecked(True)
    told = []
    panel.state.said.connect(lambda text, warning: told.append(text))
    panel.run.native.both.click()
    qtbot.wait(300)
    panel.run.native.cancel.click()
    settle(qtbot, panel)
    assert "as it was" in told[-1]
    panel.state.change({"generator.points_per_side": 48})
    assert names(viewer) == ["slide [raw]"]
    assert is_there(panel, viewer, "raw")


def test_other_preprocessing_leaves_the_raw_arm(panel, viewer, model, qtbot):
    panel.state.change(BOTH)
    press(panel, qtbot)
    assert is_there(panel, viewer, "raw", "preprocessed")
    panel.state.change({"preprocess": [{"kind": "gamma", "gamma": 0.8}]})
    assert names(viewer) == ["slide [raw]", "slide [preprocessed] (outdated)"]
    press(panel, qtbot)  # Both, of which one would be replaced.
    assert "Replace what is there" in said()[-1]
    assert model.tiles == 2 * TILES
    assert names(viewer) == ["slide [raw]", "slide [preprocessed] (outdated)"]
    panel.run.whole.output.replace.setChecked(True)
    press(panel, qtbot, "preprocessed")
    assert model.tiles == 3 * TILES
    assert is_there(panel, viewer, "raw", "preprocessed")


def test_new_layers_that_were_cancelled_still_use_the_tiles_that_are_there(
    panel, viewer, model, qtbot, monkeypatch
):
    panel.state.change(BOTH)
    press(panel, qtbot)
    before = {one: np.asarray(viewer.layers[one].data[0]) for one in names(viewer)}
    panel.run.native.new_layers.setChecked(True)
    panel.state.change({"labels.min_area": 150})

    def selecting(*some, **options):
        while not model.open.wait(0.02):
            yield Progress("seams", 1, 2)

    with monkeypatch.context() as patch:
        patch.setattr("napari_graysam.batch.tiles.assembled", selecting)
        panel.run.native.both.click()
        qtbot.waitUntil(lambda: "seams" in panel.run.native.status.text(), timeout=30_000)
        panel.run.native.cancel.click()
        settle(qtbot, panel)
    press(panel, qtbot)
    assert model.tiles == 2 * TILES
    assert sorted(names(viewer)) == sorted([*before, "slide [raw] 2", "slide [preprocessed] 2"])
    for name, labels in before.items():
        np.testing.assert_array_equal(np.asarray(viewer.layers[name].data[0]), labels)


def test_the_model_looks_at_the_image_as_it_is(panel, viewer):
    layer, prompts = viewer.layers["slide"], panel.run.whole.prompts

    def looked():
        return prompts.source((150, 200))

    first = looked()
    assert looked() is first
    layer.contrast_limits = (0, 99)
    second = looked()
    assert second is not first
    assert looked() is second
    panel.state.change({"image.window": {"kind": "explicit", "low": 0, "high": 200}})
    assert looked() is not second
    third = looked()
    layer.data = [da.from_array(255 - one, chunks=100) for one in (IMAGE, IMAGE[::2, ::2])]
    assert looked() is not third


def test_each_plane_of_a_stack_is_looked_at_once(panel, viewer):
    viewer.layers.clear()
    panel.state.layer = viewer.add_image(np.stack([IMAGE, IMAGE[::-1], IMAGE]), name="stack")
    prompts = panel.run.whole.prompts
    viewer.dims.set_point(0, 1)
    first = prompts.source((1, 150, 200))
    assert prompts.source((1, 150, 200)) is first
    viewer.dims.set_point(0, 2)
    other = prompts.source((2, 150, 200))
    assert other is not first
    np.testing.assert_array_equal(other.gray().raw, IMAGE[tuple(_box(other))])


def _box(source):
    x0, y0, x1, y1 = source.part.box
    return slice(y0, y1), slice(x0, x1)


@pytest.mark.slow
def test_an_object_of_another_level_is_not_pinned(panel, viewer, qtbot):
    press(panel, qtbot)
    tool = panel.prompter
    panel.state.change({"tiles.level": 1})
    panel.prompt.click()
    tool.ask_point((12.0, 12.0))
    qtbot.waitUntil(lambda: not tool._worker.busy, timeout=120_000)
    tool.keep()
    assert "segmented at level 0" in tool.text.text()
    assert panel.state.recipe.labels.pinned == ()
    panel.prompt.setChecked(False)


def test_other_contrast_limits_are_another_run(panel, viewer, model, qtbot):
    panel.state.change({"image.window": {"kind": "limits"}})
    viewer.layers["slide"].contrast_limits = (0, 255)
    press(panel, qtbot)
    labels = np.asarray(viewer.layers["slide [raw]"].data[0])
    assert labels.any()
    viewer.layers["slide"].contrast_limits = (0, 180)
    qtbot.waitUntil(lambda: names(viewer) == ["slide [raw] (outdated)"], timeout=10_000)
    assert "asks the model anew" in panel.run.native.stack.text()
    press(panel, qtbot)
    assert "Replace what is there" in said()[-1]
    assert model.tiles == TILES
    viewer.layers["slide"].contrast_limits = (0, 255)
    panel.run.whole.output.replace.setChecked(True)
    viewer.layers["slide"].contrast_limits = (0, 180)
    press(panel, qtbot)
    assert model.tiles == 2 * TILES
    assert names(viewer) == ["slide [raw]"]


def test_tiles_of_other_contrast_limits_are_not_gone_on_with(panel, viewer, model, qtbot):
    panel.state.change({"image.window": {"kind": "limits"}})
    viewer.layers["slide"].contrast_limits = (0, 255)
    model.stop_before = 2
    panel.run.native.both.click()
    qtbot.waitUntil(lambda: any("2 of 6" in one for one in names(viewer)), timeout=60_000)
    panel.run.native.cancel.click()
    settle(qtbot, panel)
    assert panel.run.native.both.text() == "Continue"
    viewer.layers["slide"].contrast_limits = (0, 180)
    qtbot.waitUntil(lambda: panel.run.native.both.text() != "Continue", timeout=10_000)


def test_another_window_is_another_run(panel, viewer, qtbot):
    press(panel, qtbot)
    assert names(viewer) == ["slide [raw]"]
    panel.state.change({"image.window": {"kind": "explicit", "low": 0, "high": 200}})
    assert names(viewer) == ["slide [raw] (outdated)"]
    press(panel, qtbot)
    assert "Replace what is there" in said()[-1]
