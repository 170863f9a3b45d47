"""Chains of objects through the planes, each of which is one object of the stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Overlaps
from napari_graysam.recipe.linking import LinkRules
from napari_graysam.stack.bridges import Chains, bridge
from napari_graysam.stack.lineage import cut
from napari_graysam.stack.links import Bridge, Links

Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PlaneObjects:
    """The objects of one plane, and their partners in others.

    Objects are named by their position in the list of those of all planes, plane by plane; -1 is
    none. The arrays are filled in while the planes are read.

    Parameters
    ----------
    labels
        The label of each, int64 (N,).
    areas
        Pixels of each, int64 (N,).
    largest
        The largest label of the plane.
    start
        Position of the first.
    before, after
        The same object in the plane before and after.
    parent, child
        The object of the plane before (after) that it can be a part of.
    """

    labels: NDArray[np.int64]
    areas: NDArray[np.int64]
    largest: int
    start: int
    before: Positions = field(init=False)
    after: Positions = field(init=False)
    parent: Positions = field(init=False)
    child: Positions = field(init=False)

    def __post_init__(self) -> None:
        """Begin without partners."""
        for name in ("before", "after", "parent", "child"):
            object.__setattr__(self, name, np.full(self.labels.size, -1, dtype=np.int64))

    @property
    def count(self) -> int:
        """The number of objects."""
        return int(self.labels.size)


def join(stack: Sequence[PlaneObjects], apart: Sequence[Overlaps], rules: LinkRules) -> Links:
    """Make the links of a stack whose neighbouring planes are paired.

    Parameters
    ----------
    stack
        The objects of every plane.
    apart
        Overlaps of the objects without a partner with those of planes two apart, three apart and
        so on, by their positions in the list of those of all planes.
    rules
        What the recipe says.
    """
    if not stack:
        return Links(())
    counts = np.array([objects.count for objects in stack], dtype=np.int64)
    plane = np.repeat(np.arange(counts.size), counts)
    names = ("areas", "before", "after", "parent", "child")
    columns = (np.concatenate([getattr(objects, name) for objects in stack]) for name in names)
    chains = Chains(plane, *columns)
    bridge(chains, apart, rules)
    before, after, parent, child = chains.before, chains.after, chains.parent, chains.child
    # An object that splits is as long as its longest descent by links, so that no choice of the
    # smallest extent brings back what a smaller one removed.
    kept = _extents(_roots(before), plane) >= rules.min_extent
    splits = cut(after, before, np.where(kept & kept[parent], parent, -1))
    once = np.isin(np.arange(before.size), splits[:, 0])
    merges = cut(before, after, np.where(kept & kept[child] & ~once, child, -1))
    roots = _roots(before)
    ids = np.zeros(before.size, dtype=np.int64)
    ids[kept] = np.unique(roots[kept], return_inverse=True)[1].ravel() + 1
    bridged = np.flatnonzero(kept & (before >= 0) & (plane - plane[before] > 1))
    pairs = np.concatenate([splits, merges[:, ::-1]])
    return Links(
        tuple(_table(objects, ids) for objects in stack),
        tuple(Bridge(int(ids[i]), int(plane[before[i]]), int(plane[i])) for i in bridged),
        tuple(sorted((int(ids[a]), int(ids[b])) for a, b in pairs)),
    )


def _roots(before: Positions) -> Positions:
    """Return the first member of each object's chain."""
    roots = np.where(before < 0, np.arange(before.size), before)
    while not np.array_equal(further := roots[roots], roots):
        roots = further
    return roots


def _extents(roots: Positions, plane: Positions) -> Positions:
    """Return how many planes each object's chain reaches through, from first to last."""
    last = plane.copy()
    np.maximum.at(last, roots, plane)
    extents: Positions = (last - plane + 1)[roots]
    return extents


def _table(objects: PlaneObjects, ids: Positions) -> NDArray[np.uint32]:
    table = np.zeros(objects.largest + 1, dtype=np.uint32)
    table[objects.labels] = ids[objects.start : objects.start + objects.count]
    return table
