"""What preprocessing changed in a stack: every object of both arms, and every plane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.changes import (
    CHANGES,
    Change,
    Event,
    find_label_changes,
    named_events,
)
from napari_graysam.comparison.painted import ChangePainter
from napari_graysam.comparison.rules import DEFAULT_RULES, Rules
from napari_graysam.comparison.stack_tables import Seen, stack_objects
from napari_graysam.errors import ImageError
from napari_graysam.masks import ARMS, Arm, OverlapSum

if TYPE_CHECKING:
    import pandas as pd

Labels = NDArray[np.integer]
Numbers = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class StackComparison:
    """What differs between the raw and the preprocessed arm of a stack.

    Parameters
    ----------
    events
        Every change of whole objects, matched by what their volumes share; objects are named by
        their numbers. ``iou`` is that of the volumes.
    objects
        One row per object of either arm: ``arm``, number (``index``), ``change``, the number of
        its ``event`` from 1, its ``partners`` in the other arm, ``iou`` with the best of them,
        ``voxels``, ``delta_voxels`` (preprocessed minus raw, of the event; NaN without a
        partner), ``first`` and ``last`` plane, ``planes`` (how many have it), and in how many of
        them its section is ``kept``, ``changed``, ``gained``, ``lost``, ``split`` and ``merged``.
    planes
        One row per plane: its position along the axis (``z`` or ``t``), the number of sections
        of each arm (``raw``, ``preprocessed``), and how many changes of each class there are
        among the sections, by what they share in this plane, whatever their numbers.
    axis
        ``z`` or ``t``.
    positions
        Of the planes along the axis.
    rules
        The thresholds that were used.

    See Also
    --------
    Comparison : Of one image.
    """

    events: tuple[Event, ...]
    objects: pd.DataFrame
    planes: pd.DataFrame
    axis: Literal["z", "t"]
    positions: tuple[int, ...]
    rules: Rules

    @property
    def counts(self) -> dict[Change, int]:
        """Number of changes of each class; a split of one object into three counts once."""
        found = Counter(event.change for event in self.events)
        return {change: found[change] for change in CHANGES}

    def count_objects(self, arm: Arm) -> dict[Change, int]:
        """Count the objects of one arm in each class; the sum is all its objects."""
        of_arm = self.objects.loc[self.objects["arm"] == arm, "change"]
        return {change: int((of_arm == change).sum()) for change in CHANGES}

    @cached_property
    def _painter(self) -> ChangePainter:
        return ChangePainter(self.events, self.objects, "voxels")

    def difference(self, raw: Labels, preprocessed: Labels) -> NDArray[np.uint8]:
        """Paint what became of the objects in one plane.

        Parameters
        ----------
        raw, preprocessed
            Labels of the plane in each arm, (H, W).

        Returns
        -------
        ndarray
            uint8 (H, W): 0 background, 1 kept, 2 changed, 3 gained, 4 lost, 5 split, 6 merged,
            as in `Comparison`; of the whole object, the smaller one on top.
        """
        return self._painter.paint(raw, preprocessed)

    def to_dict(self) -> dict[str, Any]:
        """Return rules, counts, planes and events as plain values for JSON, None for NaN."""
        paired = [event.iou for event in self.events if event.change in ("kept", "changed")]
        return {
            "rules": self.rules.model_dump(),
            "axis": self.axis,
            "counts": dict(self.counts),
            "objects": {arm: dict(self.count_objects(arm)) for arm in ARMS},
            "mean_iou": float(np.mean(paired)) if paired else None,
            "planes": self.planes.to_dict("records"),
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


def compare_volumes(
    raw: Iterable[Labels],
    preprocessed: Iterable[Labels],
    rules: Rules = DEFAULT_RULES,
    *,
    axis: Literal["z", "t"] = "z",
    positions: Sequence[int] | None = None,
) -> StackComparison:
    """Compare two label volumes or labelled time series, reading one plane of each at a time.

    Objects are sorted into kept, changed, gained, lost, split and merged as `find_changes` does,
    by the voxels that they share in all planes; and so are their sections in each plane.

    Parameters
    ----------
    raw, preprocessed
        The planes of each arm, label images (H, W); an object has one number in all planes. An
        array (P, H, W), or anything that yields plane by plane.
    rules
        The thresholds, for objects and for sections.
    axis
        What the planes are: ``z`` or ``t``.
    positions
        Of the planes along the axis; 0, 1, … if omitted.

    Raises
    ------
    ImageError
        If the arms differ in the number or the shape of their planes.

    See Also
    --------
    compare_labels : Of one image.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.comparison import compare_volumes
    >>> raw = np.array([[[1, 1, 0, 2]], [[1, 1, 0, 2]], [[0, 0, 0, 2]]])
    >>> preprocessed = np.array([[[4, 4, 0, 0]], [[4, 4, 0, 0]], [[0, 0, 5, 0]]])
    >>> comparison = compare_volumes(raw, preprocessed)
    >>> {change: count for change, count in comparison.counts.items() if count}
    {'kept': 1, 'gained': 1, 'lost': 1}
    >>> comparison.planes[["z", "kept", "gained", "lost"]].values.tolist()
    [[0, 1, 0, 1], [1, 1, 0, 1], [2, 0, 1, 1]]
    """
    import pandas as pd

    whole, seen = OverlapSum(), (Seen(), Seen())
    rows: list[tuple[int, ...]] = []
    for number, planes in enumerate(_pairs(raw, preprocessed)):
        position = number if positions is None else positions[number]
        ids, other_ids, overlaps = whole.add(*planes)
        changes = named_events(find_label_changes(overlaps, rules), ids, other_ids)
        count = Counter(event.change for event in changes)
        for event in changes:
            seen[0].add(position, event.change, event.raw)
            seen[1].add(position, event.change, event.preprocessed)
        changed = (count[change] for change in CHANGES)
        rows.append((position, ids.size, other_ids.size, *changed))
    ids, other_ids, overlaps = whole.total()
    events = find_label_changes(overlaps, rules)
    return StackComparison(
        events=named_events(events, ids, other_ids),
        objects=stack_objects(events, (ids, other_ids), overlaps, seen),
        planes=pd.DataFrame(rows, columns=[axis, *ARMS, *CHANGES]).astype("int64"),
        axis=axis,
        positions=tuple(row[0] for row in rows),
        rules=rules,
    )


def _pairs(
    raw: Iterable[Labels], preprocessed: Iterable[Labels]
) -> Iterator[tuple[Labels, Labels]]:
    for number, planes in enumerate(zip_longest(raw, preprocessed)):
        if any(plane is None for plane in planes):
            less = ARMS[0] if planes[0] is None else ARMS[1]
            raise ImageError(
                f"The {less} arm has {number} planes, the other has more; a comparison needs two "
                "label volumes of the same planes."
            )
        one, other = np.asarray(planes[0]), np.asarray(planes[1])
        if one.shape != other.shape or one.ndim != 2:
            raise ImageError(
                f"Plane {number}: the raw labels have shape {one.shape}, the preprocessed ones "
                f"{other.shape}; a comparison needs label images (H, W) of the same shape."
            )
        yield one, other
