"""What became of the objects of label images, painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.changes import CODES, Event
from napari_graysam.masks import ARMS

if TYPE_CHECKING:
    import pandas as pd


def changed_pixels(
    events: Sequence[Event],
    objects: pd.DataFrame,
    size: str,
    raw: NDArray[np.integer],
    preprocessed: NDArray[np.integer],
) -> NDArray[np.uint8]:
    """Paint the objects in a part of both arms' labels, the smaller one on top.

    Parameters
    ----------
    events
        Every change.
    objects
        One row per object of either arm, by label: ``arm``, ``index``, the number of its
        ``event`` from 1, and its size.
    size
        Name of that column.
    raw, preprocessed
        Labels of each arm, (H, W).

    Returns
    -------
    ndarray
        uint8 (H, W), codes as in `Comparison`.
    """
    codes = {event: CODES[one.change] for event, one in enumerate(events, start=1)}
    painted = []
    for arm, labels in zip(ARMS, (raw, preprocessed), strict=True):
        of_arm = objects[objects["arm"] == arm]
        numbers = of_arm["index"].to_numpy(np.int64)
        at = np.searchsorted(numbers, labels).clip(max=max(0, numbers.size - 1))
        inside = labels > 0
        values = np.array([codes[event] for event in of_arm["event"].tolist()] or [0])
        sizes = of_arm[size].to_numpy(np.int64) if numbers.size else np.zeros(1, np.int64)
        painted.append((np.where(inside, values[at], 0), np.where(inside, sizes[at], 0)))
    (of_raw, first), (of_preprocessed, second) = painted
    behind = (of_raw == 0) | ((of_preprocessed > 0) & (second < first))
    found: NDArray[np.uint8] = np.where(behind, of_preprocessed, of_raw).astype(np.uint8)
    return found
