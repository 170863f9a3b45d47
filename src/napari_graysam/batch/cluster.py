"""A client of Dask: of processes of our own, or of a scheduler that runs somewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from multiprocessing import resource_tracker, spawn
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from napari_graysam.errors import SchedulerError, UsageError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

CONNECT_S = 5
CLOSE_S, HASTE_S = 30, 1
_ADDRESS = re.compile(r"((?P<kind>\w+)://)?(\[(?P<six>[^]]+)\]|(?P<host>[^:/]+)):(?P<port>\d+)/?")
_PLAIN = (None, "tcp", "tls", "ws", "wss")


class Cluster:
    """A client for one batch after another, connected when the first one needs it.

    Leaving the context ends processes of our own; at once, where an error or a cancellation
    leaves it.

    Parameters
    ----------
    workers
        Processes of our own, at most; None: as many as are of use.
    scheduler
        Address of a scheduler to use instead.
    """

    def __init__(self, workers: int | None, scheduler: str | None) -> None:
        self.workers, self.scheduler = workers, scheduler
        self._started = 0
        self._client: Client | None = None
        self._contexts = ExitStack()

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what was started."""
        self._contexts.__exit__(kind, error, trace)

    def processes(self, tasks: int) -> int:
        """Return how many processes of our own work on so many tasks."""
        return max(1, min(self.workers or tasks, tasks))

    def client(self, tasks: int) -> Client:
        """Return a client with the processes that so many tasks need; errors as of `connect`."""
        wanted = self.processes(tasks)
        if self._client is None:
            self._client = self._contexts.enter_context(connect(wanted, self.scheduler))
            self._started = wanted
        elif self.scheduler is None and wanted > self._started:
            self._client.cluster.scale(wanted)
            self._started = wanted
        return self._client


def cluster_of(
    workers: int | None, scheduler: str | None
) -> AbstractContextManager[Cluster | None]:
    """Return a `Cluster`; None where nothing but this process was asked for."""
    alone = scheduler is None and (workers is None or workers == 1)
    return nullcontext() if alone else Cluster(workers, scheduler)


@contextmanager
def connect(workers: int, scheduler: str | None) -> Iterator[Client]:
    """Give a client of a scheduler, or of so many processes of our own on this machine.

    Raises
    ------
    UsageError
        If the address cannot be one.
    SchedulerError
        If there is no scheduler, or it has no workers.
    """
    if scheduler is None:
        with _local(workers) as client:
            yield client
    else:
        with _remote(scheduler) as client:
            yield client


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    from dask import config
    from distributed import Client, LocalCluster

    with _event_loop() as loop, _without_main_module():
        # A task that waits for a worker which another task kills would count as its accomplice.
        saturation = {"distributed.scheduler.worker-saturation": 1.0}
        with _interrupts_wait(), config.set(saturation):
            # Workers come later: an interrupt while they start finds a cluster that can be closed.
            # Dask would stop a worker at its share of the memory, which one model may exceed.
            cluster = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                # Any free port: a second run on this machine would warn of the usual one.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                memory_limit=0,
                silence_logs=logging.CRITICAL,
                loop=loop,
            )
            client = Client(cluster, set_as_default=False)
        patience = CLOSE_S
        try:
            cluster.scale(workers)
            yield client
        except BaseException:
            patience = HASTE_S
            _kill_workers(cluster)
            raise
        finally:
            _close(client, cluster, patience)
            if patience == HASTE_S:
                _kill_workers(cluster)  # One may have started meanwhile.


def _close(client: Client, cluster: LocalCluster, patience: float) -> None:
    try:
        client.close(timeout=patience)
        cluster.close(timeout=patience)
    except Exception:
        # Dask tries again when the process ends, and complains; workers end with their parent.
        cluster.shutdown_on_close = False


def _kill_workers(cluster: LocalCluster) -> None:
    """End workers in the middle of an image: what they write is whole or not there."""
    # Those that are starting are not among the cluster's workers yet.
    for nanny in {*cluster.workers.values(), *getattr(cluster, "_created", ())}:
        nanny.auto_restart = False
        if nanny.pid:
            with suppress(OSError):
                os.kill(nanny.pid, signal.SIGTERM)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait for the end of a block, where the system can."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Let Dask's processes start without the program's own module, also those that replace one.

    They need nothing of it, and a script that is not guarded would run a second time in each: one
    that opens a viewer would open another.
    """
    usual = spawn.get_preparation_data

    def prepared(name: str) -> dict[str, Any]:
        about: dict[str, Any] = usual(name)
        if name.startswith("Dask"):
            about.pop("init_main_from_name", None)
            about.pop("init_main_from_path", None)
        return about

    spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        spawn.get_preparation_data = usual


@contextmanager
def _event_loop() -> Iterator[Any]:
    """Run a loop in a thread without interrupts; so are the processes that it starts.

    Ctrl-C at a terminal reaches them too, and each would print a traceback.
    """
    from tornado.ioloop import IOLoop

    running: SimpleQueue[Any] = SimpleQueue()

    async def main() -> None:
        stop = asyncio.Event()
        running.put((IOLoop.current(), asyncio.get_running_loop(), stop))
        await stop.wait()

    # Started by the first process, it would let interrupts through again.
    resource_tracker.ensure_running()
    with _interrupts_wait():
        thread = Thread(target=lambda: asyncio.run(main()), name="graysam Dask", daemon=True)
        thread.start()
        tornado, loop, stop = running.get()
    try:
        yield tornado
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(HASTE_S)


@contextmanager
def _remote(scheduler: str) -> Iterator[Client]:
    from distributed.utils import silence_logging_cmgr

    check_scheduler(scheduler)
    with silence_logging_cmgr(logging.CRITICAL), _client(scheduler) as client:
        if not client.scheduler_info()["workers"]:
            raise SchedulerError(
                f"the Dask scheduler at {scheduler} has no workers; start some with "
                f"`dask worker {scheduler}`"
            )
        yield client


def _client(scheduler: str) -> Client:
    """Connect, within `CONNECT_S`: Dask waits for ever where something else answers."""
    from distributed import Client

    connected: SimpleQueue[Any] = SimpleQueue()

    def wait_for_it() -> None:
        try:
            connected.put(Client(scheduler, timeout=CONNECT_S, set_as_default=False))
        except Exception as error:
            connected.put(error)

    Thread(target=wait_for_it, name="graysam connects", daemon=True).start()
    try:
        client = connected.get(timeout=CONNECT_S + 1)
    except Empty:
        raise _unreachable(scheduler, "what answers there is none") from None
    if isinstance(client, OSError | ValueError):
        raise _unreachable(scheduler, client) from client
    if isinstance(client, Exception):
        raise client
    return client


def check_scheduler(address: str) -> None:
    """Refuse an address that cannot be one, or where nothing answers, at once.

    Raises
    ------
    UsageError, SchedulerError
        As `connect`.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None and ("://" not in address or address.partition("://")[0] in _PLAIN):
        host = re.sub(r"^\w+://", "", address).partition(":")[0].strip("/") or "host"
        raise UsageError(
            f"{address!r} is no address of a Dask scheduler: expected one with a port, such as "
            f"tcp://{host}:8786"
        )
    if found is None or found["kind"] not in _PLAIN:
        return
    place = (found["host"] or found["six"], int(found["port"]))
    try:
        socket.create_connection(place, timeout=CONNECT_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: object) -> SchedulerError:
    return SchedulerError(
        f"cannot reach a Dask scheduler at {address!r}: {error}; start one with `dask scheduler`, "
        "or correct the address"
    )
