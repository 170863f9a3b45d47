"""Merging: neighbours that are one object become one mask."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import Mask
from napari_graysam.masks.overlap import shared_box_pixels, shared_pixels
from napari_graysam.select.regrouping.asked import Answers, accepted
from napari_graysam.select.regrouping.borders import Borders, Draw
from napari_graysam.select.regrouping.evidence import SUREST, Reasons, for_merging, mean_score
from napari_graysam.select.regrouping.objects import Held, Item, twin
from napari_graysam.select.regrouping.outline import REACH, join_bits
from napari_graysam.select.regrouping.wholes import INSIDE, Whole, find_wholes
from napari_graysam.select.shapes import Indices, Shapes


class Merger:
    """Merges neighbours, those with most evidence first.

    Parameters
    ----------
    items
        The objects.
    fragments
        What they are made of, by the numbers in their `places`.
    pool
        Candidates that may cover several of them.
    draw
        Returns a candidate as an object; None if nothing is left of it.
    held
        What must not be merged.
    borders
        Measures and remembers.
    answers
        What the model drew for pairs of neighbours.
    """

    def __init__(
        self,
        items: Sequence[Item],
        fragments: Sequence[Mask],
        pool: Indices,
        draw: Draw,
        held: Held,
        borders: Borders,
        answers: Answers,
    ) -> None:
        self._answers = answers
        kept = [borders.shares.number(mask) for mask in fragments]
        self._wholes = _Wholes(find_wholes(kept, pool, borders.shares), borders.shapes)
        self._draw, self._held, self._borders = draw, held, borders
        self._present = dict(enumerate(items))
        self._numbers = count(len(items))
        scores = [item.mask.predicted_iou for item in items]
        self._surest = float(np.quantile(scores, SUREST)) if scores else 0.0
        self._heap: list[tuple[float, tuple[Any, ...], int, int, Reasons]] = []

    def neighbours(self, least: float, new: int = 0) -> list[tuple[Mask, Mask]]:
        """Return the pairs for which there is at least so much evidence, of which one is new.

        Parameters
        ----------
        least
            Evidence.
        new
            Number of the first new object.
        """
        self._judge_new(least, new)
        return [
            (self._present[one].mask, self._present[other].mask) for *_, one, other, _ in self._heap
        ]

    def merge(self, least: float, new: int = 0) -> list[Item]:
        """Return the objects after all merges with at least so much evidence.

        Parameters
        ----------
        least
            Evidence.
        new
            Number of the first new object: earlier ones are merged with new ones only.
        """
        self._judge_new(least, new)
        while self._heap:
            *_, one, other, reasons = heappop(self._heap)
            if one not in self._present or other not in self._present:
                continue
            merged = self._join(self._present.pop(one), self._present.pop(other), reasons)
            merged = _absorb(merged, self._present)
            number = next(self._numbers)
            near = _near(merged.mask, self._present)
            self._present[number] = merged
            self._judge_all(number, near.tolist(), least)
        return sorted(self._present.values(), key=lambda item: min(item.places))

    def _judge_new(self, least: float, new: int) -> None:
        """Put all pairs that are to be merged in line, those of objects before the new ones not."""
        for number, item in list(self._present.items())[new:]:
            near = _near(item.mask, self._present)
            self._judge_all(number, near[near < number].tolist(), least)

    def _judge_all(self, one: int, others: Iterable[int], least: float) -> None:
        """Put the pairs of an object and others that are to be merged in line."""
        for other in others:
            pair = self._present[one], self._present[other]
            reasons = self._judge(*pair)
            if reasons is not None and reasons.evidence >= least:
                order = tuple(sorted((item.mask.box, item.mask.area) for item in pair))
                heappush(self._heap, (-reasons.evidence, order, one, other, reasons))

    def _judge(self, one: Item, other: Item) -> Reasons | None:
        """Return what speaks for two objects being one; None where they are no neighbours."""
        if one.mask.pinned or other.mask.pinned or one.families & other.families:
            return None
        smaller = min(one.mask.area, other.mask.area)
        if shared_pixels(one.mask, other.mask) >= INSIDE * smaller:
            return None
        border = self._borders.between(one.mask, other.mask)
        if border is None or self._held.forbids_merging(one.parts, other.parts):
            return None
        own = mean_score([*one.parts, *other.parts])
        whole = self._wholes.covering(one.places | other.places)
        answer = self._answer(one, other, own)
        return for_merging(
            border,
            own - self._surest,
            whole=math.nan if whole is None else self._wholes.score(whole) - own,
            covered=math.nan if whole is None else whole.covered,
            asked=math.nan if answer is None else answer.predicted_iou - own,
        )

    def _answer(self, one: Item, other: Item, own: float) -> Mask | None:
        """Return what the model drew for two objects at once, if it shows them as one."""
        answers = list(self._answers.between(one.parts, other.parts))
        if not answers:
            return None
        boxes = np.array([mask.box for mask in answers])
        box = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
        near = (self._present.get(number) for number in _within(box, self._present).tolist())
        around = [item.mask for item in near if item not in (one, other, None)]
        return accepted(answers, one.mask, other.mask, own, around)

    def _join(self, one: Item, other: Item, reasons: Reasons) -> Item:
        """Merge two objects: to the surest mask that is just them, or to their pixels."""
        parts = sorted((*one.parts, *other.parts), key=lambda mask: (-mask.area, mask.box))
        places = one.places | other.places
        members = tuple(index for part in parts for index in part.candidates)
        steps = [step.reasons for step in (one, other) if step.reasons is not None]
        return Item(
            mask=self._drawn(one, other, parts).marked(candidates=members, point=parts[0].point),
            parts=tuple(parts),
            places=places,
            families=one.families | other.families,
            reasons=min([reasons, *steps], key=lambda step: step.evidence),
        )

    def _drawn(self, one: Item, other: Item, parts: Sequence[Mask]) -> Mask:
        whole = self._wholes.just(one.places | other.places)
        drawn = None if whole is None else self._draw(whole.candidate)
        answer = self._answer(one, other, mean_score(parts))
        masks = [mask for mask in (drawn, answer) if mask is not None]
        if masks:
            return max(masks, key=lambda mask: mask.predicted_iou)
        stability = min(part.stability for part in parts)
        return join_bits(parts).marked(predicted_iou=mean_score(parts), stability=stability)


class _Wholes:
    """Candidates that cover several objects, found by the places of these."""

    def __init__(self, wholes: Sequence[Whole], shapes: Shapes) -> None:
        self._scores = shapes.proposals.predicted_iou
        self._of_place: dict[int, list[Whole]] = {}
        for whole in sorted(wholes, key=lambda one: (-self._scores[one.candidate], one.candidate)):
            for place in whole.members:
                self._of_place.setdefault(place, []).append(whole)

    def score(self, whole: Whole) -> float:
        """Return the predicted IoU."""
        return float(self._scores[whole.candidate])

    def covering(self, places: frozenset[int]) -> Whole | None:
        """Return the surest that covers these objects."""
        known = self._of_place.get(min(places), [])
        return next((whole for whole in known if places <= whole.members), None)

    def just(self, places: frozenset[int]) -> Whole | None:
        """Return the surest that covers these objects and no other."""
        known = self._of_place.get(min(places), [])
        return next((whole for whole in known if places == whole.members), None)


def _near(mask: Mask, present: Mapping[int, Item]) -> npt.NDArray[np.intp]:
    """Return the numbers of the objects whose boxes lie within reach of a mask's."""
    x0, y0, x1, y1 = mask.box
    return _within((x0 - REACH, y0 - REACH, x1 + REACH, y1 + REACH), present)


def _within(box: tuple[int, ...], present: Mapping[int, Item]) -> npt.NDArray[np.intp]:
    """Return the numbers of the objects whose boxes share pixels with a box."""
    numbers = np.fromiter(present, np.intp)
    boxes = np.array([item.mask.box for item in present.values()]).reshape(-1, 4)
    return numbers[shared_box_pixels(np.array(box), boxes) > 0]


def _absorb(merged: Item, present: dict[int, Item]) -> Item:
    """Take in objects that are what fragments were merged to."""
    for number, item in list(present.items()):
        if item.mask.pinned or not twin(item.mask, [merged.mask]):
            continue
        del present[number]
        merged = replace(
            merged,
            mask=merged.mask.marked(candidates=(*merged.mask.candidates, *item.mask.candidates)),
            parts=(*merged.parts, *item.parts),
            places=merged.places | item.places,
        )
    return merged
