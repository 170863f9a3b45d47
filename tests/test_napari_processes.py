"""Whole images in tiles from the panel, by several processes, with the bundled model."""

import os

import numpy as np
import psutil
import pytest

from napari_graysam._napari.large.run import Team
from napari_graysam._napari.panel.sections.run import RunSection
from napari_graysam._napari.panel.state import PanelState
from napari_graysam.recipe import Recipe

RECIPE = Recipe().with_values({
    "tiles.use": "always", "tiles.size": 128, "tiles.halo": 24, "generator.points_per_side": 6,
    "generator.pred_iou_thresh": 0.5, "generator.stability_score_thresh": 0.5, "arms": "raw",
})  # fmt: skip
TILES = 9


def squares():
    random = np.random.default_rng(1)
    image = random.normal(30, 4, (260, 270))
    for y in range(10, 250, 34):
        for x in range(10, 250, 34):
            image[y : y + 16, x : x + 16] += 120
    return np.clip(image, 0, 255).astype(np.uint8)


def workers():
    """Return the processes that Dask has started for work."""
    found = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            text = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if "spawn_main" in text and "resource_tracker" not in text:
            found.append(child)
    return found


def settle(qtbot, section):
    qtbot.waitUntil(lambda: not (section.state.running or section.whole.busy), timeout=120_000)


@pytest.fixture
def make(make_napari_viewer_proxy, qtbot, tmp_path):
    viewer = make_napari_viewer_proxy()
    made = []

    def one():
        section = RunSection(PanelState(viewer, RECIPE))
        viewer.window.add_dock_widget(section.native, name="Run")
        section.state.layer = viewer.add_image(squares(), name="slide")
        section.state.extent.choose("whole")
        section.whole.output.line.setText(str(tmp_path / "out"))
        section.whole.output.line.editingFinished.emit()
        made.append(section)
        return section

    yield one
    for section in (one for one in made if one.whole.open):
        section.cancel()
        settle(qtbot, section)


def test_processes_are_offered_for_whole_images_alone(make):
    section = make()
    output = section.whole.output
    assert output.processes.isVisibleTo(section.native)
    assert output.team == Team(1, None)
    output.processes.setValue(3)
    assert output.team == Team(3, None)
    output.scheduler.setText("tcp://host:8786")
    assert output.team == Team(1, "tcp://host:8786")
    assert not output.processes.isEnabled()
    section.state.extent.choose("view")
    assert not output.processes.isVisibleTo(section.native)


def test_a_scheduler_that_is_not_there_is_said(make, qtbot):
    section = make()
    said = []
    section.state.said.connect(lambda text, warning: said.append(text))
    section.whole.output.scheduler.setText("host")
    section.native.both.click()
    settle(qtbot, section)
    assert "no address of a Dask scheduler" in said[-1]


@pytest.mark.slow
def test_processes_work_are_cancelled_and_go_on(make, qtbot):
    section = make()
    out = section.whole.output
    section.state.change({"generator.points_per_side": 32})  # So that tiles take their time.
    out.processes.setValue(2)
    section.native.both.click()
    assert not out.processes.isEnabled()

    def some_are_done():
        job = section.whole.jobs.shown
        return 0 < job.left.get("raw", 0) < TILES

    qtbot.waitUntil(some_are_done, timeout=120_000)
    assert len(workers()) == 2
    section.native.cancel.click()
    settle(qtbot, section)
    qtbot.waitUntil(lambda: not workers(), timeout=20_000)
    assert section.native.both.text() == "Continue"
    assert 0 < section.whole.jobs.shown.left["raw"] < TILES
    section.native.both.click()
    settle(qtbot, section)
    assert section.whole.jobs.shown.objects["raw"] >= 20
    qtbot.waitUntil(lambda: not workers(), timeout=20_000)


@pytest.mark.slow
def test_workers_end_with_the_panel(make, qtbot):
    section = make()
    section.whole.output.processes.setValue(2)
    section.native.both.click()
    qtbot.waitUntil(lambda: len(workers()) == 2, timeout=120_000)
    section.native.deleteLater()
    qtbot.waitUntil(lambda: not (section.whole.busy or workers()), timeout=60_000)
