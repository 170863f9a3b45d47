"""Objects on their way through merging and splitting, what was done, and what users decided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from napari_graysam.masks import Mask, mask_iou
from napari_graysam.select.regrouping.evidence import Reasons

SAME = 0.5
"""Mask IoU from which a mask is the object that a user decided about."""
TWIN = 0.7
"""Mask IoU from which two masks are the same object."""


Identity = tuple[Any, ...]


def identity(mask: Mask) -> Identity:
    """Return what tells a mask from the others of a result, whatever becomes of its pixels.

    Its first candidate, or where it has none, as in a second look, how it was found.
    """
    return mask.candidates[:1] or (mask.point, mask.crop_box, mask.predicted_iou)


@dataclass(frozen=True, eq=False)
class Regrouping:
    """One merge or one split.

    Attributes
    ----------
    kind
        What was done.
    before, after
        The masks that were there, and those that came in their place.
    reasons
        What spoke for it; of several merges in a row, what spoke for the least sure one.
    """

    kind: Literal["merged", "split"]
    before: tuple[Mask, ...]
    after: tuple[Mask, ...]
    reasons: Reasons

    def labels(self, masks: Sequence[Mask]) -> tuple[int, ...]:
        """Return the labels of ``after`` among a result's masks: of those that are still there."""
        found = {identity(mask): label for label, mask in enumerate(masks, start=1)}
        known = (found.get(identity(mask)) for mask in self.after)
        return tuple(label for label in known if label is not None)

    def to_dict(self, masks: Sequence[Mask]) -> dict[str, Any]:
        """Return plain values for JSON: what was done, to which labels, on what evidence."""
        return {
            "kind": self.kind,
            "labels": list(self.labels(masks)),
            "before": [{"area": mask.area, "box": list(mask.box)} for mask in self.before],
            **self.reasons.to_dict(),
        }


def summary(regroupings: Sequence[Regrouping]) -> tuple[str, ...]:
    """Say in a sentence what was merged and split; nothing where nothing was."""
    merges = [one for one in regroupings if one.kind == "merged"]
    splits = [one for one in regroupings if one.kind == "split"]
    said = []
    if merges:
        masks = sum(len(one.before) for one in merges)
        asked = sum(not math.isnan(one.reasons.asked) for one in merges)
        drawn = f" ({asked} of them drawn as one by the model)" if asked else ""
        said.append(f"{masks} fragments merged into {len(merges)}{drawn}")
    if splits:
        parts = sum(len(one.after) for one in splits)
        said.append(f"{len(splits)} masks split into {parts}")
    return (f"one object, one mask: {', '.join(said)}",) if said else ()


@dataclass(frozen=True, eq=False)
class Held:
    """What a user has decided: never merged with each other, and never split.

    Attributes
    ----------
    apart
        Groups of masks that are different objects.
    whole
        Masks that are one object.
    """

    apart: tuple[tuple[Mask, ...], ...] = ()
    whole: tuple[Mask, ...] = ()

    def kinds(self, mask: Mask) -> list[str]:
        """Name the kinds of the decisions about a mask: ``apart``, ``whole``."""
        apart = any(_same([mask], group) for group in self.apart)
        return ["apart"] * apart + ["whole"] * self.forbids_splitting(mask)

    def forbids_merging(self, one: Sequence[Mask], other: Sequence[Mask]) -> bool:
        """Tell whether masks of one object and those of another must not be merged."""
        return any(
            any(mine != theirs for mine in _same(one, group) for theirs in _same(other, group))
            for group in self.apart
        )

    def forbids_splitting(self, mask: Mask) -> bool:
        """Tell whether a mask must not be split."""
        return any(mask_iou(mask, one) >= SAME for one in self.whole)


def _same(masks: Sequence[Mask], group: Sequence[Mask]) -> set[int]:
    return {
        number
        for number, one in enumerate(group)
        if any(mask_iou(mask, one) >= SAME for mask in masks)
    }


@dataclass(frozen=True, eq=False)
class Item:
    """An object, and what it was made of.

    Attributes
    ----------
    mask
        Its pixels.
    parts
        Masks that were merged to it; itself if it was not merged.
    places
        Numbers of the fragments that they are.
    families
        Numbers of the splits that they come from: parts of one are not merged again.
    reasons
        What spoke for its least sure merge.
    """

    mask: Mask
    parts: tuple[Mask, ...]
    places: frozenset[int]
    families: frozenset[int] = frozenset()
    reasons: Reasons | None = None


def twin(mask: Mask, among: Iterable[Mask]) -> Mask | None:
    """Return the first mask that is the same object."""
    return next((other for other in among if mask_iou(mask, other) >= TWIN), None)
