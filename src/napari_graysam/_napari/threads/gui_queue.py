"""Work for the window's thread in pieces, between which the window answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from qtpy.QtCore import QTimer

PAUSE = 10
"""Milliseconds between two tasks, in which the window answers and draws."""


class Turns:
    """Does one task after the other, each in a turn of the event loop of its own."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._timer = QTimer(interval=PAUSE)
        self._timer.timeout.connect(self._next)

    @property
    def busy(self) -> bool:
        """Whether tasks are waiting."""
        return bool(self._waiting)

    def add(self, *tasks: Callable[[], object]) -> None:
        """Do more tasks, after those that are waiting."""
        self._waiting.extend(tasks)
        if self._waiting:
            self._timer.start()

    def finish(self) -> None:
        """Do at once what is waiting."""
        with suppress(RuntimeError):  # Qt may have deleted the timer at the program's end.
            self._timer.stop()
        while self._waiting:
            self._waiting.popleft()()

    def _next(self) -> None:
        task = self._waiting.popleft() if self._waiting else None
        if not self._waiting:
            self._timer.stop()
        if task is not None:
            task()
