"""Full garbage collections, put off for the length of a run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_NEVER = 2**30
_lock = Lock()
_users = 0
_before = gc.get_threshold()


@contextmanager
def full_collections_put_off() -> Iterator[None]:
    """Collect only young objects inside the context; the thresholds are restored at its end.

    Runs may overlap: the last one to end restores.

    Notes
    -----
    A full collection goes through every object of napari and PyTorch and stops all threads. The
    one that follows the import of PyTorch takes some 0.23 s, and would come while the first
    result is shown. What is there at the end counts as gone through, so that it does not come
    right after the last one either.
    """
    global _users, _before
    with _lock:
        if _users == 0:
            _before = gc.get_threshold()
            gc.set_threshold(*_before[:2], _NEVER)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                gc.freeze()
                gc.unfreeze()
                gc.set_threshold(*_before)
