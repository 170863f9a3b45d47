"""Which result a layer shows, for widgets that know only the layer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari.layers import Labels

    from napari_graysam.results import Segmentation

_RESULTS: WeakValueDictionary[Hashable, Segmentation] = WeakValueDictionary()
"""By the layer's unique id; a result stays here only while the panel holds on to it."""


def remember(layer: Labels, result: Segmentation) -> None:
    """Note that a layer shows a result, in place of what it showed before."""
    _RESULTS[layer.unique_id] = result


def result_of(layer: Labels) -> Segmentation | None:
    """Return the result that was last written to a layer; None if the panel let go of it.

    The layer's pixels may have been edited since.
    """
    return _RESULTS.get(layer.unique_id)
