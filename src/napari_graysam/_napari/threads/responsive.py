"""What keeps the window answering while a run goes on in another thread."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Lock, current_thread, get_native_id, main_thread

SWITCH = 0.001
"""Seconds after which a computing thread lets the window's thread go on; Python's are 0.005."""
NICENESS = 2
_NEVER = 2**30


class _Interpreter:
    """Python's interpreter, of which only one thread can have hold."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._before = (gc.get_threshold(), sys.getswitchinterval())

    @contextmanager
    def short_holds(self) -> Iterator[None]:
        """Let no thread hold the interpreter for long, until the last who asked for it has ended.

        Notes
        -----
        Collecting garbage goes, from time to time, through every object of napari and PyTorch,
        which stops all threads for some 0.3 s: meanwhile only young objects are collected. At
        the end, what is there counts as gone through, or it would be as soon as the last result
        is shown.
        """
        with self._lock:
            if self._users == 0:
                self._begin()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._end()

    def _begin(self) -> None:
        self._before = thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
        gc.set_threshold(*thresholds[:2], _NEVER)
        sys.setswitchinterval(min(SWITCH, interval))

    def _end(self) -> None:
        thresholds, interval = self._before
        gc.freeze()
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)


short_holds = _Interpreter().short_holds


def give_way() -> None:
    """Let the window have a processor core before this thread and those that it will start.

    Linux knows a thread's own niceness; it goes up only, so it lasts as long as the thread.
    """
    if sys.platform != "linux" or current_thread() is main_thread():
        return
    here = os.PRIO_PROCESS, get_native_id()
    if os.getpriority(*here) < NICENESS:
        os.setpriority(*here, NICENESS)


def prepare_layers() -> None:
    """Load and compute what the window's thread would need for the first Labels layer.

    Takes about 0.3 s, and is quick from the second time on.
    """
    import pandas  # noqa: F401
    from napari.layers import Labels  # noqa: F401

    from napari_graysam._napari.results.colors import palette

    palette()
    # Each Labels layer has outlines, whose dash patterns are computed once and kept.
    with suppress(ImportError, AttributeError):
        import_module("vispy.visuals.line.dash_atlas").DashAtlas()
