"""What preprocessing changed: every object of both arms in exactly one class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from napari_graysam.masks import Mask, Overlaps, mask_overlaps, match
from napari_graysam.masks.regions import reframe
from napari_graysam.parameters import Part

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


class Rules(Part):
    """When objects of the raw and the preprocessed arm are the same."""

    kept_iou: float = Field(
        default=0.8,
        ge=0.5,
        le=1,
        title="Kept from IoU",
        description="Objects of both arms that overlap by at least this IoU count as kept. "
        "Raising it calls more objects changed.",
    )
    match_iou: float = Field(
        default=0.5,
        gt=0,
        le=1,
        title="Changed from IoU",
        description="Objects that overlap by at least this IoU, but by less than for kept, count "
        "as changed. Raising it calls more objects lost and gained.",
    )
    part_inside: float = Field(
        default=0.75,
        gt=0.5,
        le=1,
        title="Part lies inside",
        description="Fraction of a piece that must lie inside an object for the piece to be a "
        "part of it. Raising it finds fewer splits and merges.",
    )
    part_share: float = Field(
        default=0.1,
        ge=0,
        lt=0.5,
        title="Smallest part",
        description="Smallest fraction of an object that a part of it covers. Raising it ignores "
        "small fragments beside a large piece.",
    )
    covered: float = Field(
        default=0.75,
        gt=0,
        le=1,
        title="Covered by parts",
        description="Fraction of an object that its parts must cover together to count as a "
        "split or a merge. Raising it finds fewer of both.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Rules:
        if self.match_iou > self.kept_iou:
            raise ValueError(f"match_iou {self.match_iou} must not exceed kept_iou {self.kept_iou}")
        return self


DEFAULT_RULES = Rules()


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


@dataclass(frozen=True)
class _Group:
    """An object of one arm, its parts in the other, and the pixels they share and fill."""

    whole: int
    parts: tuple[int, ...]
    covered: int
    union: int


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
    overlaps = mask_overlaps(raw, preprocessed)
    free = (np.ones(len(raw), dtype=bool), np.ones(len(preprocessed), dtype=bool))
    events = _pair("kept", overlaps, rules.kept_iou, free)
    events += _regroup(raw, preprocessed, overlaps, rules, free)
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
    raw: Sequence[Mask],
    preprocessed: Sequence[Mask],
    overlaps: Overlaps,
    rules: Rules,
    free: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> list[Event]:
    """Find splits and merges among free objects and mark their members as used."""
    rest = overlaps.among(*free)
    arms = (raw, preprocessed)
    candidates = [(0, group) for group in _groups(raw, preprocessed, rest, rules)]
    candidates += [(1, group) for group in _groups(preprocessed, raw, rest.exchanged, rules)]
    # The tie-break looks at the object and never at its arm, which keeps the arms exchangeable.
    candidates.sort(key=lambda one: (-one[1].covered, _geometry(arms[one[0]][one[1].whole])))
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


def _geometry(mask: Mask) -> tuple[tuple[int, int, int, int], bytes]:
    """Order masks by geometry alone."""
    return mask.box, mask.bits.tobytes()


def _groups(
    wholes: Sequence[Mask], parts: Sequence[Mask], overlaps: Overlaps, rules: Rules
) -> Iterator[_Group]:
    """Yield every object of one arm that parts of the other cover well enough."""
    inside = overlaps.pixels >= rules.part_inside * overlaps.areas_b[overlaps.b]
    large = overlaps.pixels >= rules.part_share * overlaps.areas_a[overlaps.a]
    members = np.flatnonzero(inside & large)
    several, counts = np.unique(overlaps.a[members], return_counts=True)
    for whole in several[counts > 1].tolist():
        pairs = members[overlaps.a[members] == whole]
        pairs = pairs[np.argsort(-overlaps.pixels[pairs], kind="stable")]
        group = _disjoint_parts(whole, wholes[whole], overlaps.b[pairs].tolist(), parts)
        if len(group.parts) > 1 and group.covered >= rules.covered * overlaps.areas_a[whole]:
            yield group


def _disjoint_parts(
    whole: int, mask: Mask, candidates: Sequence[int], parts: Sequence[Mask]
) -> _Group:
    """Choose parts that lie beside each other, the larger ones first."""
    boxes = np.array([mask.box, *(parts[index].box for index in candidates)])
    x0, y0 = boxes[:, :2].min(axis=0).tolist()
    x1, y1 = boxes[:, 2:].max(axis=0).tolist()
    inside = reframe(mask, (x0, y0, x1, y1))
    taken = np.zeros_like(inside)
    chosen = []
    for index in candidates:
        bits = reframe(parts[index], (x0, y0, x1, y1))
        here = bits & inside
        if 2 * np.count_nonzero(here & ~taken) > np.count_nonzero(here):
            taken |= bits
            chosen.append(index)
    return _Group(
        whole=whole,
        parts=tuple(sorted(chosen)),
        covered=int(np.count_nonzero(taken & inside)),
        union=int(np.count_nonzero(taken | inside)),
    )
