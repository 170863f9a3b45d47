"""One process at a time writes an output: a lock that outlives nobody on the same machine."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from napari_graysam.atomic import writing
from napari_graysam.errors import OutputError

OLD_CLAIM = 30.0
"""Seconds after which a claim on a stale lock, which takes milliseconds, is stale itself."""


class Lock:
    """A file that says who writes: process, machine and since when.

    A lock of a process that has ended on this machine is taken over; one of another machine is
    not, since nobody here can tell.

    Parameters
    ----------
    path
        The lock's file. It is removed when the lock is released.
    what
        What is locked, for the message.
    wait
        Seconds to wait for another process.

    Raises
    ------
    OutputError
        On entering: another process holds the lock, or the place cannot be written to.

    Examples
    --------
    >>> with Lock("cells.lock", "The labels"), Lock("cells.lock", "The labels"):
    ...     pass
    Traceback (most recent call last):
    napari_graysam.errors.OutputError: The labels are being written by process ...
    """

    def __init__(self, path: str | os.PathLike[str], what: str, *, wait: float = 0.0) -> None:
        self.path, self.what, self.wait = Path(path), what, wait
        self._token = uuid4().hex

    def __enter__(self) -> Self:
        """Take the lock."""
        until = time.monotonic() + self.wait
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while not self._taken():
                holder = self._holder()
                if holder is None:
                    continue
                if _has_ended(holder):
                    self._take_away(holder)
                elif time.monotonic() >= until:
                    raise OutputError(self._refusal(holder))
                else:
                    time.sleep(0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock."""
        self.release()

    def release(self) -> None:
        """Remove the lock, if it is still this one."""
        holder = self._holder()
        if holder is not None and holder.get("token") == self._token:
            with suppress(OSError):
                self.path.unlink()

    def _taken(self) -> bool:
        """Make the file, if there is none; it is never seen without its content."""
        about = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "born": _born(os.getpid()),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "token": self._token,
        }
        mine = self.path.with_name(f".{self._token}.lock")
        try:
            mine.write_text(json.dumps(about))
            try:
                os.link(mine, self.path)
            except FileExistsError:
                return False
            except OSError:
                # Not every file system has links.
                try:
                    with open(self.path, "x") as file:
                        file.write(json.dumps(about))
                except FileExistsError:
                    return False
            return True
        finally:
            with suppress(OSError):
                mine.unlink()

    def _holder(self) -> dict[str, Any] | None:
        """Return who holds the lock; None if nobody does any more."""
        try:
            found = json.loads(self.path.read_text())
            return found if isinstance(found, dict) else {}
        except FileNotFoundError:
            return None
        except (ValueError, OSError):
            return {}

    def _take_away(self, holder: dict[str, Any]) -> None:
        """Remove the lock of a process that has ended; of several that want to, one does."""
        claim = self.path.with_name(self.path.name + ".claim")
        try:
            os.mkdir(claim)
        except FileExistsError:
            with suppress(OSError):
                if time.time() - claim.stat().st_mtime > OLD_CLAIM:
                    claim.rmdir()
            time.sleep(0.01)
            return
        try:
            if self._holder() == holder:
                self.path.unlink(missing_ok=True)
        finally:
            claim.rmdir()

    def _refusal(self, holder: dict[str, Any]) -> str:
        who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"
        return (
            f"{self.what} are being written by {who}, since {holder.get('since', '?')}. Wait for "
            f"it, or choose another place; if it has ended, delete {self.path}."
        )


def _born(pid: int) -> float | None:
    """Return when a process was started, so that a later one of its number is told apart."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _has_ended(holder: dict[str, Any]) -> bool:
    """Tell whether the holder of a lock was a process of this machine that is no more."""
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    born, now = holder.get("born"), _born(pid)
    if now is None:
        return True
    return isinstance(born, int | float) and abs(born - now) > 1.0
