"""A worker thread that computes one request at a time and drops all but the latest."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Generator
from functools import cache, partial
from typing import Any, NamedTuple

from qtpy.QtCore import QTimer

PATIENCE = 300
"""Milliseconds that a computation may take before a newer request stops it."""


class _Failed(NamedTuple):
    """The exception that ended a computation, passed to the GUI thread as a result."""

    error: Exception


Steps = Callable[[], Generator[Any, None, None]]


_running: list[Generator[Any, None, None]] = []
"""What has been started in any thread and is not closed yet."""


@cache
def _end_with_the_program() -> None:
    """Stop what still runs when a program ends without an event loop, before Qt is torn down.

    At the end of an event loop, napari stops workers itself.
    """
    from napari.qt.threading import GeneratorWorker

    def end() -> None:
        GeneratorWorker.await_workers()
        while _running:
            _running.pop().close()

    atexit.register(end)


class LatestRequest:
    """Runs generators in a worker thread; while one runs, only the latest request waits.

    A computation that takes less than `PATIENCE` is finished although a newer request waits, so
    that results follow a moving slider and do not only come when it stops.

    Parameters
    ----------
    on_result
        Called in the GUI thread with everything but None that the generators yield.
    on_idle
        Called in the GUI thread when nothing is running or waiting any more.
    on_error
        Called in the GUI thread with the exception that ended a generator, which is raised there
        if this is omitted.
    parallel
        How many stopped computations may still be in the middle of a long step while the latest
        request already runs.
    """

    def __init__(
        self,
        on_result: Callable[[Any], None],
        on_idle: Callable[[], None] = lambda: None,
        on_error: Callable[[Exception], None] | None = None,
        *,
        parallel: int = 0,
    ) -> None:
        self._on_result = on_result
        self._on_idle = on_idle
        self._on_error = on_error
        self._parallel = parallel
        self._stopped: list[Any] = []
        self._worker: Any = None
        self._started = 0.0
        self._next: Steps | None = None

    @property
    def busy(self) -> bool:
        """Whether something is running or waiting."""
        return self._worker is not None

    def submit(self, steps: Steps) -> None:
        """Run a generator function now, or when the running one has ended."""
        if self._worker is None:
            self._start(steps)
            return
        self._next = steps
        worker = self._worker
        QTimer.singleShot(self._patience(), partial(self._stop_if_stale, worker))

    def cancel(self) -> None:
        """Stop the running computation at its next yield, and drop its results."""
        self._next = None
        if self._worker is not None:
            self._worker.quit()

    def _start(self, steps: Steps) -> None:
        from napari.qt.threading import create_worker

        running = steps()

        def generate() -> Generator[Any, None, None]:
            # napari reports no RuntimeError of a worker thread.
            try:
                yield from running
            except Exception as error:
                yield _Failed(error)

        _end_with_the_program()
        _running.append(running)
        self._started = time.monotonic()
        self._worker = worker = create_worker(generate, _start_thread=False)
        worker.yielded.connect(partial(self._receive, worker))
        worker.finished.connect(partial(self._finish, worker, running))
        worker.start()

    def _receive(self, worker: Any, result: Any) -> None:
        if isinstance(result, _Failed):
            if self._on_error is None:
                raise result.error
            self._on_error(result.error)
        elif result is not None and not worker.abort_requested:
            self._on_result(result)

    def _finish(self, worker: Any, steps: Generator[Any, None, None]) -> None:
        steps.close()  # napari keeps workers, and with them what a stopped computation holds.
        _running.remove(steps)
        if worker in self._stopped:
            self._stopped.remove(worker)
            if self._worker is not None and self._patience() == 0:
                self._stop_if_stale(self._worker)
        elif worker is self._worker:
            self._worker = None
            self._start_next()

    def _start_next(self) -> None:
        waiting, self._next = self._next, None
        if waiting is not None:
            self._start(waiting)
        else:
            self._on_idle()

    def _patience(self) -> int:
        """Return the milliseconds that the running computation may still take."""
        return max(0, int(PATIENCE - (time.monotonic() - self._started) * 1000))

    def _stop_if_stale(self, worker: Any) -> None:
        if worker is not self._worker or self._next is None:
            return
        worker.quit()
        if len(self._stopped) < self._parallel:
            self._stopped.append(worker)
            self._worker = None
            self._start_next()
