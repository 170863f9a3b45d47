"""A memory of bounded size: what was used longest ago is forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any


class Store:
    """Remembers values up to a number of bytes.

    Parameters
    ----------
    budget
        In bytes. A value larger than this is not kept at all.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """Return what is remembered, or None."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Remember a value of ``size`` bytes in place of any other of this key."""
        replaced = self._values.pop(key, None)
        if replaced is not None:
            self.used -= replaced[1]
        if size > self.budget:
            return
        self._values[key] = (value, size)
        self.used += size
        while self.used > self.budget:
            self.used -= self._values.popitem(last=False)[1][1]
