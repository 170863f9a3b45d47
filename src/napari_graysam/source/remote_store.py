"""The store of a Zarr array at an address, which notices what is not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Self, cast

from zarr.storage import FsspecStore

from napari_graysam.source.remote import options_of

_FAILURES: ContextVar[list[Exception] | None] = ContextVar("_FAILURES", default=None)
"""What failed in the reading that is under way."""


class WatchedStore(FsspecStore):
    """Reads as zarr's own, and remembers the chunks that were asked for and are not there.

    Nobody can count them beforehand: many servers list nothing. Metadata are those that were
    checked: the server is not asked again, as it could send others.
    """

    _absent: set[str]
    _documents: Mapping[str, Any] = {}

    @classmethod
    def at(cls, address: str, documents: Mapping[str, Any]) -> Self:
        """Return the store of an address, for reading, with its metadata by their names."""
        options = options_of(address)
        found = cast(Self, cls.from_url(address, storage_options=options, read_only=True))
        found._documents = documents
        return found

    @property
    def absent(self) -> set[str]:
        """Keys of those chunks."""
        found: set[str] = self.__dict__.setdefault("_absent", set())
        return found

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Read what a key names; None where nothing is there."""
        name = key.rpartition("/")[2]
        failures = _FAILURES.get()
        if name == "zarr.json" or name.startswith(".z"):
            if key not in self._documents:
                return None
            return prototype.buffer.from_bytes(json.dumps(self._documents[key]).encode())
        if failures:
            return None
        try:
            found = await super().get(key, prototype, byte_range)
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
