"""Tasks that write what they make: in this process or on Dask, a few at once, each tried twice."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar

from napari_graysam.batch.cluster import Cluster
from napari_graysam.batch.shared import LOOK_S, Watch
from napari_graysam.errors import (
    DeviceError,
    DiskFullError,
    GraysamError,
    ModelError,
    SchedulerError,
    WorkersError,
)
from napari_graysam.progress import Progress, run

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Value = TypeVar("Value")
Work: TypeAlias = Callable[[Item], Generator[Progress, None, Value]]
"""Works on one item; can be sent to another process."""

AHEAD = 2
"""Tasks in flight for each thread of a worker: one to work on, one to go on with."""
COUNT_S = 5.0
"""Seconds between two counts of the workers."""
DEADLY = 3
"""Items in a row that end their workers, each several of them, after which all would."""


class _DeadlyError(MemoryError):
    """An item ended several workers."""


class Ended(NamedTuple, Generic[Item, Value]):
    """What became of a task: a value, or why it failed, with a traceback if nobody foresaw it."""

    item: Item
    value: Value | None
    error: str = ""


class Again(NamedTuple, Generic[Item]):
    """A task that failed and will be tried once more."""

    item: Item
    error: str


class Waiting(NamedTuple):
    """Other processes work; whoever listens may stop here."""


Event: TypeAlias = "Progress | str | Waiting | Again[Item] | Ended[Item, Value]"


def share(
    work: Work[Item, Value], items: Iterable[Item], cluster: Cluster | None = None
) -> Generator[Event[Item, Value], None, None]:
    """Do a piece of work for every item; closing the generator cancels.

    Parameters
    ----------
    work
        Called with each item.
    items
        Read as they are needed.
    cluster
        Whose workers do it; None for this process, one item after the other.

    Yields
    ------
    Progress, str, Waiting, Again, Ended
        Steps of an item (in this process only), what the user should know, that other processes
        are at work (every second), an item that failed once, and every item that ended, in any
        order. Items that fail twice do not stop others.

    Raises
    ------
    ModelError, DeviceError, DiskFullError
        If the model cannot be loaded, or nothing more can be written: no item could be done.
    SchedulerError
        If the scheduler goes.
    WorkersError
        If item after item ends the workers that take it.

    Examples
    --------
    >>> def half(number):
    ...     yield Progress("half", 0, 1)
    ...     return number / 2
    >>> [event.value for event in share(half, [2, 4]) if isinstance(event, Ended)]
    [1.0, 2.0]
    """
    if cluster is None:
        yield from _here(work, deque(items))
    else:
        yield from _on_dask(work, deque(items), cluster)


def _here(
    work: Work[Item, Value], waiting: deque[Item]
) -> Generator[Event[Item, Value], None, None]:
    failed: list[Item] = []
    while waiting:
        item = waiting.popleft()
        try:
            value = yield from work(item)
        except (ModelError, DeviceError, DiskFullError):
            raise
        except Exception as error:
            yield from _after(error, item, failed, waiting)
        else:
            yield Ended(item, value)


def _after(
    error: Exception, item: Item, failed: list[Item], waiting: deque[Item]
) -> Generator[Event[Item, Value], None, None]:
    """Put an item at the end, or give it up; Dask itself tries one that ends its worker again."""
    if isinstance(error, MemoryError) or any(one is item for one in failed):
        yield Ended(item, None, told(error))
        return
    failed.append(item)
    waiting.append(item)
    yield Again(item, told(error))


def _on_dask(
    work: Work[Item, Value], waiting: deque[Item], cluster: Cluster
) -> Generator[Event[Item, Value], None, None]:
    ours = cluster.scheduler is None
    count = len(waiting)
    client = cluster.client(count)
    watch = Watch(client, cluster.scheduler)
    threads = (os.cpu_count() or 1) // cluster.processes(count) if ours else None
    room = _Room(client)
    ended: SimpleQueue[Future] = SimpleQueue()
    flying: dict[Future, Item] = {}
    failed: list[Item] = []
    deadly = 0
    try:
        while waiting or flying:
            while waiting and len(flying) < room.tasks():
                item = waiting.popleft()
                future = client.submit(_work, work, item, threads, pure=False)
                flying[future] = item
                future.add_done_callback(ended.put)
            try:
                future = ended.get(timeout=LOOK_S)
            except Empty:
                yield watch.look() or Waiting()
                continue
            item = flying.pop(future)
            try:
                value = _result(future, watch)
            except _DeadlyError as error:
                deadly += 1
                if deadly == DEADLY:
                    raise WorkersError(
                        f"{error}. So it went {DEADLY} times in a row; what was finished stays, "
                        "and the same command goes on from there"
                    ) from error
                yield Ended(item, None, str(error))
            except (ModelError, DeviceError, DiskFullError, SchedulerError):
                raise
            except Exception as error:
                yield from _after(error, item, failed, waiting)
                deadly = 0
            else:
                yield Ended(item, value)
                deadly = 0
    finally:
        client.cancel(list(flying))


class _Room:
    """How many tasks may be in flight, by the workers that there are."""

    def __init__(self, client: Client) -> None:
        self._client, self._seen, self._tasks = client, 0.0, AHEAD

    def tasks(self) -> int:
        now = time.monotonic()
        if now - self._seen > COUNT_S and self._client.status == "running":
            self._seen = now
            self._tasks = AHEAD * max(1, sum(self._client.ncores().values()))
        return self._tasks


def _work(work: Work[Item, Value], item: Item, threads: int | None) -> Value:
    """Work on one item in a worker."""
    import torch

    if threads is not None:
        torch.set_num_threads(max(1, threads))
    return run(work(item))


def _result(future: Future, watch: Watch) -> Any:
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise _DeadlyError(
            "the worker process died several times, perhaps for lack of memory: try fewer "
            "workers, or a smaller tiles.size"
        ) from error
    except CancelledError:
        raise watch.lost() from None


def told(error: Exception) -> str:
    """Return an error in one message; the type too, if nobody foresaw it."""
    if isinstance(error, GraysamError | MemoryError) and str(error):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}"
