"""One computation at a time, and none that blocks the next."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest
from pytestqt.exceptions import capture_exceptions
from qtpy.QtCore import QTimer

from napari_graysam._napari.threads.gui_queue import Turns
from napari_graysam._napari.threads.latest_request import PATIENCE, Lane
from napari_graysam._napari.threads.responsive import NICENESS, give_way, short_holds


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_an_error_is_raised_in_the_gui_thread_and_the_lane_goes_on(
    qtbot: Any, kind: type[Exception]
) -> None:
    shown: list[int] = []
    lane = Lane(shown.append, lambda: None)

    def broken() -> Generator[int, None, None]:
        yield 1
        raise kind("broken")

    def fine() -> Generator[int, None, None]:
        yield 2

    with capture_exceptions() as raised:
        lane.submit(broken)
        qtbot.waitUntil(lambda: not lane.busy)
        assert [error for error, _, _ in raised] == [kind]
        raised.clear()
    lane.submit(fine)
    qtbot.waitUntil(lambda: not lane.busy)
    assert shown == [1, 2]


def test_a_long_step_is_overtaken_and_its_result_dropped(qtbot: Any) -> None:
    shown: list[str] = []
    gates = {name: threading.Event() for name in ("old", "middle", "new")}
    lane = Lane(shown.append, lambda: None, overtaking=1)

    def long(name: str) -> Generator[str | None, None, None]:
        yield None
        assert gates[name].wait(20)
        yield name

    lane.submit(partial(long, "old"))
    for name in ("dropped", "middle"):
        gates.setdefault(name, threading.Event())
        lane.submit(partial(long, name))
    gates["middle"].set()
    qtbot.waitUntil(lambda: shown == ["middle"], timeout=20_000)
    assert not lane.busy
    gates["new"].set()
    lane.submit(partial(long, "new"))
    qtbot.waitUntil(lambda: not lane.busy, timeout=20_000)
    gates["old"].set()
    qtbot.waitUntil(lambda: not lane._overtaken, timeout=20_000)
    assert shown == ["middle", "new"]


def test_no_more_than_one_is_overtaken_at_a_time(qtbot: Any) -> None:
    running: list[int] = []
    shown: list[int] = []
    gate = threading.Event()
    lane = Lane(shown.append, lambda: None, overtaking=1)

    def long(number: int) -> Generator[int, None, None]:
        running.append(number)
        assert gate.wait(20)
        yield number

    for number in range(5):
        lane.submit(partial(long, number))
        qtbot.wait(2 * PATIENCE if number < 2 else 1)
    assert running == [0, 1]
    gate.set()
    qtbot.waitUntil(lambda: not lane.busy, timeout=20_000)
    assert running == [0, 1, 4]
    assert shown[-1] == 4


def test_turns_come_one_at_a_time_and_in_order(qtbot: Any) -> None:
    done: list[Any] = []
    between = QTimer(interval=0)
    between.timeout.connect(lambda: done.append(None))
    between.start()
    turns = Turns()
    turns.add(lambda: done.append(1), lambda: done.append(2))
    turns.add(lambda: turns.add(lambda: done.append(3)))
    assert turns.busy
    assert done == []
    qtbot.waitUntil(lambda: not turns.busy)
    between.stop()
    assert [one for one in done if one] == [1, 2, 3]
    assert None in done[done.index(1) : done.index(2)]
    turns.add(lambda: done.append(4))
    turns.finish()
    assert done[-1] == 4


def test_the_collector_takes_small_steps_until_the_last_run_ends() -> None:
    before = gc.get_threshold(), sys.getswitchinterval()
    first, second = short_holds(), short_holds()
    with first:
        with second:
            during = gc.get_threshold()
            assert during[:2] == before[0][:2]
            assert during[2] > 10**6
            assert sys.getswitchinterval() <= 0.002
        assert gc.get_threshold() == during
    assert (gc.get_threshold(), sys.getswitchinterval()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness for each thread")
def test_a_computing_thread_and_those_it_starts_give_way() -> None:
    found: list[int] = []

    def note() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def compute() -> None:
        give_way()
        give_way()
        note()
        child = threading.Thread(target=note)
        child.start()
        child.join()

    note()
    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    give_way()
    note()
    here = found[0]
    assert found == [here, max(here, NICENESS), max(here, NICENESS), here]
