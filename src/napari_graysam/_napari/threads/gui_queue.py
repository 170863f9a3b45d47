"""A queue of short tasks for the GUI thread, between which the window answers and draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from qtpy.QtCore import QTimer

PAUSE = 10
"""Milliseconds between two tasks."""


class GuiQueue:
    """Calls tasks in the GUI thread, one after the other, with a pause after each."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._timer = QTimer(interval=PAUSE)
        self._timer.timeout.connect(self._call_next)

    @property
    def busy(self) -> bool:
        """Whether tasks are waiting."""
        return bool(self._waiting)

    def add(self, *tasks: Callable[[], object]) -> None:
        """Append tasks to those that are waiting."""
        self._waiting.extend(tasks)
        if self._waiting:
            self._timer.start()

    def finish(self) -> None:
        """Call all waiting tasks now."""
        with suppress(RuntimeError):  # Qt may have deleted the timer at the program's end.
            self._timer.stop()
        while self._waiting:
            self._waiting.popleft()()

    def _call_next(self) -> None:
        task = self._waiting.popleft() if self._waiting else None
        if not self._waiting:
            self._timer.stop()
        if task is not None:
            task()
