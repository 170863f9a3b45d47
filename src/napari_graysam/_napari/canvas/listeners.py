"""Connections to napari's events that can be undone together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Listeners:
    """Callbacks and what they listen to."""

    def __init__(self) -> None:
        self._links: list[tuple[Any, Callable[..., None]]] = []

    def add(self, emitter: Any, callback: Callable[..., None]) -> None:
        """Call back on every event of an emitter."""
        emitter.connect(callback)
        self._links.append((emitter, callback))

    def clear(self) -> None:
        """Listen to nothing any more."""
        for emitter, callback in self._links:
            emitter.disconnect(callback)
        self._links.clear()
