"""The store of a Zarr array at an address, which notices what is not there."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Self, cast

from zarr.storage import FsspecStore

from napari_graysam.source.remote import options_of

_FAILURES: ContextVar[list[Exception] | None] = ContextVar("_FAILURES", default=None)
"""What failed in the reading that is under way."""


class WatchedStore(FsspecStore):
    """Reads as zarr's own, and remembers the chunks that were asked for and are not there.

    Nobody can count them beforehand: many servers list nothing.
    """

    _absent: set[str]

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the store of an address, for reading."""
        found = cls.from_url(address, storage_options=options_of(address), read_only=True)
        return cast(Self, found)

    @property
    def absent(self) -> set[str]:
        """Keys of those chunks."""
        found: set[str] = self.__dict__.setdefault("_absent", set())
        return found

    async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
        """Read what a key names; None where nothing is there."""
        name = key.rpartition("/")[2]
        failures = _FAILURES.get()
        if name == "zarr.json" or name.startswith(".z"):
            return await super().get(key, *arguments, **options)
        if failures:
            return None
        try:
            found = await super().get(key, *arguments, **options)
        except Exception as error:
            if failures is None:
                raise
            failures.append(error)
            return None
        if found is None:
            self.absent.add(key)
        return found


def read_chunks(array: Any, index: Any) -> Any:
    """Index an array whose store is a `WatchedStore`.

    Zarr leaves behind what it is reading where one chunk fails; Python complains of that when it
    ends. So chunks are read to the end, or not begun, and the first failure is raised after that.
    """
    failures: list[Exception] = []
    token = _FAILURES.set(failures)
    try:
        values = array[index]
    finally:
        _FAILURES.reset(token)
    if failures:
        raise failures[0]
    return values
