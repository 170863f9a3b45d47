"""What became of the objects of label images, painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.changes import CODES, Event
from napari_graysam.masks import ARMS

if TYPE_CHECKING:
    import pandas as pd

_GAPS, _SPARE = 16, 2**20
"""Numbers without an object, for each one and at all, up to which labels are places in tables."""


class _Known(NamedTuple):
    """Labels of an arm, ascending; their codes and sizes. Dense ones are places in the others."""

    labels: NDArray[np.int64] | None
    codes: NDArray[np.uint8]
    sizes: NDArray[np.int64]

    @classmethod
    def of(
        cls, labels: NDArray[np.int64], codes: NDArray[np.uint8], sizes: NDArray[np.int64]
    ) -> Self:
        least, most = int(labels.min()), int(labels.max())
        if least < 0 or most > _SPARE + _GAPS * labels.size:
            order = np.argsort(labels, kind="stable")
            return cls(labels[order], codes[order], sizes[order])
        # One more, of no object, for labels that are not known.
        dense = np.zeros(most + 2, codes.dtype), np.zeros(most + 2, sizes.dtype)
        dense[0][labels], dense[1][labels] = codes, sizes
        return cls(None, *dense)

    def look_up(self, labels: NDArray[np.integer]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        wanted = labels.astype(np.int64, copy=False)
        if self.labels is None:
            wanted = wanted.clip(0, self.codes.size - 1)
            return self.codes[wanted], self.sizes[wanted]
        at = np.searchsorted(self.labels, wanted).clip(max=self.labels.size - 1)
        inside = self.labels[at] == wanted
        return np.where(inside, self.codes[at], 0).astype(np.uint8), self.sizes[at]


class ChangePainter:
    """Paints what became of objects into any part of an image, the smaller one on top.

    Parameters
    ----------
    events
        Every change.
    objects
        One row per object of either arm, by label: ``arm``, ``index``, the number of its
        ``event`` from 1, and its size.
    size
        Name of that column.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.comparison import compare_labels
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> changes = compare_labels(raw, preprocessed)
    >>> ChangePainter(changes.events, changes.objects).paint(raw[1], preprocessed[1])
    array([1, 1, 3, 4], dtype=uint8)
    """

    def __init__(self, events: Sequence[Event], objects: pd.DataFrame, size: str = "area") -> None:
        codes = np.array([0, *(CODES[event.change] for event in events)], np.uint8)
        self._arms = []
        for arm in ARMS:
            of_arm = objects[objects["arm"] == arm].sort_values("index")
            # Background first, so that no table is empty.
            labels = np.append(0, of_arm["index"].to_numpy(np.int64))
            places = np.append(0, of_arm["event"].to_numpy(np.int64))
            sizes = np.append(0, of_arm[size].to_numpy(np.int64))
            self._arms.append(_Known.of(labels, codes[places], sizes))

    def paint(
        self, raw: NDArray[np.integer], preprocessed: NDArray[np.integer]
    ) -> NDArray[np.uint8]:
        """Return the codes of `Comparison.difference` for labels of each arm, of one shape."""
        (one, first), (other, second) = (
            known.look_up(labels)
            for known, labels in zip(self._arms, (raw, preprocessed), strict=True)
        )
        behind = (one == 0) | ((other > 0) & (second < first))
        painted: NDArray[np.uint8] = np.where(behind, other, one)
        return painted
