"""The dock's button that takes back a merge or a split, in a real viewer with the panel."""

from pathlib import Path

import pytest

from napari_graysam import read_image
from napari_graysam._napari.compare import CompareDock
from napari_graysam._napari.compare import dock as dock_module
from napari_graysam._napari.panel.sections.image import ImageSection
from napari_graysam._napari.panel.widget import SegmentPanel
from napari_graysam.recipe import Recipe

SAMPLES = Path(__file__).parents[1] / "sample_data"
SIDE = 160
LOOSE = {
    "generator.points_per_side": 5,
    "generator.pred_iou_thresh": 0.0,
    "generator.stability_score_thresh": 0.0,
    "labels.suppression": "mask_iou",
    "labels.suppression_thresh": 0.5,
    "model.device": "cpu",
    "preprocess": "[{kind: gamma, gamma: 0.7}]",
}


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def opened(viewer, qtbot, monkeypatch):
    """Segment both arms in the panel and compare them in the dock."""
    monkeypatch.setattr(dock_module, "_SETTLE", 20)
    image = read_image(SAMPLES / "nuclei_uneven.tif").raw[:SIDE, :SIDE]
    panel = SegmentPanel(viewer, sections=(ImageSection,))
    viewer.window.add_dock_widget(panel, name="panel", area="right")
    panel.state.layer = viewer.add_image(image, name="nuclei")
    panel.state.recipe = Recipe().with_values(LOOSE)
    panel.run.run()
    qtbot.waitUntil(lambda: set(panel.state.results) == {"raw", "preprocessed"}, timeout=120_000)
    settle(panel, qtbot)
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, name="compare", area="right")
    qtbot.waitUntil(lambda: dock.outcome is not None, timeout=120_000)
    yield dock, panel
    settle(panel, qtbot)
    viewer.window.remove_dock_widget(dock)
    if panel in viewer.window.dock_widgets.values():
        viewer.window.remove_dock_widget(panel)


def settle(panel, qtbot):
    run = panel.run
    workers = (
        *(run.planes._worker, run.layers.queue),
        *(run.live_update._selecting, run.live_update._measuring),
    )
    qtbot.waitUntil(
        lambda: not panel.state.running and not any(worker.busy for worker in workers),
        timeout=120_000,
    )


def rows(dock):
    events = dock.view.table.events
    return [events.row(at) for at in range(events.rowCount())]


def change(dock, qtbot, act):
    """Do something, and wait until other masks are compared."""
    before = dock.outcome
    act()
    qtbot.waitUntil(lambda: dock.outcome not in (before, None), timeout=60_000)


def choose(dock, said):
    """Select the first row that says so, and return it."""
    at = next(at for at, row in enumerate(rows(dock)) if row.regrouped.startswith(said))
    dock.view.table.selectRow(at)
    return rows(dock)[at]


@pytest.mark.parametrize(
    ("option", "said", "kind"), [("merge", "merged", "apart"), ("split", "split", "whole")]
)
def test_a_press_pins_it_as_before_and_another_takes_the_pin_back(
    opened, qtbot, option, said, kind
):
    dock, panel = opened
    recipe = panel.state.recipe.with_values({f"labels.merging.{option}": 1.0})
    change(dock, qtbot, lambda: setattr(panel.state, "recipe", recipe))
    at_first = [row.regrouped for row in rows(dock)]
    button = dock.view.undo
    row = choose(dock, said)
    assert (button.isEnabled(), button.text()) == (True, "Undo")
    why = f"{said.capitalize()}, evidence "
    qtbot.waitUntil(lambda: dock.view.status.text().startswith(why), timeout=60_000)
    assert "edge " in dock.view.status.text()
    change(dock, qtbot, button.click)
    pins = panel.state.recipe.labels.pinned
    assert {pin.kind for pin in pins} == {kind}
    arms = {arm for arm, labels in row.labels.items() if labels}
    assert 1 <= len(pins) <= len(arms)
    selected = dock.view.table.selected
    assert selected.regrouped.startswith(f"pinned {kind}")
    assert (button.isEnabled(), button.text()) == (True, "Unpin")
    qtbot.waitUntil(lambda: dock.view.status.text() == f"Pinned {kind}.", timeout=60_000)
    change(dock, qtbot, button.click)
    assert panel.state.recipe.labels.pinned == ()
    assert [row.regrouped for row in rows(dock)] == at_first
    assert dock.view.table.selected.regrouped.startswith(said)


def test_without_a_merge_or_without_the_panel_there_is_nothing_to_press(opened, viewer, qtbot):
    dock, panel = opened
    dock.view.table.selectRow(0)
    assert rows(dock)[0].regrouped == ""
    assert not dock.view.undo.isEnabled()
    recipe = panel.state.recipe.with_values({"labels.merging.merge": 1.0})
    change(dock, qtbot, lambda: setattr(panel.state, "recipe", recipe))
    settle(panel, qtbot)
    choose(dock, "merged")
    assert dock.view.undo.isEnabled()
    viewer.window.remove_dock_widget(panel)
    dock.view.table.clearSelection()
    dock.view.table.setCurrentIndex(dock.view.table.model().index(-1, -1))
    choose(dock, "merged")
    assert not dock.view.undo.isEnabled()
    assert "panel" in dock.view.undo.toolTip()
