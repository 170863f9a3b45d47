"""Objects of one arm that several objects of the other cover: candidates of splits and merges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.rules import Rules
from napari_graysam.masks import Mask, Overlaps
from napari_graysam.masks.regions import reframe


@dataclass(frozen=True)
class Group:
    """An object of one arm, its parts in the other, and the pixels they share and fill.

    ``key`` puts groups that cover as many pixels in an order that does not depend on the arm.
    """

    whole: int
    parts: tuple[int, ...]
    covered: int
    union: int
    key: Any


def mask_groups(
    wholes: Sequence[Mask], parts: Sequence[Mask], overlaps: Overlaps, rules: Rules
) -> Iterator[Group]:
    """Yield every object of one arm that parts of the other cover well enough.

    Parameters
    ----------
    wholes, parts
        Masks of the arms; those of one arm may overlap.
    overlaps
        Of ``wholes`` (A) with ``parts`` (B).
    rules
        The thresholds.
    """
    for whole, pairs in _several(overlaps, rules):
        group = _disjoint_parts(whole, wholes[whole], overlaps.b[pairs].tolist(), parts)
        if len(group.parts) > 1 and group.covered >= rules.covered * overlaps.areas_a[whole]:
            yield group


def label_groups(overlaps: Overlaps, rules: Rules) -> Iterator[Group]:
    """Yield what `mask_groups` does of label images, whose objects lie beside each other.

    Parameters
    ----------
    overlaps
        Of the wholes (A) with the parts (B).
    rules
        The thresholds.
    """
    for whole, pairs in _several(overlaps, rules):
        parts = overlaps.b[pairs]
        area, covered = int(overlaps.areas_a[whole]), int(overlaps.pixels[pairs].sum())
        if covered >= rules.covered * area:
            sizes = np.sort(overlaps.areas_b[parts])
            union = area + int(sizes.sum()) - covered
            key = (union, area, sizes.tolist())
            yield Group(whole, tuple(sorted(parts.tolist())), covered, union, key)


def _several(overlaps: Overlaps, rules: Rules) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield objects of A with at least two parts, and their pairs, the largest first."""
    inside = overlaps.pixels >= rules.part_inside * overlaps.areas_b[overlaps.b]
    large = overlaps.pixels >= rules.part_share * overlaps.areas_a[overlaps.a]
    members = np.flatnonzero(inside & large)
    members = members[np.lexsort((-overlaps.pixels[members], overlaps.a[members]))]
    cuts = np.flatnonzero(np.diff(overlaps.a[members])) + 1
    for pairs in np.split(members, cuts):
        if pairs.size > 1:
            yield int(overlaps.a[pairs[0]]), pairs


def _disjoint_parts(
    whole: int, mask: Mask, candidates: Sequence[int], parts: Sequence[Mask]
) -> Group:
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
    return Group(
        whole=whole,
        parts=tuple(sorted(chosen)),
        covered=int(np.count_nonzero(taken & inside)),
        union=int(np.count_nonzero(taken | inside)),
        key=(mask.box, mask.bits.tobytes()),
    )
