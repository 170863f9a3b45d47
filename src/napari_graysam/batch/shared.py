"""Images shared among the workers of a Dask cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from napari_graysam.batch.attempt import Event, attempt, failed
from napari_graysam.batch.cluster import Cluster
from napari_graysam.batch.jobs import Job, Outcome
from napari_graysam.errors import GraysamError, SchedulerError
from napari_graysam.model import fetch
from napari_graysam.progress import run

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK_S = 1.0
"""Seconds between two looks at whether there are workers."""
LOST_S = 5.0
"""Seconds without a scheduler that end a batch."""
START_S = 120.0
"""Seconds that processes of our own may take to start."""


def on_dask(
    paths: Sequence[Path], job: Job, cluster: Cluster, *, overwrite: bool = False
) -> Generator[Event, None, None]:
    """Work on images in the workers of a cluster; yields outcomes as they come."""
    model, ours = job.recipe.model, cluster.scheduler is None
    if ours and model.checkpoint is None:
        for progress in fetch(model.name):
            yield paths[0], progress
    threads = (os.cpu_count() or 1) // cluster.processes(len(paths)) if ours else None
    ended: SimpleQueue[Future] = SimpleQueue()
    client = cluster.client(len(paths))
    watch = Watch(client, cluster.scheduler)
    futures = {
        client.submit(_work, job, path.absolute(), threads, overwrite, pure=False): path
        for path in paths
    }
    for future in futures:
        future.add_done_callback(ended.put)
    while futures:
        try:
            future = ended.get(timeout=LOOK_S)
        except Empty:
            if note := watch.look():
                yield next(iter(futures.values())), note
            continue
        path = futures.pop(future)
        yield path, _result(future, path, watch)


def _work(job: Job, path: Path, threads: int | None, overwrite: bool) -> Outcome:
    """Work on one image in a worker."""
    import torch

    if threads is not None:
        torch.set_num_threads(max(1, threads))
    return run(attempt(job, path, overwrite=overwrite))


def _result(future: Future, path: Path, watch: Watch) -> Outcome:
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    try:
        outcome: Outcome = future.result()
        return replace(outcome, path=path)
    except GraysamError:
        raise
    except KilledWorker:
        reason = "the worker process died, perhaps for lack of memory; try fewer --workers"
        return Outcome(path, "failed", f"{path}: {reason}")
    except CancelledError:
        raise watch.lost() from None
    except Exception as error:
        return failed(path, error)


class Watch:
    """Looks whether there are a scheduler and workers, and says once that there are none."""

    def __init__(self, client: Client, scheduler: str | None) -> None:
        self._client, self._scheduler = client, scheduler
        self._seen = self._began = time.monotonic()
        self._starting = scheduler is None
        self._told = False

    def look(self) -> str:
        """Return what to tell, empty if nothing.

        Raises
        ------
        SchedulerError
            If there is no scheduler any more, or no process of our own comes up.
        """
        now = time.monotonic()
        if self._client.status != "running":
            if now - self._seen > LOST_S:
                raise self.lost()
            return ""
        self._seen = now
        try:
            there = self._client.scheduler_info()["workers"]
        except OSError:
            return ""
        if there:
            self._starting = self._told = False
        elif self._starting and now - self._began > START_S:
            raise SchedulerError(
                f"no worker process has started within {START_S:.0f} s: try one image in this "
                "process, which shows why"
            )
        if there or self._starting or self._told:
            return ""
        self._told = True
        if self._scheduler is None:
            return (
                "all worker processes have ended, perhaps for lack of memory; new ones are "
                "started. Ctrl-C stops, and fewer --workers need less"
            )
        return "no workers left, waiting for one to come; Ctrl-C to stop"

    def lost(self) -> SchedulerError:
        """Return the error of a scheduler that is gone."""
        return SchedulerError(
            f"the Dask scheduler{f' at {self._scheduler}' if self._scheduler else ''} is gone; "
            "what was finished stays, and the same command goes on from there"
        )
