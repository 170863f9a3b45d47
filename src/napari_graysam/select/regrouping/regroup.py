"""Survivors of a selection as objects: split and merged where the recipe asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_graysam.errors import ProposalsError
from napari_graysam.masks import Mask
from napari_graysam.select.filters import check_floor, near_crop_edge
from napari_graysam.select.pins import held_of
from napari_graysam.select.regrouping.merge import Merger
from napari_graysam.select.regrouping.objects import Held, Item, Regrouping
from napari_graysam.select.regrouping.outline import Levels
from napari_graysam.select.regrouping.split import split
from napari_graysam.select.shapes import Indices, Shapes

if TYPE_CHECKING:
    from napari_graysam.select.derived import Derived
    from napari_graysam.select.selection import Survivors

LEAST_SCORE = 0.3
"""Predicted IoU above which candidates may cover objects or be parts of them."""


def regrouped(
    derived: Derived, found: Survivors, cleaned: Shapes, source: str, levels: Levels | None
) -> tuple[list[Mask], tuple[Regrouping, ...]]:
    """Return the survivors as objects, and which were merged and split.

    Parameters
    ----------
    derived
        What is known of the candidates.
    found
        The survivors; ``labels.merging`` says how much evidence is asked for.
    cleaned
        Their shapes.
    source
        Written to each mask.
    levels
        Gray values of the image and of what the model saw.

    Returns
    -------
    masks
        In the survivors' order, a merged one at the place of its first part, parts of a split
        one at its place; none empty.
    regroupings
        What was done, splits first, each surest first.

    Raises
    ------
    ProposalsError
        If something is to be merged or split, and ``levels`` is None or the proposals were made
        with higher floors.
    """
    options = found.labels.merging
    masks = found.masks_of(found.survivors, cleaned, source)
    if not options.enabled:
        return masks, ()
    if levels is None:
        raise ProposalsError(
            "labels.merging compares gray values in the image, but only proposals came: give the "
            "gray values they were made from, too (raw)"
        )
    check_floor(found.scored, LEAST_SCORE, "labels.merging")

    def draw(candidate: int) -> Mask | None:
        cleaned.ensure([candidate])
        (mask,) = found.masks_of(np.array([candidate]), cleaned, source)
        return mask if mask.area else None

    there = [mask for mask in masks if mask.area]
    items = [Item(mask, (mask,), frozenset([place])) for place, mask in enumerate(there)]
    pool, held = _pool(found), held_of(found.edits)
    borders = derived.borders(found.compared, levels)
    done: list[Regrouping] = []
    if options.split > 0:
        items, done = split(items, pool, draw, 1 - options.split, held, borders)
    if options.merge > 0:
        items = Merger(items, pool, draw, held, borders).merge(1 - options.merge)
        merges = [
            Regrouping("merged", item.parts, (item.mask,), item.reasons)
            for item in items
            if item.reasons is not None
        ]
        done += sorted(merges, key=lambda one: -one.reasons.evidence)
    return _marked([item.mask for item in items], done, held), tuple(done)


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
