"""A background lane: one computation at a time, and only the newest request waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from qtpy.QtCore import QTimer

PATIENCE = 300
"""Milliseconds that a computation may take before a newer request stops it."""


class _Failed(NamedTuple):
    """What ended a computation, on its way to the GUI thread."""

    error: Exception


Steps = Callable[[], Generator[Any, None, None]]


class Lane:
    """Runs generators in a thread; what was asked for before the newest request is dropped.

    A computation that takes less than `PATIENCE` is finished and shown even if it has become
    stale, so that a moving slider is followed and not only its end.

    Parameters
    ----------
    on_result
        Called in the GUI thread with everything but None that the generators yield.
    on_idle
        Called in the GUI thread when nothing is running or waiting any more.
    overtaking
        How many stopped computations, which may be in the middle of a long step, the newest one
        does not wait for.
    """

    def __init__(
        self,
        on_result: Callable[[Any], None],
        on_idle: Callable[[], None],
        *,
        overtaking: int = 0,
    ) -> None:
        self._on_result = on_result
        self._on_idle = on_idle
        self._overtaking = overtaking
        self._overtaken: list[Any] = []
        self._worker: Any = None
        self._started = 0.0
        self._next: Steps | None = None

    @property
    def busy(self) -> bool:
        """Whether something is running or waiting."""
        return self._worker is not None

    def submit(self, steps: Steps) -> None:
        """Run a generator function now, or as soon as what is running has ended."""
        if self._worker is None:
            self._start(steps)
            return
        self._next = steps
        worker = self._worker
        QTimer.singleShot(self._patience(), lambda: self._stop_if_stale(worker))

    def cancel(self) -> None:
        """Stop at the next opportunity; nothing more is shown."""
        self._next = None
        if self._worker is not None:
            self._worker.quit()

    def _start(self, steps: Steps) -> None:
        from napari.qt.threading import create_worker

        def generate() -> Generator[Any, None, None]:
            # Of some errors, RuntimeErrors among them, worker threads tell nobody.
            try:
                yield from steps()
            except Exception as error:
                yield _Failed(error)

        self._started = time.monotonic()
        self._worker = worker = create_worker(generate, _start_thread=False)
        worker.yielded.connect(lambda result: self._receive(worker, result))
        worker.finished.connect(lambda: self._finish(worker))
        worker.start()

    def _receive(self, worker: Any, result: Any) -> None:
        if isinstance(result, _Failed):
            raise result.error
        if result is not None and not worker.abort_requested:
            self._on_result(result)

    def _finish(self, worker: Any) -> None:
        if worker in self._overtaken:
            self._overtaken.remove(worker)
            if self._worker is not None and self._patience() == 0:
                self._stop_if_stale(self._worker)
        elif worker is self._worker:
            self._worker = None
            self._go_on()

    def _go_on(self) -> None:
        waiting, self._next = self._next, None
        if waiting is not None:
            self._start(waiting)
        else:
            self._on_idle()

    def _patience(self) -> int:
        """Return the milliseconds that what is running may still take."""
        return max(0, int(PATIENCE - (time.monotonic() - self._started) * 1000))

    def _stop_if_stale(self, worker: Any) -> None:
        if worker is not self._worker or self._next is None:
            return
        worker.quit()
        if len(self._overtaken) < self._overtaking:
            self._overtaken.append(worker)
            self._worker = None
            self._go_on()
