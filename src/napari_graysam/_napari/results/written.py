"""Which result was last written to which layer, for all panels of the process."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakValueDictionary, ref

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_graysam._napari.canvas.source import Source
    from napari_graysam.results import Segmentation


@dataclass(eq=False)
class Entry:
    """A layer, the result that was written to it, and whether anybody has painted in it since.

    It stays as long as the layer, also after the panel: the source has no pixels, and the result
    is only referred to.
    """

    layer: Labels
    source: Source
    written: NDArray[np.uint32]
    result: ref[Segmentation]
    painted: bool = False
    own: ClassVar[bool] = True
    """Whether the layer holds this result and no other."""

    @property
    def edited(self) -> bool:
        """Whether the layer shows something else than what was written to it."""
        data = self.layer.data
        return self.painted or not np.array_equal(data, self.source.placement.arrange(self.written))

    def put(self, labels: NDArray[np.uint32]) -> None:
        """Write other labels, which are drawn once only."""
        data = self.source.placement.arrange(labels).copy()
        block = getattr(self.layer, "_block_refresh", nullcontext)
        with block():
            self.layer.data = data


ENTRIES: WeakValueDictionary[Hashable, Entry] = WeakValueDictionary()
"""By the layer's unique id, of all panels; the layer itself keeps its entry alive."""


def result_of(layer: Labels) -> Segmentation | None:
    """Return the result that was last written to a layer; None if the panel let go of it.

    The layer's pixels may have been edited since.
    """
    entry = ENTRIES.get(layer.unique_id)
    return None if entry is None else entry.result()
