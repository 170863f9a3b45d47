"""Objects that a plane lacks are asked for there, with the mask that the plane beside it has."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Mask, mask_iou
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.recipe.linking import LinkRules
from napari_graysam.stack.gaps import Fill, masks_of, paint_fill
from napari_graysam.stack.links import Links

Planes = Sequence[NDArray[np.integer]]
Ask = Callable[[int, Sequence[Mask]], Generator[Progress, None, Sequence[Mask | None]]]
"""Takes a plane's position and masks of another plane; returns the model's answer to each."""

TAKEN = 0.1
"""Most of an answer that may lie on other objects."""
SURE = 0.8
"""Part of the thresholds that an answer has to reach: the plane beside it speaks for it."""
LARGEST_CHANGE = 2.0
"""Most that an area grows or shrinks by from one plane to the next."""


class _Again(NamedTuple):
    """An accepted answer, and how many planes it lies from one that found the object itself."""

    fill: Fill
    age: int


def propagate_steps(
    planes: Planes, links: Links, rules: LinkRules, recipe: Recipe, ask: Ask
) -> Generator[Progress, None, list[list[Fill]]]:
    """Ask for objects in the planes beside those that have them, yielding `Progress`.

    An answer is asked about in the next plane, up to ``gap`` planes from one that found the
    object itself; first towards the end of the stack, then towards its beginning.

    Parameters
    ----------
    planes
        The label images that were linked, (H, W) each; asked for one at a time.
    links
        Of these planes.
    rules
        Uses ``gap`` and ``min_overlap``.
    recipe
        Uses the thresholds of ``generator`` and the areas of ``labels``.
    ask
        Called for planes that lack something, and for no others.

    Returns
    -------
    list of list of Fill
        For every plane, its new masks in the order in which they were accepted.

    Notes
    -----
    An answer is taken if the model is nearly as sure of it as objects have to be (`SURE`), if it
    is the same object (IoU of at least ``min_overlap``, of about the same area) and if it lies next
    to nowhere on others (`TAKEN`); it is painted where they leave room.
    """
    again: list[dict[int, _Again]] = [{} for _ in planes]
    count = len(planes)
    for direction in (1, -1):
        for step in range(count - 1):
            at = step if direction == 1 else count - 1 - step
            yield Progress("prompt", step + (count if direction < 0 else 0), 2 * count)
            lacking = _lacking(links, again, at, at + direction, rules.gap)
            if not lacking:
                continue
            there = _painted(planes, links, again, at)
            sources = masks_of(there, lacking)
            answers = yield from ask(at + direction, [sources[number] for number in lacking])
            labels = _painted(planes, links, again, at + direction)
            pairs = [
                (number, answer)
                for number, answer in zip(lacking, answers, strict=True)
                if answer is not None and _same(sources[number], answer, rules, recipe)
            ]
            # The surest one comes first.
            for number, answer in sorted(pairs, key=lambda pair: -pair[1].predicted_iou):
                if np.mean(labels[answer.slices][answer.bits] > 0) > TAKEN:
                    continue
                if fill := paint_fill(labels, number, "prompt", answer):
                    age = again[at][number].age if number in again[at] else 0
                    again[at + direction][number] = _Again(fill, age + 1)
    return [[one.fill for one in found.values()] for found in again]


def _lacking(
    links: Links, again: Sequence[dict[int, _Again]], at: int, then: int, gap: int
) -> list[int]:
    """Return the objects of a plane that the next one lacks."""
    here, there = ({*links.ids[n].tolist(), *again[n]} - {0} for n in (at, then))
    return [
        number
        for number in sorted(here - there)
        if (again[at][number].age if number in again[at] else 0) < gap
    ]


def _painted(
    planes: Planes, links: Links, again: Sequence[dict[int, _Again]], at: int
) -> NDArray[np.uint32]:
    labels = links.ids[at][planes[at]]
    for one in again[at].values():
        paint_fill(labels, one.fill.id, "prompt", one.fill.mask)
    return labels


def _same(source: Mask, answer: Mask, rules: LinkRules, recipe: Recipe) -> bool:
    """Tell whether an answer is good, and the object that was asked for."""
    generator, labels = recipe.generator, recipe.labels
    return (
        answer.predicted_iou >= SURE * generator.pred_iou_thresh
        and answer.stability >= SURE * generator.stability_score_thresh
        and labels.min_area <= answer.area <= (labels.max_area or np.inf)
        and max(source.area, answer.area) <= LARGEST_CHANGE * min(source.area, answer.area)
        and mask_iou(source, answer) >= rules.min_overlap
    )


class Extended(Sequence[NDArray[np.integer]]):
    """Planes with new masks as further labels, in the order of the masks."""

    def __init__(self, planes: Planes, found: Sequence[Sequence[Fill]]) -> None:
        self._planes, self._found = planes, found

    def __len__(self) -> int:
        """Return the number of planes."""
        return len(self._planes)

    @overload
    def __getitem__(self, number: int) -> NDArray[np.integer]: ...
    @overload
    def __getitem__(self, number: slice) -> list[NDArray[np.integer]]: ...
    def __getitem__(self, number: int | slice) -> NDArray[np.integer] | list[NDArray[np.integer]]:
        """Paint a plane, or some."""
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        plane = self._planes[number]
        if not self._found[number]:
            return plane
        labels = plane.astype(np.uint32)
        for label, fill in enumerate(self._found[number], self._first(plane)):
            paint_fill(labels, label, fill.source, fill.mask)
        return labels

    def fills(self, number: int, links: Links) -> tuple[Fill, ...]:
        """Return the new masks of a plane with the numbers that linking these planes gave them."""
        if not self._found[number]:
            return ()
        ids = links.ids[number]
        numbered = enumerate(self._found[number], self._first(self._planes[number]))
        fills = (replace(fill, id=int(ids[label])) for label, fill in numbered)
        return tuple(fill for fill in fills if fill.id)

    @staticmethod
    def _first(plane: NDArray[np.integer]) -> int:
        return int(plane.max(initial=0)) + 1
