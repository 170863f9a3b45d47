"""Runs of whole images that are refused, cancelled early or repeated: what is there stays so."""

import threading

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


class Model:
    """The tiles' model, which waits before a tile where a test asks for it."""

    def __init__(self):
        self.tiles, self.stop_before, self.open = 0, None, threading.Event()

    def steps(self, *some, **options):
        if self.tiles == self.stop_before:
            while not self.open.wait(0.02):
                yield Progress("decode", 1, 2)
        self.tiles += 1
        return (yield from fake_tiles.segment_steps(*some, **options))


@pytest.fixture
def model(monkeypatch):
    model = Model()
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
