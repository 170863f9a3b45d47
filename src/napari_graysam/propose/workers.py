"""Threads that work side by side on a processor.

One operation of torch's on two cores ends with the slower one, and the short ones between two
products of matrices use one core alone. Where rounding may differ, whole batches on one core
each waste neither, and do not wait for a core that another program uses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Barrier
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
Indices: TypeAlias = npt.NDArray[np.intp]

# With more, Python's lock is what they would wait for.
_MOST = 8


class Workers:
    """Threads that share torch's threads among them, until they are closed.

    Parameters
    ----------
    alone
        Compute everything in the caller's thread, as torch does it.
    """

    def __init__(self, *, alone: bool) -> None:
        threads = torch.get_num_threads()
        self.count = 1 if alone else min(threads, _MOST)
        self._pool: ThreadPoolExecutor | None = None
        if self.count > 1:
            self._pool = _started(self.count, threads)

    def parts(self, items: Indices, most: int) -> list[Indices]:
        """Divide items, (N,), into parts of at most ``most``: alone full ones, else alike."""
        if self._pool is None:
            return np.split(items, range(most, len(items), most))
        count = -(-len(items) // (most * self.count)) * self.count
        return np.array_split(items, min(count, len(items)))

    def close(self) -> None:
        """End the threads, after what they are computing."""
        if self._pool is not None:
            self._pool.shutdown()

    def map(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Generator[Result, None, None]:
        """Yield the results in the order of the items, while the next ones are computed.

        At an error or a close, items not begun are dropped, and those begun are waited for.
        """
        if self._pool is None:
            for item in items:
                yield work(item)
            return
        begun: deque[Future[Result]] = deque()
        try:
            for item in items:
                begun.append(self._pool.submit(work, item))
                if len(begun) > self.count:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            wait([future for future in begun if not future.cancel()])


def _started(count: int, threads: int) -> ThreadPoolExecutor:
    """Start threads that have ``threads`` of torch's together."""
    met = Barrier(count + 1)

    def begin() -> None:
        # Torch asks for its number once in each thread; what is set before that is forgotten.
        torch.get_num_threads()
        torch.set_num_threads(max(1, threads // count))
        met.wait()

    pool = ThreadPoolExecutor(count, "graysam", initializer=begin)
    for _ in range(count):
        pool.submit(int)
    met.wait()
    # What a thread sets is also what threads to come begin with.
    torch.set_num_threads(threads)
    return pool
