"""The prompt tool's own keys, which work whichever layer is active."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.viewer import Viewer

Action = Callable[[], Any]


class ToolKeys:
    """Binds keys on the viewer and on its active layer, whose own keys would come first.

    Parameters
    ----------
    viewer
        Whose canvas hears the keys.
    actions
        What to do by key; a generator's rest is done when the key is released.
    """

    def __init__(self, viewer: Viewer, actions: Mapping[str, Action]) -> None:
        self._viewer = viewer
        self._actions = actions
        self._bound: list[tuple[Any, str]] = []
        self._layer: list[tuple[Any, str]] = []

    def bind(self) -> None:
        """Bind the keys; those that the user has bound stay the user's."""
        self._bound = self._bind_on(self._viewer)
        self._viewer.layers.selection.events.active.connect(self._follow)
        self._follow()

    def release(self) -> None:
        """Take the keys back."""
        self._viewer.layers.selection.events.active.disconnect(self._follow)
        _unbind(self._layer)
        _unbind(self._bound)

    def _follow(self, *_: object) -> None:
        _unbind(self._layer)
        active = self._viewer.layers.selection.active
        self._layer = [] if active is None else self._bind_on(active)

    def _bind_on(self, target: Any) -> list[tuple[Any, str]]:
        bound = []
        for key, action in self._actions.items():
            with suppress(ValueError):
                target.bind_key(key, _pressing(action))
                bound.append((target, key))
        return bound


def _unbind(bound: list[tuple[Any, str]]) -> None:
    while bound:
        target, key = bound.pop()
        target.bind_key(key, None)


def _pressing(action: Action) -> Callable[[Any], Generator[None, None, None]]:
    def press(target: Any) -> Generator[None, None, None]:
        done = action()
        if isinstance(done, Generator):
            yield from done

    return press
