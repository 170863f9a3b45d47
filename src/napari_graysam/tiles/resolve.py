"""From what all tiles found to the objects of the image: joined, chosen, nested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Mask, separate
from napari_graysam.masks.hierarchy import CONTAINED
from napari_graysam.recipe import LabelOptions, Recipe
from napari_graysam.tiles.grid import TileGrid
from napari_graysam.tiles.objects import Seen, together
from napari_graysam.tiles.pieces import BORDER, PINNED, Pieces
from napari_graysam.tiles.pins import with_pins
from napari_graysam.tiles.seams import Found, Load, Pairs, compete, find_joins, find_pairs


@dataclass(frozen=True, eq=False)
class Resolved:
    """The objects of an image, before filters on what is measured.

    Attributes
    ----------
    found
        All objects of all tiles, then those that were joined of pieces.
    chosen
        intp (M,), which of them are objects, by tile.
    owner
        intp (N,), number of the tile that measures and draws each.
    parent, depth
        intp (M,), place among the chosen of the smallest one that holds each, or -1; and how
        many hold it.
    made
        Shapes of those that are not as a tile found them, by their number.
    counts
        What happened at the seams, for the report.
    """

    found: Found
    chosen: NDArray[np.intp]
    owner: NDArray[np.intp]
    parent: NDArray[np.intp]
    depth: NDArray[np.intp]
    made: dict[int, Pieces]
    counts: dict[str, int]


def resolve(grid: TileGrid, recipe: Recipe, load: Load, image: str | None = None) -> Resolved:
    """Put the objects of all tiles together; shapes of a few tiles are in memory at a time.

    Parameters
    ----------
    grid
        The tiles.
    recipe
        Uses ``labels`` and ``generator``.
    load
        Gives what a tile found.
    image
        `napari_graysam.fingerprint.array_digest` of the image, whose pins count; None takes
        those of every image of this size.
    """
    found = Found.of(grid, load)
    pairs = together(find_pairs(grid, found, load))
    objects = Seen(found, pairs, {}, found.tile, list(grid), load)
    joins = find_joins(found, pairs)
    if joins:
        count = len(found)
        objects = _joined(objects, joins)
        found, pairs = objects.found, objects.pairs
        pieces = np.array([one for join in joins for one in join], np.intp)
        left = np.ones(len(found), bool)
        left[pieces] = False
        pairs = pairs.only(left[pairs.a] & left[pairs.b])
        objects = replace(objects, pairs=pairs)
        stays = compete(found, pairs, recipe) & left
        joined = int(stays[count:].sum())
    else:
        stays, joined = compete(found, pairs, recipe), 0
    cut = found.cut % BORDER > 0
    counts = {
        "found": int((found.within >= 0).sum()),
        "duplicates": int((~stays).sum()) - sum(map(len, joins)),
        "joined": joined,
        "pieces": sum(map(len, joins)),
        "cut_off": int((cut & stays).sum()),
    }
    objects, stays = with_pins(objects, stays, recipe, grid, image)
    found, pairs, owner = objects.found, objects.pairs, objects.owner
    stays &= _of_wanted_size(found, recipe.labels)
    # By tile, so that numbers of neighbours are near each other.
    chosen = np.flatnonzero(stays)
    chosen = chosen[np.lexsort((chosen, owner[chosen]))]
    parent = _parents(found, pairs, chosen)
    pinned = (found.cut[chosen] & PINNED) > 0
    chosen, parent, depth = _at_level(chosen, parent, pinned, recipe.labels)
    resolved = Resolved(found, chosen, owner, parent, depth, objects.made, counts)
    if recipe.labels.overlap == "disjoint":
        return _separated(resolved, objects)
    return resolved


def _joined(objects: Seen, joins: Sequence[Sequence[int]]) -> Seen:
    """Add the objects that pieces are joined to, and their pairs with all others."""
    found = objects.found
    masks = (_union([objects.mask(one) for one in join]) for join in joins)
    borders = [
        int(np.bitwise_or.reduce(found.cut[list(join)])) & (BORDER | PINNED) for join in joins
    ]
    largest = [max(join, key=lambda one: (found.area[one], -one)) for join in joins]
    return objects.with_masks(masks, found.tile[largest].tolist(), borders, joins)


def _union(masks: Sequence[Mask]) -> Mask:
    """Return the pixels of all pieces, with scores by their areas and the largest one's prompt."""
    boxes = np.array([mask.box for mask in masks])
    x0, y0 = (int(side) for side in boxes[:, :2].min(axis=0))
    x1, y1 = (int(side) for side in boxes[:, 2:].max(axis=0))
    bits = np.zeros((y1 - y0, x1 - x0), bool)
    for mask in masks:
        left, top, right, bottom = mask.box
        bits[top - y0 : bottom - y0, left - x0 : right - x0] |= mask.bits
    areas = [mask.area for mask in masks]
    largest = max(masks, key=lambda mask: mask.area)
    return largest.replace(
        bits=bits,
        box=(x0, y0, x1, y1),
        predicted_iou=float(np.average([mask.predicted_iou for mask in masks], weights=areas)),
        stability=float(np.average([mask.stability for mask in masks], weights=areas)),
    )


def _of_wanted_size(found: Found, labels: LabelOptions) -> NDArray[np.bool_]:
    """Tell which objects are neither too small nor too large, nor at a border that excludes."""
    wanted = found.area >= max(1, labels.min_area)
    if labels.max_area is not None:
        wanted &= found.area <= labels.max_area
    if labels.exclude_border:
        wanted &= (found.cut & BORDER) == 0
    return np.asarray(wanted | ((found.cut & PINNED) > 0))


def _parents(found: Found, pairs: Pairs, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the place among the chosen of the smallest one that contains each, or -1."""
    place = np.full(len(found), -1, np.intp)
    place[chosen] = np.arange(chosen.size)
    inner = np.concatenate([pairs.a, pairs.b])
    outer = np.concatenate([pairs.b, pairs.a])
    shared = np.concatenate([pairs.shared, pairs.shared])
    held = (
        (place[inner] >= 0)
        & (place[outer] >= 0)
        & (found.area[outer] > found.area[inner])
        & (shared >= CONTAINED * found.area[inner])
    )
    inner, outer = place[inner[held]], place[outer[held]]
    order = np.lexsort((outer, found.area[chosen[outer]], inner))
    inner, outer = inner[order], outer[order]
    children, first = np.unique(inner, return_index=True)
    parent = np.full(chosen.size, -1, np.intp)
    parent[children] = outer[first]
    return parent


def _at_level(
    chosen: NDArray[np.intp],
    parent: NDArray[np.intp],
    pinned: NDArray[np.bool_],
    labels: LabelOptions,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Keep wholes or parts; the depth is that in the full hierarchy."""
    depth = np.zeros(chosen.size, np.intp)
    above = parent
    while (inside := above >= 0).any():
        depth += inside
        above = np.where(inside, parent[above], -1)
    kept = np.ones(chosen.size, bool)
    if labels.level == "whole":
        kept = (parent < 0) | pinned
    elif labels.level == "parts":
        kept[parent[parent >= 0]] = False
        kept |= pinned
    return chosen[kept], kept_parents(parent, kept), depth[kept]


def kept_parents(parent: NDArray[np.intp], kept: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the nearest kept ancestor of the kept, as places among these; -1 for none."""
    ancestor = parent.copy()
    while (gone := (ancestor >= 0) & ~kept[ancestor]).any():
        ancestor = np.where(gone, parent[ancestor], ancestor)
    place = np.cumsum(kept) - 1
    return np.where(ancestor >= 0, place[ancestor], -1)[kept]


def _separated(resolved: Resolved, objects: Seen) -> Resolved:
    """Make the objects disjoint, group by group of those that share pixels."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    found, chosen, pairs = resolved.found, resolved.chosen, objects.pairs
    place = np.full(len(found), -1, np.intp)
    place[chosen] = np.arange(chosen.size)
    a, b = place[pairs.a], place[pairs.b]
    both = (a >= 0) & (b >= 0)
    graph = coo_array((np.ones(int(both.sum()), bool), (a[both], b[both])),
                      shape=(chosen.size,) * 2)  # fmt: skip
    _, group = connected_components(graph, directed=False)
    order = np.argsort(group, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    made, kept = dict(resolved.made), np.ones(chosen.size, bool)
    for members in groups:
        if members.size < 2:
            continue
        masks = []
        for member in members.tolist():
            mask = objects.mask(int(chosen[member]))
            masks.append(mask.marked(candidates=(member,), parent=-1))
        left = {mask.candidates[0]: mask for mask in separate(masks)}
        kept[members] = [member in left for member in members.tolist()]
        for member, mask in left.items():
            number = int(chosen[member])
            made[number] = Pieces.of([mask], [int(found.cut[number])])
    parent = kept_parents(resolved.parent, kept)
    return replace(
        resolved, chosen=chosen[kept], parent=parent, depth=resolved.depth[kept], made=made
    )
