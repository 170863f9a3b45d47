"""A batch on Dask: a local cluster, or a scheduler that runs somewhere."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_graysam.batch.attempt import Event, attempt, failed
from napari_graysam.batch.jobs import Job, Outcome
from napari_graysam.errors import GraysamError, SchedulerError
from napari_graysam.model import fetch
from napari_graysam.progress import run

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 15


def on_dask(
    paths: Sequence[Path],
    job: Job,
    workers: int | None,
    scheduler: str | None,
    *,
    overwrite: bool = False,
) -> Generator[Event, None, None]:
    """Work on images in the workers of a cluster; yields outcomes as they come."""
    from distributed import as_completed

    model = job.recipe.model
    if scheduler is None and model.checkpoint is None:
        for progress in fetch(model.name):
            yield paths[0], progress
    threads = None
    if scheduler is None and workers is not None:
        workers = min(workers, len(paths))
        threads = max(1, (os.cpu_count() or 1) // workers)
    with _client(workers, scheduler) as client:
        futures = {
            client.submit(_work, job, path.absolute(), threads, overwrite, pure=False): path
            for path in paths
        }
        try:
            for future in as_completed(futures, loop=client.loop):
                yield futures[future], _result(future, futures[future])
        finally:
            client.cancel(list(futures))


def _work(job: Job, path: Path, threads: int | None, overwrite: bool) -> Outcome:
    """Work on one image in a worker."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    return run(attempt(job, path, overwrite=overwrite))


def _result(future: Future, path: Path) -> Outcome:
    from distributed import KilledWorker

    try:
        outcome: Outcome = future.result()
        return replace(outcome, path=path)
    except GraysamError:
        raise
    except KilledWorker:
        reason = "the worker process died, perhaps for lack of memory; try fewer --workers"
        return Outcome(path, "failed", f"{path}: {reason}")
    except Exception as error:
        return failed(path, error)


@contextmanager
def _client(workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """Connect to a scheduler, or to a cluster of our own on the loopback interface."""
    import logging

    from distributed import Client, LocalCluster

    if scheduler is None:
        # Dask would stop a worker at its share of the memory, which one model may exceed.
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        remote = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SchedulerError(
            f"cannot reach a Dask scheduler at {scheduler!r}: {error}; expected an address such "
            "as tcp://host:8786"
        ) from error
    with remote:
        if not remote.scheduler_info()["workers"]:
            raise SchedulerError(
                f"the Dask scheduler at {scheduler} has no workers; start some with "
                f"`dask worker {scheduler}`"
            )
        yield remote
