"""A comparison change by change: what became of which objects, one row or one outline each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.arms import Comparison
from napari_graysam.masks import ARMS, Arm, Mask
from napari_graysam.masks.regions import reframe

if TYPE_CHECKING:
    import pandas as pd

HELD = ("apart", "whole")
"""What a pin of these kinds says of an object: it is not merged, or not split."""
_DELTAS = ["delta_area", "delta_predicted_iou", "delta_stability", "delta_area_um2"]
_AREAS = {"area": "area_{}", "area_um2": "area_{}_um2"}


def event_table(comparison: Comparison) -> pd.DataFrame:
    """Return what became of the objects, a change to a row.

    Parameters
    ----------
    comparison
        What differs.

    Returns
    -------
    DataFrame
        In the order of ``comparison.events``: ``event`` (its number, from 1), ``change``,
        ``raw`` and ``preprocessed`` (tuples of labels), ``iou``, ``delta_area`` (preprocessed
        minus raw, in px²), ``delta_predicted_iou``, ``delta_stability`` (NaN where one side has
        no objects), ``area_raw`` and ``area_preprocessed`` (sums in px², 0 for none); with a
        pixel size, ``delta_area_um2``, ``area_raw_um2`` and ``area_preprocessed_um2`` in µm²;
        ``regrouped``, such as ``"merged 0.83"`` where fragments were merged to one of the objects
        or it is a part of a mask that was split, with the evidence for it; ``"pinned apart"`` or
        ``"pinned whole"`` where a pin keeps one of them from either; else empty.

    See Also
    --------
    matched_pairs : Only pairs, with their scores.

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[5, 5, 0, 0], [5, 5, 0, 0]])
    >>> from napari_graysam.comparison import compare_labels, event_table
    >>> table = event_table(compare_labels(raw, preprocessed))
    >>> table[["change", "raw", "preprocessed"]].values.tolist()
    [['kept', (1,), (5,)], ['lost', (2,), ()]]
    """
    import pandas as pd

    events, objects = comparison.events, comparison.objects
    table = pd.DataFrame(
        {
            "event": np.arange(1, len(events) + 1),
            "change": pd.Series([event.change for event in events], dtype="str"),
            "raw": pd.Series([event.raw for event in events], dtype="object"),
            "preprocessed": pd.Series([event.preprocessed for event in events], dtype="object"),
            "iou": pd.Series([event.iou for event in events], dtype="float64"),
        }
    )
    deltas = [name for name in _DELTAS if name in objects]
    table = table.join(objects.groupby("event")[deltas].first(), on="event")
    for arm in ARMS:
        of_arm = objects[objects["arm"] == arm].groupby("event")
        for column, name in _AREAS.items():
            if column in objects:
                sums = table["event"].map(of_arm[column].sum()).fillna(0)
                table[name.format(arm)] = sums.astype(objects[column].dtype)
    said = _regrouped(objects)
    texts = [said.get(event, "") for event in table["event"].tolist()]
    table["regrouped"] = pd.Series(texts, dtype="str")
    return table


def _regrouped(objects: pd.DataFrame) -> dict[int, str]:
    """Say of each event what was merged or split in it, and on what evidence."""
    if "regrouped" not in objects:
        return {}
    rows = objects[objects["regrouped"] != ""]
    said: dict[int, list[str]] = {}
    for event, kind, evidence in rows[["event", "regrouped", "evidence"]].itertuples(index=False):
        text = f"pinned {kind}" if kind in HELD else f"{kind} {evidence:.2f}"
        if text not in said.setdefault(event, []):
            said[event].append(text)
    return {event: ", ".join(texts) for event, texts in said.items()}


def outlined(
    masks: Mapping[Arm, Sequence[Mask]],
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """Give a number to every region that the outlines of some objects of both arms enclose.

    Parameters
    ----------
    masks
        Of each arm; at least one altogether.

    Returns
    -------
    regions : ndarray
        uint8 (h, w): pixels of the same objects have the same number, those of none 0.
    box : tuple of int
        ``(x0, y0, x1, y1)`` of the array in image pixels, half-open, one pixel wider than the
        objects on every side, so that it may begin at -1.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.comparison.events import outlined
    >>> whole, part = (Mask(np.ones((1, n), bool), (0, 0, n, 1)) for n in (3, 2))
    >>> regions, box = outlined({"raw": [whole], "preprocessed": [part]})
    >>> regions[1].tolist(), box
    ([0, 2, 2, 1, 0], (-1, -1, 4, 2))
    """
    every = [mask for arm in ARMS for mask in masks.get(arm, ())]
    boxes = np.array([mask.box for mask in every])
    x0, y0 = (int(low) - 1 for low in boxes[:, :2].min(axis=0))
    x1, y1 = (int(high) + 1 for high in boxes[:, 2:].max(axis=0))
    box = (x0, y0, x1, y1)
    covered = np.stack([reframe(mask, box).ravel() for mask in every])
    _, regions = np.unique(covered, axis=1, return_inverse=True)
    regions = np.where(covered.any(axis=0), 1 + (regions.ravel() - 1) % 255, 0)
    return regions.reshape(y1 - y0, x1 - x0).astype(np.uint8), box


def shared_labels(
    comparison: Comparison, labels: Mapping[Arm, NDArray[np.integer]]
) -> dict[Arm, NDArray[np.int64]]:
    """Return label images in which the objects of a pair have one number, so one colour.

    Parameters
    ----------
    comparison
        What differs.
    labels
        Each arm's label image of any size, such as a thinned-out one.

    Returns
    -------
    dict
        By arm, int64 of the same shape: raw labels as they are; those of the preprocessed arm
        are the raw ones of their pairs, which are kept or changed, and new ones otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.comparison import compare_labels
    >>> from napari_graysam.comparison.events import shared_labels
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[7, 7, 0, 0], [7, 7, 1, 0]])
    >>> changes = compare_labels(raw, preprocessed)
    >>> shared_labels(changes, {"raw": raw, "preprocessed": preprocessed})["preprocessed"][1]
    array([1, 1, 3, 0])
    """
    events = comparison.events
    new = count(1 + max((label for event in events for label in event.raw), default=0))
    shared = {0: 0}
    for event in events:
        paired = event.change in ("kept", "changed")
        shared.update(zip(event.preprocessed, event.raw if paired else new, strict=False))
    found, places = np.unique(labels["preprocessed"], return_inverse=True)
    numbers = np.array([shared[label] for label in found.tolist()], np.int64)
    return {
        "raw": labels["raw"].astype(np.int64),
        "preprocessed": numbers[places].reshape(labels["preprocessed"].shape),
    }
