"""Boxes around the objects of a label image of which only blocks are in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(eq=False)
class BoxSum:
    """Boxes around every label of the blocks that were added; memory grows with the objects.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import BoxSum
    >>> whole = BoxSum()
    >>> for left in (0, 3):
    ...     whole.add(np.array([[0, 0, 7], [7, 7, 0]]), left, 0)
    >>> ids, boxes = whole.total()
    >>> ids.tolist(), boxes.tolist()
    ([7], [[0, 0, 6, 2]])

    See Also
    --------
    OverlapSum : Areas and overlaps of two label images.
    """

    _ids: list[NDArray[np.int64]] = field(default_factory=list)
    _boxes: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, labels: NDArray[np.integer], left: int, top: int) -> None:
        """Add a block, (h, w), whose first pixel lies in this column and row of the image."""
        if not labels.size:
            return
        columns = labels.shape[1]
        begins = np.ones(labels.shape, bool)
        begins[:, 1:] = labels[:, 1:] != labels[:, :-1]
        starts = np.flatnonzero(begins)
        values = np.ravel(labels)[starts]
        rows, first = np.divmod(starts, columns)
        last = np.append(starts[1:], labels.size) - rows * columns
        runs = np.stack([first + left, rows + top, last + left, rows + top + 1], axis=1)
        inside = values != 0
        ids, boxes = _joined(values[inside].astype(np.int64), runs[inside])
        self._ids.append(ids)
        self._boxes.append(boxes)

    def total(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the labels, (N,), ascending, and their boxes, (N, 4): x0, y0, x1, y1."""
        ids = np.concatenate([np.zeros(0, np.int64), *self._ids])
        boxes = np.concatenate([np.zeros((0, 4), np.int64), *self._boxes])
        ids, boxes = _joined(ids, boxes)
        self._ids, self._boxes = [ids], [boxes]
        return ids, boxes


def _joined(
    ids: NDArray[np.int64], boxes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each label once, with the box around all of its boxes."""
    order = np.argsort(ids, kind="stable")
    found, starts = np.unique(ids[order], return_index=True)
    if not found.size:
        return found, np.zeros((0, 4), np.int64)
    low = np.minimum.reduceat(boxes[order, :2], starts)
    high = np.maximum.reduceat(boxes[order, 2:], starts)
    return found, np.concatenate([low, high], axis=1)
