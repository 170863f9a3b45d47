"""Survivors of a selection as objects: split and merged where the recipe asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_graysam.errors import ProposalsError
from napari_graysam.masks import Mask
from napari_graysam.masks.overlap import shared_box_pixels
from napari_graysam.select.filters import check_floor, near_crop_edge
from napari_graysam.select.pins import held_of
from napari_graysam.select.regrouping.asked import Answers
from napari_graysam.select.regrouping.borders import Borders
from napari_graysam.select.regrouping.merge import Merger
from napari_graysam.select.regrouping.objects import (
    Held,
    Identity,
    Item,
    Regrouping,
    identity,
)
from napari_graysam.select.regrouping.outline import Levels
from napari_graysam.select.regrouping.split import split
from napari_graysam.select.shapes import Indices
from napari_graysam.select.wanted import of_size

if TYPE_CHECKING:
    from napari_graysam.select.derived import Derived
    from napari_graysam.select.selection import Survivors

LEAST_SCORE = 0.3
"""Predicted IoU above which candidates may cover objects or be parts of them."""
LEAST_ASKED = 0.1
"""Evidence of neighbours from which the model is asked whether they are one object."""


class Regrouper:
    """Merges and splits the survivors of one selection.

    Parameters
    ----------
    derived
        What is known of the candidates.
    found
        The survivors; ``labels.merging`` says how much evidence is asked for.
    source
        Written to each mask.
    levels
        Gray values of the image and of what the model saw.
    answers
        What the model drew for pairs of neighbours.

    Raises
    ------
    ProposalsError
        If something is to be merged or split, and ``levels`` is None or the proposals were made
        with higher floors.
    """

    def __init__(
        self,
        derived: Derived,
        found: Survivors,
        source: str,
        levels: Levels | None,
        answers: Answers,
    ) -> None:
        if levels is None:
            raise ProposalsError(
                "labels.merging compares gray values in the image, but only proposals came: give "
                "the gray values they were made from, too (raw)"
            )
        check_floor(found.scored, LEAST_SCORE, "labels.merging")
        self._found, self._source, self._answers = found, source, answers
        self._levels = levels
        self._cleaned = derived.cleaned(found.generator, found.labels)
        self._borders = derived.borders(found.compared, levels)
        self._options = found.labels.merging
        self._pool, self._held = _pool(found), held_of(found.edits)

    def regroup(self) -> tuple[list[Mask], tuple[Regrouping, ...]]:
        """Return the survivors as objects, and which were merged and split.

        Returns
        -------
        masks
            In the survivors' order, a merged one at the place of its first part, parts of a
            split one at its place; none empty.
        regroupings
            What was done, splits first, each surest first.
        """
        items, done = self._split()
        if self._options.merge > 0:
            items = self._merger(items).merge(1 - self._options.merge)
            done += _merges(items)
        return _marked([item.mask for item in items], done, self._held), tuple(done)

    def neighbours(self) -> list[tuple[Mask, Mask]]:
        """Return the pairs that the model should be asked for: those it has not answered yet."""
        return self._unasked(self._merger(self._split()[0]).neighbours(LEAST_ASKED))

    def add(
        self, masks: Sequence[Mask], new: int, before: Sequence[Regrouping]
    ) -> tuple[list[Mask], tuple[Regrouping, ...]]:
        """Merge masks that came later with those that are there, and with each other.

        Parameters
        ----------
        masks
            Objects, then new ones.
        new
            Number of the first new one.
        before
            What was merged and split already.

        Returns
        -------
        masks, regroupings
            As of `regroup`; of ``before``, what is still as it was stays.
        """
        items, merger = self._merger_of(masks, new, before)
        merged = merger.merge(1 - self._options.merge, new)
        known = {id(item.mask.bits) for item in items}
        done = _merges([item for item in merged if id(item.mask.bits) not in known])
        gone = {id(mask.bits) for one in done for mask in one.before}
        kept = [
            one
            for one in before
            if one.kind == "split" or not all(id(mask.bits) in gone for mask in one.before)
        ]
        size = self._found.scored.image_size
        wanted = [
            item.mask
            for item in merged
            if id(item.mask.bits) in known or of_size([item.mask], self._found.labels, size)
        ]
        return _marked(wanted, done, self._held), (*kept, *done)

    def new_neighbours(
        self, masks: Sequence[Mask], new: int, before: Sequence[Regrouping]
    ) -> list[tuple[Mask, Mask]]:
        """Do as `neighbours`, for pairs with new masks; parameters as of `add`."""
        _, merger = self._merger_of(masks, new, before)
        return self._unasked(merger.neighbours(LEAST_ASKED, new))

    def _unasked(self, pairs: Sequence[tuple[Mask, Mask]]) -> list[tuple[Mask, Mask]]:
        return [pair for pair in pairs if not self._answers.knows(*pair)]

    def _split(self) -> tuple[list[Item], list[Regrouping]]:
        found = self._found
        masks = found.masks_of(found.survivors, self._cleaned, self._source)
        there = [mask for mask in masks if mask.area]
        items = [Item(mask, (mask,), frozenset([place])) for place, mask in enumerate(there)]
        if self._options.split == 0:
            return items, []
        least = 1 - self._options.split
        return split(items, self._pool, self._draw, least, self._held, self._borders)

    def _merger(self, items: Sequence[Item]) -> Merger:
        masks = [item.mask for item in items]
        return Merger(
            items, masks, self._pool, self._draw, self._held, self._borders, self._answers
        )

    def _merger_of(
        self, masks: Sequence[Mask], new: int, before: Sequence[Regrouping]
    ) -> tuple[list[Item], Merger]:
        """Return masks as items with all their fragments, and what merges them."""
        merges, families = _origins(before)
        fragments: list[Mask] = []
        items = []
        for mask in masks:
            one = merges.get(identity(mask))
            parts = (mask,) if one is None else one.before
            places = frozenset(range(len(fragments), len(fragments) + len(parts)))
            reasons = None if one is None else one.reasons
            of_splits = frozenset(families.get(identity(mask), ()))
            items.append(Item(mask, parts, places, of_splits, reasons))
            fragments += parts
        # These masks are others than the selection's: what is measured of them is not kept.
        borders = Borders(self._found.compared, self._levels)
        boxes = np.array([mask.box for mask in masks[new:]]).reshape(-1, 4)
        near = [
            index
            for index in self._pool.tolist()
            if shared_box_pixels(self._found.compared.box[index], boxes).any()
        ]
        pool = np.array(near, np.intp)
        merger = Merger(items, fragments, pool, self._draw, self._held, borders, self._answers)
        return items, merger

    def _draw(self, candidate: int) -> Mask | None:
        self._cleaned.ensure([candidate])
        (mask,) = self._found.masks_of(np.array([candidate]), self._cleaned, self._source)
        return mask if mask.area else None


def _merges(items: Sequence[Item]) -> list[Regrouping]:
    """Return the merges that items come from, surest first."""
    merges = [
        Regrouping("merged", item.parts, (item.mask,), item.reasons)
        for item in items
        if item.reasons is not None
    ]
    return sorted(merges, key=lambda one: -one.reasons.evidence)


def _origins(
    before: Sequence[Regrouping],
) -> tuple[dict[Identity, Regrouping], dict[Identity, set[int]]]:
    """Return the merge that each mask comes from, and the numbers of the splits."""
    merges: dict[Identity, Regrouping] = {}
    families: dict[Identity, set[int]] = {}
    for number, one in enumerate(before):
        for mask in one.after:
            if one.kind == "merged":
                merges[identity(mask)] = one
            else:
                families.setdefault(identity(mask), set()).add(number)
    return merges, families


def _marked(masks: Sequence[Mask], done: Sequence[Regrouping], held: Held) -> list[Mask]:
    """Write to each mask whether it was merged or split, or kept from it by a pin."""
    of = {id(mask.bits): one for one in done for mask in one.after}

    def marked(mask: Mask) -> Mask:
        one = of.get(id(mask.bits))
        if one is not None:
            return mask.marked(regrouped=one.kind, evidence=one.reasons.evidence)
        kinds = held.kinds(mask)
        return mask.marked(regrouped=kinds[0]) if kinds else mask

    return [marked(mask) for mask in masks]


def _pool(found: Survivors) -> Indices:
    """Return the candidates that may cover objects or be parts of them: also dropped ones."""
    scored = found.scored
    good = (scored.predicted_iou > LEAST_SCORE) & (found.compared.area > 0) & (found.displaced < 0)
    pool = np.flatnonzero(good)
    crop_box = scored.crop_box[pool]
    cut_off = near_crop_edge(found.compared.inclusive(pool), crop_box, scored.image_size)
    return pool[~cut_off]
