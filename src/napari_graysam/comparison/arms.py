"""The comparison of two arms as counts, a table and a difference image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.changes import (
    CHANGES,
    CODES,
    Change,
    Event,
    find_changes,
)
from napari_graysam.comparison.objects import compared_objects
from napari_graysam.comparison.rules import DEFAULT_RULES, Rules
from napari_graysam.errors import ImageError
from napari_graysam.masks import ARMS, Arm, Mask, label_masks, paint

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Comparison:
    """What differs between the raw and the preprocessed arm.

    Parameters
    ----------
    events
        Every change; objects are named by their labels.
    objects
        One row per object of either arm: its ``arm``, label (``index``) and ``change``; the
        number of its ``event`` from 1, which its ``partners`` (labels in the other arm,
        separated by spaces) share; the ``iou`` with the best of them; its ``area`` and
        half-open box in pixels; its scores, NaN where label images carry none. The deltas
        are preprocessed minus raw of the whole event: of the summed area and of the mean
        scores. They are NaN without a partner, and where there are no scores. With a pixel
        size, ``area_um2`` and ``delta_area_um2`` follow; where anything was merged, split or held,
        ``regrouped`` (``merged``, ``split``, where a pin keeps it from that ``apart`` or
        ``whole``, else empty) and ``evidence``.
    difference
        uint8 (H, W): 0 background, 1 kept, 2 changed, 3 gained, 4 lost, 5 split, 6 merged.
        Objects of both arms are painted, smaller ones on top.
    rules
        The thresholds that were used.
    pixel_size
        (height, width) of a pixel in micrometres; None where it is not known.
    """

    events: tuple[Event, ...]
    objects: pd.DataFrame
    difference: NDArray[np.uint8]
    rules: Rules
    pixel_size: tuple[float, float] | None = None

    @property
    def counts(self) -> dict[Change, int]:
        """Number of changes of each class; a split of one object into three counts once."""
        found = Counter(event.change for event in self.events)
        return {change: found[change] for change in CHANGES}

    def count_objects(self, arm: Arm) -> dict[Change, int]:
        """Count the objects of one arm in each class; the sum is all its objects."""
        of_arm = self.objects.loc[self.objects["arm"] == arm, "change"]
        return {change: int((of_arm == change).sum()) for change in CHANGES}

    def to_dict(self) -> dict[str, Any]:
        """Return rules, counts and events as plain values for JSON, with None for NaN."""
        paired = [event.iou for event in self.events if event.change in ("kept", "changed")]
        return {
            "rules": self.rules.model_dump(),
            "pixel_size_um": None if self.pixel_size is None else list(self.pixel_size),
            "counts": dict(self.counts),
            "objects": {arm: dict(self.count_objects(arm)) for arm in ARMS},
            "mean_iou": float(np.mean(paired)) if paired else None,
            "events": [
                {
                    "change": event.change,
                    "raw": list(event.raw),
                    "preprocessed": list(event.preprocessed),
                    "iou": None if np.isnan(event.iou) else event.iou,
                }
                for event in self.events
            ],
        }


def compare_masks(
    raw: Sequence[Mask],
    preprocessed: Sequence[Mask],
    shape: tuple[int, int],
    rules: Rules = DEFAULT_RULES,
    pixel_size: tuple[float, float] | None = None,
) -> Comparison:
    """Compare the masks of two arms; the label of a mask is its index plus 1.

    Parameters
    ----------
    raw, preprocessed
        Masks of one image, none empty; masks of one arm may overlap.
    shape
        (H, W) of the image.
    rules
        Thresholds; see `find_changes` for what they decide.
    pixel_size
        (height, width) of a pixel in micrometres; None where it is not known.

    See Also
    --------
    compare_labels : The same for label images.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.comparison import compare_masks
    >>> from napari_graysam.masks import Mask
    >>> cell = Mask(np.ones((4, 4), bool), (2, 2, 6, 6))
    >>> compare_masks([], [cell], (9, 9)).counts["gained"]
    1
    """
    labels = (tuple(range(1, len(raw) + 1)), tuple(range(1, len(preprocessed) + 1)))
    return _compare((raw, preprocessed), labels, shape, rules, pixel_size)


def compare_labels(
    raw: NDArray[np.integer],
    preprocessed: NDArray[np.integer],
    rules: Rules = DEFAULT_RULES,
    tables: tuple[pd.DataFrame | None, pd.DataFrame | None] = (None, None),
    pixel_size: tuple[float, float] | None = None,
) -> Comparison:
    """Compare two label images of one shape.

    Parameters
    ----------
    raw, preprocessed
        Label images (H, W) of any integer dtype; 0 is background.
    rules
        Thresholds; see `find_changes` for what they decide.
    tables
        Each arm's table of objects, from whose columns ``index`` (the label), ``predicted_iou``
        and ``stability_score`` the scores are taken; without them scores are NaN.
    pixel_size
        (height, width) of a pixel in micrometres; None where it is not known.

    Raises
    ------
    ImageError
        If the shapes differ.

    See Also
    --------
    compare_masks : The same for masks, which may overlap.
    find_changes : What the classes mean.

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> from napari_graysam.comparison import compare_labels
    >>> comparison = compare_labels(raw, preprocessed)
    >>> {change: count for change, count in comparison.counts.items() if count}
    {'kept': 1, 'gained': 1, 'lost': 1}
    """
    if raw.shape != preprocessed.shape or raw.ndim != 2:
        raise ImageError(
            f"The raw labels have shape {raw.shape}, the preprocessed ones {preprocessed.shape}; "
            "a comparison needs two label images (H, W) of the same shape."
        )
    (masks_a, ids_a), (masks_b, ids_b) = (
        _scored_masks(labels, table)
        for labels, table in zip((raw, preprocessed), tables, strict=True)
    )
    shape = (raw.shape[0], raw.shape[1])
    return _compare((masks_a, masks_b), (ids_a, ids_b), shape, rules, pixel_size)


def _scored_masks(
    labels: NDArray[np.integer], table: pd.DataFrame | None
) -> tuple[tuple[Mask, ...], tuple[int, ...]]:
    """Return a mask for each label, with the scores of a table or NaN, and the labels."""
    scores = _scores(table)
    masks, ids = label_masks(labels)
    scored = [
        mask.marked(predicted_iou=predicted_iou, stability=stability)
        for mask, (predicted_iou, stability) in zip(
            masks, (scores.get(label, (np.nan, np.nan)) for label in ids), strict=True
        )
    ]
    return tuple(scored), ids


def _scores(table: pd.DataFrame | None) -> dict[int, tuple[float, float]]:
    """Return predicted IoU and stability by label, as far as the table has them."""
    if table is None or "index" not in table:
        return {}
    known = table.reindex(columns=["index", "predicted_iou", "stability_score"])
    known = known.dropna(subset=["index"])
    return {
        int(label): (float(predicted_iou), float(stability))
        for label, predicted_iou, stability in known.to_numpy(dtype=np.float64).tolist()
    }


def _compare(
    arms: tuple[Sequence[Mask], Sequence[Mask]],
    labels: tuple[tuple[int, ...], tuple[int, ...]],
    shape: tuple[int, int],
    rules: Rules,
    pixel_size: tuple[float, float] | None,
) -> Comparison:
    """Find the changes and describe them with the objects' labels."""
    events = find_changes(*arms, rules)
    named = [
        replace(
            event,
            raw=tuple(labels[0][i] for i in event.raw),
            preprocessed=tuple(labels[1][i] for i in event.preprocessed),
        )
        for event in events
    ]
    return Comparison(
        events=tuple(named),
        objects=compared_objects(events, arms, labels, pixel_size),
        difference=_difference(events, arms, shape),
        rules=rules,
        pixel_size=pixel_size,
    )


def _difference(
    events: Sequence[Event],
    arms: tuple[Sequence[Mask], Sequence[Mask]],
    shape: tuple[int, int],
) -> NDArray[np.uint8]:
    """Paint every object in the code of its class, smaller ones on top."""
    coded = [
        (mask, CODES[event.change])
        for event in events
        for mask in (*(arms[0][i] for i in event.raw), *(arms[1][i] for i in event.preprocessed))
    ]
    # Equal areas are ordered by geometry and not by arm: exchanged arms give the same picture.
    coded.sort(key=lambda one: (one[0].box, one[0].bits.tobytes(), one[1]), reverse=True)
    codes = np.array([0, *(code for _, code in coded)], np.uint8)
    difference: NDArray[np.uint8] = codes[paint([mask for mask, _ in coded], shape)]
    return difference
