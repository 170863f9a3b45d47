import threading
from types import SimpleNamespace

import numpy as np
import pytest
import stub_run
from napari.utils.notifications import notification_manager

from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.panel.sections.run import RunSection
from napari_graysam._napari.panel.sections.run_view import in_words
from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.results import clock
from napari_graysam._napari.results.run import ArmDone, Memory, RunProgress, run_arms, score_floors
from napari_graysam.errors import DeviceError, ImageError, ModelError
from napari_graysam.recipe import Recipe

ENHANCED = stub_run.START.with_values({"preprocess": "[{kind: gamma, gamma: 0.3}]"})


@pytest.fixture
def stub(monkeypatch):
    return stub_run.install(monkeypatch)


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def section(viewer, qtbot):
    state = PanelState(viewer, ENHANCED)
    section = RunSection(state)
    viewer.window.add_dock_widget(section.native, name="Run")
    state.layer = viewer.add_image(stub_run.squares(1, 0.9, 0.2), name="cells", scale=(2, 2))
    notification_manager.records.clear()
    yield section
    section.cancel()
    qtbot.waitUntil(lambda: not section.planes._worker.busy, timeout=60_000)


def said():
    return [record.message for record in notification_manager.records]


def wait(qtbot, section):
    qtbot.waitUntil(lambda: not section.state.running, timeout=60_000)


def lines(section):
    return {arm: label.text() for arm, label in section.native.results.items() if label.text()}


def test_both_arms_become_layers_and_lines(section, viewer, stub, qtbot):
    section.native.both.click()
    assert section.state.running
    wait(qtbot, section)
    assert [layer.name for layer in viewer.layers] == [
        "cells",
        "cells [raw]",
        "cells [preprocessed]",
    ]
    assert viewer.layers["cells [raw]"].data.max() == 2
    assert viewer.layers["cells [preprocessed]"].data.max() == 3
    assert "2 objects, 96.9% unmasked" in lines(section)["raw"]
    assert "3 objects" in lines(section)["preprocessed"]
    assert threading.main_thread() not in stub.threads
    assert said() == []


def test_the_arms_differ_in_preprocessing_only(section, stub, qtbot):
    section.run()
    wait(qtbot, section)
    raw, other = section.state.results["raw"].recipe, section.state.results["preprocessed"].recipe
    assert raw == other.raw_arm()
    assert [source for source, _, _ in stub.calls] == ["raw", "preprocessed"]


def test_one_arm_runs_alone(section, viewer, stub, qtbot):
    section.native.preprocessed.click()
    wait(qtbot, section)
    assert list(section.state.results) == ["preprocessed"]
    assert section.layers.layer("raw") is None


def test_buttons_follow_what_can_be_done(section, stub, qtbot):
    view = section.native
    starters = (view.both, view.raw, view.preprocessed)
    assert all(button.isEnabled() for button in starters)
    assert not view.cancel.isEnabled()
    stub.gate.clear()
    section.run()
    assert not any(button.isEnabled() for button in starters)
    assert view.cancel.isEnabled()
    section.run()  # A second run is not started.
    stub.gate.set()
    wait(qtbot, section)
    assert len(stub.calls) == 2
    assert view.bar.isHidden()
    section.state.layer = None
    assert not any(button.isEnabled() for button in starters)
    assert "Choose an image" in view.hint.text()


def test_progress_says_stage_count_and_time(section, stub, qtbot):
    stub.gate.clear()
    section.run(("raw",))
    qtbot.waitUntil(lambda: "32 of 64 points" in section.native.status.text(), timeout=60_000)
    assert section.native.status.text().startswith("Raw: finding masks")
    assert "s left" in section.native.status.text()
    assert (section.native.bar.value(), section.native.bar.maximum()) == (32, 64)
    stub.gate.set()
    wait(qtbot, section)


def test_progress_in_words():
    assert in_words(RunProgress("raw", "download", 34_000_000, 156_000_000, None)) == (
        "Raw: downloading the model, 34 of 156 MB"
    )
    words = in_words(RunProgress("raw", "decode", 512, 1024, 125.2)).replace("\xa0", " ")
    assert words == "Raw: finding masks, 512 of 1,024 points, 2 min 05 s left"
    assert in_words(RunProgress("preprocessed", "encode", 1, 5, None)) == (
        "Preprocessed: encoding the image, 2 of 5"
    )
    assert in_words(RunProgress("raw", "load", 0, 1, None)) == "Raw: loading the model"
    words = in_words(RunProgress("raw", "load", 0, 1, None, 12.4)).replace("\xa0", " ")
    assert words == "Raw: loading the model (took 12 s the last time)"


def test_cancel_stops_within_a_batch_and_keeps_the_finished_arm(section, viewer, stub, qtbot):
    section.run(("raw",))
    wait(qtbot, section)
    stub.gate.clear()
    section.run(("preprocessed",))
    qtbot.waitUntil(lambda: stub.batches == stub_run.BATCHES + 2, timeout=60_000)
    section.native.cancel.click()
    assert not section.native.cancel.isEnabled()
    stub.gate.set()
    wait(qtbot, section)
    assert stub.batches <= stub_run.BATCHES + 3
    assert list(section.state.results) == ["raw"]
    assert section.layers.layer("raw") is not None
    assert "Raw" in lines(section)["raw"]
    section.run(("preprocessed",))  # Nothing is left behind that hinders the next run.
    wait(qtbot, section)
    assert set(section.state.results) == {"raw", "preprocessed"}


@pytest.mark.parametrize(
    "error", [ImageError("the image is odd"), ModelError("no file"), DeviceError("memory is out")]
)
def test_an_expected_problem_is_one_sentence(section, stub, qtbot, error):
    stub.error = error
    section.run()
    wait(qtbot, section)
    assert said() == [str(error)]
    assert notification_manager.records[0].severity == "warning"


def test_an_unexpected_error_is_shown_as_napari_shows_errors(section, stub, qtbot, monkeypatch):
    seen = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *some: seen.append(some[1]))
    stub.error = RuntimeError("a bug")
    section.run()
    wait(qtbot, section)
    assert seen == [stub.error]
    stub.error = MemoryError()
    section.run()
    wait(qtbot, section)
    assert len(said()) == 1
    assert "memory does not suffice" in said()[0]


def test_what_the_generator_noted_is_shown(section, stub, qtbot):
    stub.notes.append("A batch of 64 points did not fit into memory; 32 were used.")
    section.run(("raw",))
    wait(qtbot, section)
    assert "32 were used" in lines(section)["raw"]


def test_a_removed_image_still_gets_its_result(section, viewer, stub, qtbot):
    stub.gate.clear()
    section.run(("raw",))
    qtbot.waitUntil(lambda: stub.batches == 2, timeout=60_000)
    viewer.layers.remove(viewer.layers["cells"])
    stub.gate.set()
    wait(qtbot, section)
    np.testing.assert_array_equal(viewer.layers["cells [raw]"].scale, (2, 2))
    assert any("was removed during the run" in text for text in said())


def test_changed_pixels_do_not_mix_into_a_run(section, viewer, stub, qtbot):
    stub.gate.clear()
    section.run(("raw",))
    qtbot.waitUntil(lambda: stub.batches == 2, timeout=60_000)
    viewer.layers["cells"].data = stub_run.squares(1, 1, 1, 1)
    stub.gate.set()
    wait(qtbot, section)
    assert len(section.state.results["raw"].masks) == 2
    assert any("has changed during the run" in text for text in said())


def test_a_closed_viewer_ends_the_run(make_napari_viewer, stub, qtbot):
    viewer = make_napari_viewer()
    section = RunSection(PanelState(viewer, ENHANCED))
    viewer.window.add_dock_widget(section.native, name="Run")
    section.state.layer = viewer.add_image(stub_run.squares(1))
    stub.gate.clear()
    section.run()
    worker = section.planes._worker._worker
    qtbot.waitUntil(lambda: stub.batches == 2, timeout=60_000)
    section.native.deleteLater()
    qtbot.waitUntil(lambda: worker.abort_requested, timeout=60_000)
    stub.gate.set()
    qtbot.waitUntil(lambda: not section.planes._worker.busy, timeout=60_000)
    assert section.state.results == {}
    section.state.recipe = Recipe()  # Nobody listens any more.


def test_a_region_limits_the_points(section, viewer, stub, qtbot):
    painted = np.zeros((64, 64), np.uint8)
    painted[:20, :20] = 1
    section.state.region = viewer.add_labels(painted, scale=(2, 2), name="here")
    section.run(("raw",))
    wait(qtbot, section)
    np.testing.assert_array_equal(stub.calls[0][1], painted == 1)
    result = section.state.results["raw"]
    assert result.unmasked == np.mean(result.labels[painted == 1] == 0) < 0.9
    section.state.region.data = painted * 0
    section.run(("raw",))
    wait(qtbot, section)
    assert len(stub.calls) == 1
    assert "no label painted" in said()[-1]


def test_the_buttons_name_what_would_be_segmented(section, viewer):
    what = section.native.what
    assert what.text() == "Segment <i>cells</i>:"
    section.state.layer = viewer.add_image(np.zeros((5, 64, 64)), name="a <deep> one")
    viewer.dims.set_point(0, 3)
    assert what.text() == "Segment <i>a &lt;deep&gt; one</i>:"
    scope = section.native.scope
    assert [scope.itemText(index) for index in range(scope.count())] == [
        "this plane (z 3)",
        "all 5 planes, as z-stack",
        "all 5 planes, as time series",
    ]
    section.state.layer = None
    assert what.isHidden()


def test_failures_and_cancelling_are_said_in_the_panel(section, stub, qtbot):
    heard = []
    section.state.said.connect(lambda text, warning: heard.append((text, warning)))
    stub.error = ModelError("there is no file this.pt")
    section.run(("raw",))
    wait(qtbot, section)
    assert heard[-1] == ("there is no file this.pt", True)
    stub.error = None
    stub.gate.clear()
    section.run(("raw",))
    qtbot.waitUntil(lambda: stub.batches == 2, timeout=60_000)
    section.cancel()
    stub.gate.set()
    wait(qtbot, section)
    assert heard[-1][0].startswith("Cancelled")


def test_without_an_image_a_run_says_what_to_do(section, stub):
    section.state.layer = None
    section.run()
    assert not section.state.running
    assert "No image is chosen" in said()[0]


def test_another_image_starts_afresh(section, viewer, stub, qtbot):
    section.run()
    wait(qtbot, section)
    section.state.layer = viewer.add_image(stub_run.squares(1), name="others")
    section.run(("raw",))
    wait(qtbot, section)
    assert list(section.state.results) == ["raw"]
    assert "cells [preprocessed]" in viewer.layers
    assert "others [raw]" in viewer.layers


def test_the_arms_are_toggled(section, viewer, stub, qtbot):
    section.toggle_arms()
    assert "run both arms" in said()[0]
    section.run()
    wait(qtbot, section)
    raw, other = section.layers.layer("raw"), section.layers.layer("preprocessed")
    assert (raw.visible, other.visible) == (False, True)
    section.toggle_arms()
    assert (raw.visible, other.visible) == (True, False)


def test_floors_leave_room_below_the_thresholds():
    recipe = Recipe().with_values(
        {"generator.pred_iou_thresh": 0.6, "generator.stability_score_thresh": 0.9}
    )
    assert score_floors(recipe) == (0, 0)
    dense = recipe.with_values({"generator.crop_n_layers": 2})
    assert score_floors(dense) == (0.3, 0.45)
    large = recipe.with_values({"model.frame": 2048})
    assert score_floors(large) == (0.3, 0.45)


def test_the_next_arm_begins_when_the_last_one_is_shown(stub, viewer, monkeypatch):
    monkeypatch.setattr("napari_graysam._napari.results.run.PATIENCE", 20.0)
    source = read_source(viewer, viewer.add_image(stub_run.squares(1, 1)), Recipe().image)
    steps = run_arms(source, ENHANCED, ["raw", "preprocessed"])
    done = next(event for event in steps if isinstance(event, ArmDone))
    later = []
    thread = threading.Thread(target=lambda: later.extend(steps))
    thread.start()
    thread.join(0.3)
    assert not later
    done.displayed.set()
    thread.join(10)
    assert [event.arm for event in later if isinstance(event, ArmDone)] == ["preprocessed"]


def test_the_next_run_is_given_what_the_last_one_left(section, stub, qtbot):
    for _ in range(2):
        section.run(("raw",))
        wait(qtbot, section)
    first, second = stub.caches
    assert first is second is not None


@pytest.mark.slow
def test_the_bundled_model_runs_cancels_and_never_blocks(section, viewer, qtbot):
    image = stub_run.squares(*np.linspace(0.4, 1, 25))
    section.state.layer = viewer.add_image(image, name="real")
    section.state.recipe = Recipe.preset("fluorescence-nuclei").with_values(
        {"generator.points_per_side": 64, "generator.points_per_batch": 16, "model.device": "cpu"}
    )
    section.run()
    qtbot.waitUntil(lambda: "raw" in section.state.results, timeout=120_000)
    qtbot.waitUntil(lambda: "finding masks" in section.native.status.text(), timeout=60_000)
    section.cancel()
    wait(qtbot, section)
    assert list(section.state.results) == ["raw"]
    section.run(("preprocessed",))
    qtbot.waitUntil(lambda: not section.state.running, timeout=120_000)
    layer = viewer.layers["real [preprocessed]"]
    assert len(layer.features) == len(section.state.results["preprocessed"].masks) > 0
    assert layer.metadata["napari-graysam"]["provenance"]["model"]["sha256"]
    before = len(layer.features)
    section.state.change({"generator.pred_iou_thresh": 0.99})
    qtbot.waitUntil(
        lambda: len(section.state.results["preprocessed"].masks) < before, timeout=60_000
    )
    assert section.live_update.outdated == {}
    assert said() == []


def test_look_again_asks_for_what_is_shown_with_a_second_look(section, stub, qtbot):
    from napari_graysam._napari.panel.sections.second_look import SecondLookSection

    again = SecondLookSection(section.state)
    assert again.look.enabled
    assert not again.fields["second_look.pred_iou_thresh"].enabled
    section.run(("raw",))
    assert not again.look.enabled
    wait(qtbot, section)
    again.look.native.click()
    assert section.state.recipe.second_look.rounds == 1
    assert again.fields["second_look.pred_iou_thresh"].enabled
    wait(qtbot, section)
    assert [source for source, _, _ in stub.calls] == ["raw", "raw"]
    assert section.state.results["raw"].recipe.second_look.enabled


def test_the_time_left_is_said_before_the_first_points_once_a_run_has_been(
    section, viewer, stub, qtbot
):
    def before_points(arms):
        source = read_source(viewer, section.state.layer, ENHANCED.image)
        events = list(run_arms(source, recipe, arms, memory=memory))
        return [
            event.left
            for event in events
            if isinstance(event, RunProgress) and event.arm == arms[0] and event.stage == "load"
        ]

    recipe, memory = ENHANCED, section.state.memory
    assert before_points(("raw",))[0] is None
    assert memory.pace.model == recipe.model
    memory.pace = memory.pace._replace(seconds=0.5)
    assert before_points(("raw",))[0] == 64 * 0.5
    memory.pace = memory.pace._replace(seconds=0.5)
    assert before_points(("raw", "preprocessed"))[0] == 2 * 64 * 0.5
    memory.pace = memory.pace._replace(seconds=0.5)
    recipe = recipe.with_values({"model.device": "cpu"})
    assert before_points(("raw",))[0] is None


def test_loading_is_measured_and_said_at_the_next_start(section, viewer, stub, monkeypatch):
    def said_of_loading(memory):
        source = read_source(viewer, section.state.layer, ENHANCED.image)
        events = run_arms(source, ENHANCED, ("raw",), memory=memory)
        progress = [event for event in events if isinstance(event, RunProgress)]
        assert {event.last for event in progress if event.stage != "load"} == {None}
        return progress[[event.stage for event in progress].index("load")].last

    seconds = iter(range(10**6))
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: float(next(seconds))))
    first = Memory()
    assert said_of_loading(first) is None
    ((name, took),) = first.loading.items()
    assert name == ENHANCED.model.name
    assert took >= 1
    assert said_of_loading(first) is None, "the model is in memory"
    later = Memory()
    later.loading = {name: 7.5}
    assert said_of_loading(later) == 7.5
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    quick = Memory()
    said_of_loading(quick)
    assert quick.loading == {}, "what takes no second is not worth a word"
