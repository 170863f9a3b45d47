"""Time and memory of a run, stage by stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from napari_graysam.progress import Progress

Result = TypeVar("Result")
INTERVAL = 0.01
"""Seconds between two looks at the memory."""


@dataclass
class StageCost:
    """What one stage took.

    Attributes
    ----------
    stage
        Its name.
    seconds
        Summed over all its parts.
    peak
        Largest memory of the process in that time, in bytes.
    """

    stage: str
    seconds: float = 0.0
    peak: int = 0


class Profile:
    """Follows the progress of a run; use as a context.

    The time from one report to the next, and the memory in that time, belong to the stage of
    the former. Memory is that of the whole process, looked at every 10 ms; a device's own is
    not in it.
    """

    def __init__(self) -> None:
        self.stages: dict[str, StageCost] = {}
        self._current: StageCost | None = None
        self._since = 0.0
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Profile:
        """Begin to watch the memory."""
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the last stage."""
        self._close()
        self._stop.set()
        self._watcher.join()

    def report(self, progress: Progress) -> None:
        """Take note of a report of the run."""
        self._close()
        stage = progress.stage
        self._current = self.stages.setdefault(stage, StageCost(stage))
        self._since = time.perf_counter()

    def follow(self, steps: Generator[Progress, None, Result]) -> Generator[Progress, None, Result]:
        """Pass a run on, taking note of its reports."""
        try:
            while True:
                progress = next(steps)
                self.report(progress)
                yield progress
        except StopIteration as stop:
            result: Result = stop.value
            return result
        finally:
            self._close()
            steps.close()

    def _close(self) -> None:
        if self._current is not None:
            self._current.seconds += time.perf_counter() - self._since
            self._current = None

    def _watch(self) -> None:
        import psutil

        process = psutil.Process()
        while not self._stop.wait(INTERVAL):
            stage = self._current
            if stage is not None:
                stage.peak = max(stage.peak, process.memory_info().rss)
