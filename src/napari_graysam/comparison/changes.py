"""What preprocessing changed: every object of both arms in exactly one class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.groups import Group, label_groups, mask_groups
from napari_graysam.comparison.rules import Rules
from napari_graysam.masks import Mask, Overlaps, mask_overlaps, match

Change = Literal["kept", "changed", "gained", "lost", "split", "merged"]
CHANGES: tuple[Change, ...] = ("kept", "changed", "gained", "lost", "split", "merged")
CODES: dict[Change, int] = {change: code for code, change in enumerate(CHANGES, start=1)}
# Okabe & Ito's palette, told apart with every common colour vision.
COLORS: dict[Change, str] = {
    "kept": "#009E73",
    "changed": "#F0E442",
    "gained": "#56B4E9",
    "lost": "#D55E00",
    "split": "#CC79A7",
    "merged": "#0072B2",
}


@dataclass(frozen=True)
class Event:
    """One change and the objects it concerns.

    Parameters
    ----------
    change
        Its class.
    raw, preprocessed
        Positions of the objects in the two arms; one of each for ``"kept"`` and ``"changed"``,
        none on one side for ``"gained"`` and ``"lost"``, one and several for ``"split"``,
        several and one for ``"merged"``.
    iou
        IoU of the pair, of the object with the union of its parts, or NaN.
    """

    change: Change
    raw: tuple[int, ...]
    preprocessed: tuple[int, ...]
    iou: float = float("nan")


def find_changes(
    raw: Sequence[Mask], preprocessed: Sequence[Mask], rules: Rules
) -> tuple[Event, ...]:
    """Sort the objects of two arms into kept, changed, gained, lost, split and merged.

    1. *Kept*: pairs with IoU ≥ ``kept_iou``, matched one to one with the largest sum of IoU.
    2. *Split*: among the rest, a raw object with at least two preprocessed parts. A part has at
       least ``part_inside`` of itself inside the object, covers at least ``part_share`` of it,
       and lies mostly (more than half of what it covers) beside the larger parts; the parts
       together cover at least ``covered`` of the object. *Merged*: the same with the arms
       exchanged. Where groups compete for an object, the one that covers more pixels wins.
    3. *Changed*: among the rest, pairs with IoU ≥ ``match_iou``, matched as in 1.
    4. *Lost* and *gained*: what is left of the raw and of the preprocessed objects.

    Exchanging the arms exchanges gained with lost and split with merged, and nothing else.

    Parameters
    ----------
    raw, preprocessed
        Masks of one image, none empty; masks of one arm may overlap.
    rules
        The thresholds.

    Returns
    -------
    tuple of Event
        In the order of `CHANGES`; every object occurs in exactly one.

    See Also
    --------
    compare_masks : Describes the changes with a table and a picture.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.comparison import Rules, find_changes
    >>> from napari_graysam.masks import Mask
    >>> whole = Mask(np.ones((4, 10), bool), (0, 0, 10, 4))
    >>> left, right = (Mask(np.ones((4, 5), bool), (x, 0, x + 5, 4)) for x in (0, 5))
    >>> [event.change for event in find_changes([whole], [left, right], Rules())]
    ['split']
    """

    def groups(overlaps: Overlaps, exchanged: bool) -> Iterator[Group]:
        wholes, parts = (preprocessed, raw) if exchanged else (raw, preprocessed)
        return mask_groups(wholes, parts, overlaps, rules)

    return _sorted(mask_overlaps(raw, preprocessed), rules, groups)


def find_label_changes(overlaps: Overlaps, rules: Rules) -> tuple[Event, ...]:
    """Sort the objects of two label images or volumes as `find_changes` does those of masks.

    Objects of one arm lie beside each other, so what they share with the other arm says all.
    Where groups compete for an object and cover as many pixels, the smaller one wins.

    Parameters
    ----------
    overlaps
        Of all raw objects (A) with all preprocessed ones (B).
    rules
        The thresholds.

    Returns
    -------
    tuple of Event
        As of `find_changes`.

    See Also
    --------
    compare_volumes : Describes the changes of two label volumes.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.comparison import Rules
    >>> from napari_graysam.comparison.changes import find_label_changes
    >>> from napari_graysam.masks import label_overlaps
    >>> _, _, overlaps = label_overlaps(np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]]))
    >>> [event.change for event in find_label_changes(overlaps, Rules())]
    ['split']
    """

    def groups(overlaps: Overlaps, exchanged: bool) -> Iterator[Group]:
        return label_groups(overlaps, rules)

    return _sorted(overlaps, rules, groups)


def named_events(
    events: Sequence[Event], ids: NDArray[np.integer], other_ids: NDArray[np.integer]
) -> tuple[Event, ...]:
    """Name objects by their labels in place of their positions."""
    return tuple(
        replace(
            event,
            raw=tuple(ids[list(event.raw)].tolist()),
            preprocessed=tuple(other_ids[list(event.preprocessed)].tolist()),
        )
        for event in events
    )


def _sorted(
    overlaps: Overlaps, rules: Rules, groups: Callable[[Overlaps, bool], Iterator[Group]]
) -> tuple[Event, ...]:
    free = (np.ones(overlaps.areas_a.size, bool), np.ones(overlaps.areas_b.size, bool))
    events = _pair("kept", overlaps, rules.kept_iou, free)
    events += _regroup(overlaps.among(*free), free, groups)
    events += _pair("changed", overlaps, rules.match_iou, free)
    events += [Event("lost", (int(i),), ()) for i in np.flatnonzero(free[0])]
    events += [Event("gained", (), (int(i),)) for i in np.flatnonzero(free[1])]
    events.sort(key=lambda event: (CHANGES.index(event.change), event.raw, event.preprocessed))
    return tuple(events)


def _pair(
    change: Change,
    overlaps: Overlaps,
    threshold: float,
    free: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> list[Event]:
    """Match free objects one to one and mark them as used."""
    rest = overlaps.among(*free)
    iou = rest.iou
    events = []
    for pair in match(rest, threshold):
        one, other = int(rest.a[pair]), int(rest.b[pair])
        free[0][one] = free[1][other] = False
        events.append(Event(change, (one,), (other,), float(iou[pair])))
    return events


def _regroup(
    overlaps: Overlaps,
    free: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    groups: Callable[[Overlaps, bool], Iterator[Group]],
) -> list[Event]:
    """Find splits and merges among free objects and mark their members as used."""
    candidates = [(0, group) for group in groups(overlaps, False)]
    candidates += [(1, group) for group in groups(overlaps.exchanged, True)]
    # The tie-break looks at the object and never at its arm, which keeps the arms exchangeable.
    candidates.sort(key=lambda one: (-one[1].covered, one[1].key))
    events = []
    for arm, group in candidates:
        parts = list(group.parts)
        if not (free[arm][group.whole] and free[1 - arm][parts].all()):
            continue
        free[arm][group.whole] = False
        free[1 - arm][parts] = False
        iou = group.covered / group.union
        if arm == 0:
            events.append(Event("split", (group.whole,), group.parts, iou))
        else:
            events.append(Event("merged", group.parts, (group.whole,), iou))
    return events
