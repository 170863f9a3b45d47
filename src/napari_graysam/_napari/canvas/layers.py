"""What this plugin reads of any layer, notes in its own, and leaves as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Layer

KEY = "napari-graysam"
"""Of a layer's metadata, under which the plugin notes how it made the layer."""


def about(layer: Layer | None) -> dict[str, Any]:
    """Return what the plugin has noted in a layer, in JSON's types; empty for other layers."""
    found = None if layer is None else layer.metadata.get(KEY)
    return found if isinstance(found, dict) else {}


def pixels_of(layer: Layer) -> Any:
    """Return the array of a layer, of a multiscale one that of the highest resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def same_layer(one: Layer | None, other: Layer | None) -> bool:
    """Whether two are the same layer, also of those that napari hands out behind proxies."""
    if one is None or other is None:
        return one is other
    return bool(one.unique_id == other.unique_id)


def kind_of(layer: Layer) -> str:
    """Return a layer's type in words, also of one that napari hands out behind a proxy."""
    return str(layer.__class__.__name__)


@contextmanager
def same_selection(layers: LayerList) -> Iterator[None]:
    """Keep the user's layers selected while one of the plugin's is added or removed."""
    selected, active = set(layers.selection), layers.selection.active
    yield
    layers.selection = {layer for layer in selected if layer in layers}
    if active is not None and active in layers:
        layers.selection.active = active
