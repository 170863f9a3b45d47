"""One computation at a time, and none that blocks the next."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from pytestqt.exceptions import capture_exceptions
from qtpy.QtCore import QTimer

from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.results.run import ArmDone, run_arms
from napari_graysam._napari.threads import heavy_imports
from napari_graysam._napari.threads.collection import full_collections_put_off
from napari_graysam._napari.threads.gui_queue import GuiQueue
from napari_graysam._napari.threads.latest_request import PATIENCE, LatestRequest
from napari_graysam.recipe import ImageOptions, Recipe

LINUX = sys.platform == "linux"
"""Where each thread has a priority of its own."""


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_an_error_is_raised_in_the_gui_thread_and_the_worker_goes_on(
    qtbot: Any, kind: type[Exception]
) -> None:
    shown: list[int] = []
    worker = LatestRequest(shown.append)

    def broken() -> Generator[int, None, None]:
        yield 1
        raise kind("broken")

    def fine() -> Generator[int, None, None]:
        yield 2

    with capture_exceptions() as raised:
        worker.submit(broken)
        qtbot.waitUntil(lambda: not worker.busy)
        assert [error for error, _, _ in raised] == [kind]
        raised.clear()
    worker.submit(fine)
    qtbot.waitUntil(lambda: not worker.busy)
    assert shown == [1, 2]


def test_a_stopped_computation_lets_go_of_what_it_holds(qtbot: Any) -> None:
    ended: list[str] = []
    worker = LatestRequest(lambda _: worker.cancel())

    def endless() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            ended.append("here")

    worker.submit(endless)
    qtbot.waitUntil(lambda: not worker.busy, timeout=20_000)
    assert ended == ["here"]


def test_a_long_step_is_stopped_and_its_result_dropped(qtbot: Any) -> None:
    shown: list[str] = []
    gates = {name: threading.Event() for name in ("old", "middle", "new")}
    worker = LatestRequest(shown.append, parallel=1)

    def long(name: str) -> Generator[str | None, None, None]:
        yield None
        assert gates[name].wait(20)
        yield name

    worker.submit(partial(long, "old"))
    for name in ("dropped", "middle"):
        gates.setdefault(name, threading.Event())
        worker.submit(partial(long, name))
    gates["middle"].set()
    qtbot.waitUntil(lambda: shown == ["middle"], timeout=20_000)
    assert not worker.busy
    gates["new"].set()
    worker.submit(partial(long, "new"))
    qtbot.waitUntil(lambda: not worker.busy, timeout=20_000)
    gates["old"].set()
    qtbot.waitUntil(lambda: not worker._stopped, timeout=20_000)
    assert shown == ["middle", "new"]


def test_no_more_than_one_is_stopped_at_a_time(qtbot: Any) -> None:
    running: list[int] = []
    shown: list[int] = []
    gate = threading.Event()
    worker = LatestRequest(shown.append, parallel=1)

    def long(number: int) -> Generator[int, None, None]:
        running.append(number)
        assert gate.wait(20)
        yield number

    for number in range(5):
        worker.submit(partial(long, number))
        qtbot.wait(2 * PATIENCE if number < 2 else 1)
    assert running == [0, 1]
    gate.set()
    qtbot.waitUntil(lambda: not worker.busy, timeout=20_000)
    assert running == [0, 1, 4]
    assert shown[-1] == 4


def test_tasks_come_one_at_a_time_and_in_order(qtbot: Any) -> None:
    done: list[Any] = []
    between = QTimer(interval=0)
    between.timeout.connect(lambda: done.append(None))
    between.start()
    queue = GuiQueue()
    queue.add(lambda: done.append(1), lambda: done.append(2))
    queue.add(lambda: queue.add(lambda: done.append(3)))
    assert queue.busy
    assert done == []
    qtbot.waitUntil(lambda: not queue.busy)
    between.stop()
    assert [one for one in done if one] == [1, 2, 3]
    assert None in done[done.index(1) : done.index(2)]
    queue.add(lambda: done.append(4))
    queue.finish()
    assert done[-1] == 4


def test_an_error_goes_to_whoever_asked_for_it(qtbot: Any) -> None:
    errors: list[Exception] = []
    worker = LatestRequest(print, on_error=errors.append)
    broken = RuntimeError("broken")

    def steps() -> Generator[int, None, None]:
        raise broken
        yield 1

    worker.submit(steps)
    qtbot.waitUntil(lambda: not worker.busy)
    assert errors == [broken]


def test_warnings_of_libraries_are_not_shown_to_the_user(qtbot: Any) -> None:
    notification_manager.records.clear()

    def steps() -> Generator[None, None, None]:
        warnings.warn("of a library", UserWarning, stacklevel=1)
        yield None

    worker = LatestRequest(print)
    worker.submit(steps)
    qtbot.waitUntil(lambda: not worker.busy)
    assert list(notification_manager.records) == []


def test_a_run_leaves_the_process_as_it_was(
    make_napari_viewer_proxy: Any, qtbot: Any, monkeypatch: Any
) -> None:
    """Collector, switch interval, warning filters and priorities belong to the host."""
    heavy_imports.load()  # PyTorch itself adds filters when it is imported.
    seen: list[Any] = []

    def host() -> tuple[Any, ...]:
        here = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) if LINUX else 0
        # Full collections alone are put off while a run goes on.
        young = gc.get_threshold()[:2]
        return young, gc.get_freeze_count(), sys.getswitchinterval(), here

    def watch(image: Any, steps: Any) -> Any:
        seen.append((host(), [one for one in warnings.filters if one[0] == "ignore"]))
        return image

    monkeypatch.setattr("napari_graysam.pipeline.view.apply", watch)
    ignored = [one for one in warnings.filters if one[0] == "ignore"]
    viewer = make_napari_viewer_proxy()
    source = read_source(viewer, viewer.add_image(np.eye(64)), ImageOptions())
    recipe = Recipe.preset("raw").with_values({"generator.points_per_side": 2})
    before, done, thresholds = host(), [], gc.get_threshold()
    worker = LatestRequest(done.append)
    worker.submit(partial(run_arms, source, recipe, ["preprocessed"]))
    qtbot.waitUntil(lambda: not worker.busy, timeout=60_000)
    assert isinstance(done[-1], ArmDone)
    assert [state for state, _ in seen] == [before]
    assert [filters for _, filters in seen] == [ignored]
    worker.submit(lambda: (one for one in [host()]))
    qtbot.waitUntil(lambda: not worker.busy)
    assert done[-1] == before == host()
    assert gc.get_threshold() == thresholds


def test_full_collections_are_put_off_until_the_last_run_has_ended() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    one, other = full_collections_put_off(), full_collections_put_off()
    one.__enter__()
    other.__enter__()
    assert gc.get_threshold()[:2] == before[:2]
    one.__exit__(None, None, None)
    assert gc.get_threshold()[2] > 10**6
    other.__exit__(None, None, None)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, frozen)


OPEN_PANEL = """
import os, sys, threading, time
import napari
import numpy as np
from napari_graysam._napari.threads import heavy_imports
from qtpy.QtWidgets import QApplication

threads = {}

class Watch:
    def find_spec(self, name, path=None, target=None):
        threads.setdefault(name, threading.current_thread())

sys.meta_path.insert(0, Watch())
viewer = napari.Viewer()
# Of a large image, the panel says how many tiles it has.
viewer.add_image([np.zeros((8192, 8192), np.uint8), np.zeros((4096, 4096), np.uint8)])
viewer.window.add_plugin_dock_widget("napari-graysam", "Segment everything (SAM 2)")
assert "torch" not in sys.modules, "imported before the window is up"
end = time.monotonic() + 120
while heavy_imports._background is None or heavy_imports._background.is_alive():
    assert time.monotonic() < end
    QApplication.processEvents()
    time.sleep(0.005)
assert set(heavy_imports.HEAVY) <= set(sys.modules)
main = threading.main_thread()
print([name for name in heavy_imports.HEAVY if threads.get(name) is main])
assert "torch._dynamo" not in sys.modules, "its LLVM can clash with that of the display's driver"
sys.stdout.flush()
os._exit(0)
"""


def test_an_opened_panel_imports_pytorch_in_the_background_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN_PANEL], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


CLOSED_WHILE_RUNNING = """
import time
import napari
from napari_graysam._napari.threads.latest_request import LatestRequest

def steps():
    try:
        while True:
            time.sleep(0.5)
            yield 1
    finally:
        print("ended")

viewer = napari.Viewer(show=False)
LatestRequest(print).submit(steps)
time.sleep(0.1)
viewer.close()
"""


def test_a_program_without_an_event_loop_ends_with_its_computations_stopped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_WHILE_RUNNING], capture_output=True, text=True, timeout=180
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "ended"


def test_a_worker_waits_for_imports_that_another_thread_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    names: list[str] = []

    def slow(name: str) -> None:
        names.append(name)
        begun.set()
        go_on.wait(10)
        monkeypatch.setitem(sys.modules, name, sys)

    monkeypatch.setattr(heavy_imports, "HEAVY", ("not_there_yet",))
    monkeypatch.setattr(heavy_imports, "import_module", slow)
    first = threading.Thread(target=heavy_imports.load)
    second = threading.Thread(target=heavy_imports.load)
    first.start()
    assert begun.wait(10)
    second.start()
    second.join(0.05)
    assert second.is_alive()
    go_on.set()
    for thread in (first, second):
        thread.join(10)
    assert names == ["not_there_yet"]


def test_a_failed_import_is_raised_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy_imports, "HEAVY", ("graysam_has_no_such_module",))
    monkeypatch.setattr(heavy_imports, "_background", None)
    heavy_imports.start().join(10)
    with pytest.raises(ImportError, match="graysam_has_no_such_module"):
        heavy_imports.load()
