"""Splitting: a mask that several candidates explain better is replaced by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_graysam.masks import Mask
from napari_graysam.select.regrouping.borders import Borders, Draw
from napari_graysam.select.regrouping.evidence import Reasons, for_splitting
from napari_graysam.select.regrouping.objects import Held, Item, Regrouping, twin
from napari_graysam.select.regrouping.wholes import EXPLAINED, find_parts
from napari_graysam.select.shapes import Indices

Found = tuple[list[Mask], Reasons]


def split(
    items: list[Item], pool: Indices, draw: Draw, least: float, held: Held, borders: Borders
) -> tuple[list[Item], list[Regrouping]]:
    """Replace masks by their parts, surest splits first.

    Parameters
    ----------
    items
        The objects, each of one candidate.
    pool
        Candidates that may be parts.
    draw
        Returns a candidate as an object; None if nothing is left of it.
    least
        Evidence asked for.
    held
        What must not be split.
    borders
        Measures and remembers.
    """
    scores = borders.shapes.proposals.predicted_iou
    surest = pool[np.argsort(-scores[pool], kind="stable")]
    found: dict[int, Found] = {}
    for place, item in enumerate(items):
        if item.mask.pinned or held.forbids_splitting(item.mask):
            continue
        chosen, covered = find_parts(item.mask.candidates[0], surest, borders.shares)
        if len(chosen) < 2 or covered < EXPLAINED:
            continue
        parts = [part for part in map(draw, chosen) if part is not None]
        reasons = _judge(item.mask, parts, covered, borders)
        if len(parts) > 1 and reasons.evidence >= least:
            found[place] = parts, reasons
    return _replace(items, found)


def _judge(whole: Mask, parts: Sequence[Mask], covered: float, borders: Borders) -> Reasons:
    between = [
        border
        for number, one in enumerate(parts)
        for other in parts[:number]
        if (border := borders.between(one, other)) is not None
    ]
    score = min((one.predicted_iou for one in parts), default=0.0) - whole.predicted_iou
    return for_splitting(between, score, covered)


def _replace(items: list[Item], wholes: dict[int, Found]) -> tuple[list[Item], list[Regrouping]]:
    """Put parts at the places of their wholes, unless they are there; surest splits first.

    What is a part of one whole is not split itself, nor does one that was split come back.
    """
    present = [(place, item.mask) for place, item in enumerate(items)]
    done: list[Regrouping] = []
    families: dict[int, set[int]] = {}
    gone: list[Mask] = []
    order = sorted(wholes, key=lambda place: (-wholes[place][1].evidence, items[place].mask.box))
    for place in order:
        whole, (parts, reasons) = items[place].mask, wholes[place]
        if id(whole.bits) in families or any(twin(part, gone) for part in parts):
            continue
        gone.append(whole)
        present.remove((place, whole))
        after = []
        for part in parts:
            same = twin(part, [mask for _, mask in present])
            if same is None:
                present.append((place, part))
            after.append(same or part)
            families.setdefault(id(after[-1].bits), set()).add(place)
        done.append(Regrouping("split", (whole,), tuple(after), reasons))
    present.sort(key=lambda row: row[0])
    found = [
        Item(mask, (mask,), frozenset([number]), frozenset(families.get(id(mask.bits), ())))
        for number, (_, mask) in enumerate(present)
    ]
    return found, done
