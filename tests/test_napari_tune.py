"""The dock that searches the recipe that fits what the user knows."""

from threading import Event

import fake_sections
import numpy as np
import pytest
import stub_run

from napari_graysam import tune
from napari_graysam._napari.panel.sections.image import ImageSection
from napari_graysam._napari.panel.widget import SegmentPanel
from napari_graysam._napari.tune import TuneDock, view
from napari_graysam._napari.tune.compute import Step
from napari_graysam._napari.tune.dock import PANEL
from napari_graysam._napari.tune.view import in_words
from napari_graysam._napari.tune.words import METRICS

FIRST, SECOND, FAINT = (8, 8), (8, 20), (8, 32)
"""A pixel inside each square: row and column."""
EMPTY = (50, 50)
PLACE = {"scale": (2, 2), "translate": (10, 20)}
GRID = {
    "suppression": (("containment", 0.45), ("mask_iou", 0.6)),
    "labels.min_area": (0, 12, 100),
    "generator.pred_iou_thresh": (0.1, 0.3, 0.5, 0.7),
}


def truth():
    """Labels of two bright squares and of a faint one, which the recipe's threshold drops."""
    return stub_run.squares(1, 0.8, 0.4).astype(int) // 60


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(stub_run.squares(1, 0.8, 0.4), name="cells", **PLACE)
    return viewer


@pytest.fixture
def opened(viewer, qtbot, monkeypatch):
    """Open panel and dock over the model of squares and a small grid of settings."""
    load = stub_run.load_steps(stub_run.squares_model())
    monkeypatch.setattr("napari_graysam.model.load_steps", load)
    monkeypatch.setattr(tune.tuner, "default_grid", lambda recipe: dict(GRID))
    panel = SegmentPanel(viewer, sections=(ImageSection,), run=fake_sections.Run)
    viewer.window.add_dock_widget(panel, name="panel", area="right")
    panel.state.layer = viewer.layers["cells"]
    panel.state.recipe = stub_run.START.with_values({"labels.min_area": 12})
    dock = TuneDock(viewer)
    viewer.window.add_dock_widget(dock, name="tune", area="right")
    yield dock, panel.state
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    if panel in viewer.window.dock_widgets.values():
        viewer.window.remove_dock_widget(panel)


def search(dock, qtbot):
    dock.view.search.click()
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)


def labels(viewer, data=None, **options):
    data = truth() if data is None else data
    return viewer.add_labels(data, name="truth", **{**PLACE, **options})


def test_labels_change_the_recipe_when_applied_and_undo_brings_it_back(opened, viewer, qtbot):
    dock, state = opened
    dock.view.labels.layer = labels(viewer)
    before = state.recipe
    search(dock, qtbot)
    assert dock.view.result.text().startswith("ap50 0.67 → 1.00: predicted IoU threshold 0.3")
    assert state.recipe == before
    dock.view.apply.click()
    assert state.recipe.generator.pred_iou_thresh == 0.3
    assert state.recipe == before.with_values({"generator.pred_iou_thresh": 0.3})
    assert state.before == before


def test_the_table_ranks_scores_and_marks_the_own_and_the_proposed(opened, viewer, qtbot):
    dock, state = opened
    dock.view.labels.layer = labels(viewer)
    search(dock, qtbot)
    table = dock.view.table
    rows = [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]
    scores = [float(row[1]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert [row[2] for row in rows if row[2]] == ["proposed", "own"]
    assert sum(int(row[3]) for row in rows) == 3 * 3 * 4
    assert table.rank.chosen
    own = next(at for at, row in enumerate(rows) if row[2] == "own")
    table.selectRow(own)
    before = state.recipe
    dock.view.apply.click()
    assert state.recipe == before


def test_clicks_are_read_where_they_lie_in_the_world(opened, viewer, qtbot):
    dock, state = opened
    # Moved by a row and in pixels of half the size.
    place = {"scale": (1, 1), "translate": (8, 20)}
    spots = 2 * np.array([FIRST, SECOND, FAINT]) + (2, 0)
    dock.view.clicks["objects"].layer = viewer.add_points(spots, name="objects", **place)
    dock.view.clicks["nothing"].layer = viewer.add_points([EMPTY], name="nothing", **PLACE)
    pair = viewer.add_points([(5, 16), (10, 23)], name="same", **PLACE)
    dock.view.clicks["same"].layer = pair
    assert not dock.view.metric.isEnabled()
    search(dock, qtbot)
    assert dock.view.message.text == ""
    known = dock.found.request.known
    assert known.objects == tuple((x + 0.5, y + 0.5) for y, x in (FIRST, SECOND, FAINT))
    assert known.same == (((16.5, 5.5), (23.5, 10.5)),)
    assert dock.view.result.text().startswith("right clicks 0.80 → 1.00")
    dock.view.apply.click()
    assert state.recipe.generator.pred_iou_thresh == 0.3


def test_painted_objects_alone_do_not_count_the_others_as_false(opened, viewer, qtbot):
    dock, _ = opened
    some = np.where(truth() == truth()[FAINT], 1, 0)
    dock.view.labels.layer = labels(viewer, some)
    search(dock, qtbot)
    assert "→ 0.33" in dock.view.result.text()
    dock.view.partial.setChecked(True)
    search(dock, qtbot)
    assert "ap50 0.00 → 1.00" in dock.view.result.text()


def test_only_objects_in_the_panels_region_count(opened, viewer, qtbot):
    dock, state = opened
    dock.view.labels.layer = labels(viewer)
    corners = [[0, 0], [0, 25], [25, 25], [25, 0]]
    state.region = viewer.add_shapes([corners], name="here", **PLACE)
    assert "within “here”" in dock.view.what.text()
    search(dock, qtbot)
    assert "ap50 1.00: the recipe stays as it is" in dock.view.result.text()
    assert state.recipe.image.region is None
    assert dock.found.recipe(dock.found.tuning.choice.index) == state.recipe


def test_a_plane_of_a_stack_is_searched_with_its_own_labels_and_clicks(opened, viewer, qtbot):
    dock, state = opened
    empty = np.zeros((64, 64), np.uint8)
    stack = np.stack([empty, stub_run.squares(1, 0.8, 0.4)])
    state.layer = viewer.add_image(stack, name="stack")
    viewer.dims.set_current_step(0, 1)
    planes = np.stack([np.eye(64, dtype=int), truth()])
    dock.view.labels.layer = viewer.add_labels(planes, name="planes")
    clicks = [(0, *EMPTY), (1, *FAINT)]
    dock.view.clicks["objects"].layer = viewer.add_points(clicks, name="objects")
    search(dock, qtbot)
    assert dock.view.message.text == ""
    assert dock.found.request.known.objects == ((32.5, 8.5),)
    assert "→ 1.00" in dock.view.result.text()
    dock.view.apply.click()
    assert state.recipe.image.plane is None


def test_cancel_keeps_the_best_so_far(opened, viewer, qtbot, monkeypatch):
    dock, state = opened
    dock.view.labels.layer = labels(viewer)
    reached, go = Event(), Event()
    tried = []
    whole = tune.tuner._try

    def slow(tuning, objectives, every, index, exact):
        tried.append(index)
        if len(tried) == 12:
            reached.set()
            assert go.wait(60)
        whole(tuning, objectives, every, index, exact)

    monkeypatch.setattr(tune.tuner, "_try", slow)
    monkeypatch.setattr(tune.tuner, "_REPORT_EVERY", 1)
    dock.view.search.click()
    assert not dock.view.search.isEnabled()
    qtbot.waitUntil(reached.is_set, timeout=60_000)
    dock.view.cancel.click()
    go.set()
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    assert len(tried) < 24
    assert dock.view.result.text().startswith("Cancelled; the best so far: ap50")
    assert len(dock.found.tuning.tried) == len(tried)
    dock.view.tabs.setCurrentWidget(dock.view.plots)
    qtbot.waitUntil(lambda: dock.view.plots.canvas is not None)
    assert "variance" not in dock.view.plots.canvas.figure.axes[0].get_title()
    dock.view.apply.click()
    assert state.recipe == dock.found.recipe(dock.view.table.rank.setting)
    assert dock.view.search.isEnabled()


def test_cancelling_before_anything_was_tried_changes_nothing(opened, viewer, qtbot):
    dock, state = opened
    dock.view.labels.layer = labels(viewer)
    before = state.recipe
    dock.view.search.click()
    dock.view.cancel.click()
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    assert "cancelled before anything was tried" in dock.view.message.text
    assert dock.found is None
    assert state.recipe == before


def test_plots_mark_the_own_value_and_name_the_importance(opened, viewer, qtbot):
    dock, _ = opened
    dock.view.labels.layer = labels(viewer)
    search(dock, qtbot)
    dock.view.tabs.setCurrentWidget(dock.view.plots)
    qtbot.waitUntil(lambda: dock.view.plots.canvas is not None)
    axes = dock.view.plots.canvas.figure.axes
    titles = [axis.get_title().split("\n") for axis in axes[:3]]
    assert [title[0] for title in titles] == ["suppression", "min_area", "pred_iou_thresh"]
    shares = [float(title[1].split("%")[0]) for title in titles]
    assert shares[0] == 0
    assert 0 < sum(shares) <= 100
    own = next(line for line in axes[2].lines if line.get_label() == "own")
    assert own.get_xdata()[0] == GRID["generator.pred_iou_thresh"].index(0.5)


def test_the_best_results_that_differ_beside_each_other_and_back(opened, viewer, qtbot):
    dock, state = opened
    dock.view.labels.layer = labels(viewer)
    search(dock, qtbot)
    before = [(layer.name, layer.visible) for layer in viewer.layers]
    dock.view.count.setValue(3)
    dock.view.grid.click()
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    shown = dock.gallery.layers
    assert shown[0].name == "1: ap50 1.000, proposed"
    assert [layer.data.max() for layer in shown] == [3, 2, 0]
    assert all(np.allclose(layer.scale, 2) for layer in shown)
    cells = [
        [viewer.layers[index].name for index in indices]
        for _, indices in viewer.canvas.grid.iter_viewboxes(viewer.layers)
        if len(indices)
    ]
    assert viewer.canvas.grid.enabled
    assert state.layer.name == "cells"
    copies = ["cells", "cells (cell 2)", "cells (cell 3)"]
    pairs = [[copy, layer.name] for copy, layer in zip(copies, shown, strict=True)]
    assert [cell for cell in cells if cell[0] in copies] == pairs
    dock.view.grid.click()
    assert [(layer.name, layer.visible) for layer in viewer.layers] == before
    assert not viewer.canvas.grid.enabled


def one_shape(viewer):
    return labels(viewer, truth()[:32])


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda viewer: {}, "Choose what you know of the image"),
        (lambda viewer: {"labels": one_shape(viewer)}, "“truth” has 32 × 64 pixels, “cells” has"),
        (lambda viewer: {"labels": labels(viewer, 0 * truth())}, "The ground truth has no object"),
        (lambda viewer: {"labels": labels(viewer, scale=(1, 1))}, "does not lie on “cells”"),
        (lambda viewer: {"objects": viewer.add_points(ndim=2)}, "Nothing is known of the image"),
        (
            lambda viewer: {
                "objects": viewer.add_points([FIRST], **PLACE),
                "nothing": viewer.add_points([FIRST], **PLACE),
            },
            "X 8, y 8 is clicked as an object and as none",
        ),
        (
            lambda viewer: {
                "labels": labels(viewer),
                "nothing": viewer.add_points([FIRST], **PLACE),
            },
            "says that there is no object, but label",
        ),
        (
            lambda viewer: {"same": viewer.add_points([FIRST, SECOND, FAINT], name="pairs")},
            "“pairs” has 3 points, an odd number",
        ),
        (
            lambda viewer: {"objects": viewer.add_points([(100, 8)], **PLACE)},
            "The click at x 8.5, y 100.5 lies outside",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_the_dock(opened, viewer, qtbot, give, words):
    dock, _ = opened
    given = give(viewer)
    dock.view.labels.layer = given.pop("labels", None)
    for kind, layer in given.items():
        dock.view.clicks[kind].layer = layer
    search(dock, qtbot)
    assert words in dock.view.message.text
    assert dock.found is None
    assert dock.view.search.isEnabled()


def test_without_an_image_or_a_panel_the_dock_says_what_to_do(opened, viewer, qtbot):
    dock, state = opened
    dock.view.labels.layer = labels(viewer)
    assert "“cells”" in dock.view.what.text()
    state.layer = None
    assert "Choose an image in the panel" in dock.view.what.text()
    search(dock, qtbot)
    assert "No image is chosen" in dock.view.message.text
    viewer.window.remove_dock_widget(viewer.window.dock_widgets["panel"])
    search(dock, qtbot)
    assert "open it first" in dock.view.message.text
    assert dock.view.open_panel.isVisible()


def test_preprocessing_is_searched_within_its_time(opened, viewer, qtbot):
    dock, state = opened
    dock.view.labels.layer = labels(viewer)
    dock.view.chains.setChecked(True)
    dock.view.seconds.setMinimum(0)
    dock.view.seconds.setValue(1)
    search(dock, qtbot)
    assert dock.view.message.text == ""
    assert dock.found.trials >= 1
    assert "→ 1.00" in dock.view.result.text()
    dock.view.apply.click()
    assert state.recipe.image.window == stub_run.START.image.window


def test_without_optuna_preprocessing_cannot_be_chosen(viewer, monkeypatch, qtbot):
    monkeypatch.setattr(view, "find_spec", lambda name: None)
    dock = TuneDock(viewer)
    qtbot.addWidget(dock)
    assert not dock.view.chains.isEnabled()
    assert "pip install" in dock.view.chains.toolTip()


def test_the_panel_opens_the_dock_and_a_ground_truth_is_chosen(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-graysam", "faint")
    _, panel = viewer.window.add_plugin_dock_widget("napari-graysam", PANEL)
    panel.next.tune.click()
    docks = viewer.window.dock_widgets.values()
    dock = next(one for one in docks if isinstance(one, TuneDock))
    assert dock.view.labels.layer.metadata["napari-graysam"]["ground_truth"]


def test_every_metric_can_be_chosen():
    assert tuple(METRICS) == tune.METRICS


def test_progress_in_words():
    assert in_words(Step("search", 1200, 6000, 12.0)) == (
        "Trying settings, 1,200 of 6,000, 12\N{NO-BREAK SPACE}s left"
    )
    assert in_words(Step("trial 3", 20, 300, 280.0)) == (
        "Trial 3, 4\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}40\N{NO-BREAK SPACE}s left"
    )
