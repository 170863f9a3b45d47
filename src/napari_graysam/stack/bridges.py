"""Links across planes that lack an object, and necks, at which one object ends and one begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Overlaps, match
from napari_graysam.recipe.linking import LinkRules
from napari_graysam.stack.lineage import note_parts

Positions = NDArray[np.int64]


LOOK_BACK = 4
"""Sections of a chain that say where its area is heading, at most."""


@dataclass(eq=False)
class Chains:
    """All objects of all planes, int64 (N,) each; positions name them, -1 is none.

    Parameters
    ----------
    plane
        Number of the plane.
    areas
        In pixels.
    before, after
        The same object in an earlier and in a later plane.
    parent, child
        What it can be a part of in an earlier and in a later plane.
    """

    plane: NDArray[np.int64]
    areas: NDArray[np.int64]
    before: Positions
    after: Positions
    parent: Positions
    child: Positions


def bridge(chains: Chains, apart: Sequence[Overlaps], rules: LinkRules) -> None:
    """Link across gaps, the shortest ones first, and cut links at necks.

    Parameters
    ----------
    chains
        With the links of neighbouring planes; changed in place.
    apart
        Overlaps of objects two planes apart, three apart and so on.
    rules
        What the recipe says.
    """
    _bridge(chains, apart, rules, 0.0)
    if rules.neck:
        a = np.flatnonzero(chains.after >= 0)
        b = chains.after[a]
        narrow = necks(chains, a, b) < rules.neck
        chains.after[a[narrow]] = -1
        chains.before[b[narrow]] = -1
        # What was taken for a part of the next object may go on beyond it.
        _bridge(chains, apart, rules, rules.neck)


def _bridge(chains: Chains, apart: Sequence[Overlaps], rules: LinkRules, neck: float) -> None:
    for overlaps in apart:
        among = overlaps.among(chains.after < 0, chains.before < 0)
        eligible = among.only(among.share >= rules.min_overlap)
        if neck:
            eligible = eligible.only(necks(chains, eligible.a, eligible.b) >= neck)
        chosen = match(eligible, 0.0)
        a, b = eligible.a[chosen], eligible.b[chosen]
        chains.after[a] = b
        chains.before[b] = a
        if rules.splits:
            note_parts(overlaps, 0, chains.before, chains.parent, gap=True)
        if rules.merges:
            note_parts(overlaps.exchanged, 0, chains.after, chains.child, gap=True)


def necks(chains: Chains, a: Positions, b: Positions) -> NDArray[np.float64]:
    """Return how much of its other side each of some pairs leads one to expect.

    Parameters
    ----------
    chains
        The objects.
    a, b
        Objects and later ones that they are or may be, int64 (k,).

    Returns
    -------
    ndarray
        float64 (k,), of the area extrapolated from A to B, as part of the one that B has, and
        of the reverse, the larger; at a neck both fall short. Infinite where there is no waist
        between two that are known to be wider: a pole is no neck.
    """
    areas = chains.areas.astype(np.float64)
    wider_a, wider_b = chains.before[a], chains.after[b]
    waist = (wider_a >= 0) & (wider_b >= 0)
    waist &= (areas[wider_a] > areas[a]) & (areas[wider_b] > areas[b])
    found = np.full(a.size, np.inf)
    a, b = a[waist], b[waist]
    ahead = _extrapolated(chains, a, chains.before, chains.plane[b]) / areas[b]
    back = _extrapolated(chains, b, chains.after, chains.plane[a]) / areas[a]
    found[waist] = np.maximum(ahead, back)
    return found


def _extrapolated(
    chains: Chains, ends: Positions, towards: Positions, to: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the areas that ends of chains lead one to expect in other planes.

    Sections of a round object follow a parabola. It is fitted to the last sections of a chain,
    and a line where there are two.
    """
    members = [ends]
    for _ in range(LOOK_BACK - 1):
        last = members[-1]
        members.append(np.where(last >= 0, towards[last], -1))
    steps = np.stack(members, axis=1)
    known = steps >= 0
    distances = np.where(known, chains.plane[steps] - chains.plane[ends][:, None], 0)
    values = np.where(known, chains.areas[steps], 0).astype(np.float64)
    counts, reach = known.sum(axis=1), to - chains.plane[ends]
    expected = values[:, 0].copy()
    for count in range(2, LOOK_BACK + 1):
        some = counts == count
        degree = min(count - 1, 2)
        powers = distances[some, :count, None] ** np.arange(degree + 1)
        fitted = np.linalg.pinv(powers.astype(np.float64)) @ values[some, :count, None]
        slope = fitted[:, 1, 0]
        # Where the outline bulges inwards, it is left straight.
        bend = np.minimum(fitted[:, 2, 0], 0) if degree == 2 else np.zeros(slope.size)
        expected[some] += slope * reach[some] + bend * reach[some] ** 2
    return np.maximum(expected, 0)
