"""Seams: which objects of neighbouring tiles are one, and which of two stays.

Objects are compared only where both tiles could see them, in the strip that their windows share,
two tiles at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Mask, Overlaps, match, shared_pixels
from napari_graysam.masks.overlap import shared_box_pixels
from napari_graysam.preprocess.chain import Box
from napari_graysam.recipe import Recipe
from napari_graysam.tiles.grid import Tile, TileGrid
from napari_graysam.tiles.pieces import BORDER, PINNED, Pieces

SAME = 0.5
"""Mask IoU above which objects of two tiles are one."""
LEFTOVER = 0.8
"""Share of a cut-off object that lies in another one, above which it is a part of that."""
_TILES = 16
"""Tiles whose run lengths are in memory at once."""

Load = Callable[[Tile], Pieces]


@dataclass(frozen=True, eq=False)
class Found:
    """What all tiles found, without the shapes.

    Attributes
    ----------
    tile
        intp (N,), number of the tile.
    within
        intp (N,), number of the object in its tile.
    box, area, predicted_iou, cut
        As of `Pieces`. ``tile`` is the number of the tile; of an object that was joined from
        pieces of several, a number of its own.
    """

    tile: NDArray[np.intp]
    within: NDArray[np.intp]
    box: NDArray[np.int32]
    area: NDArray[np.int64]
    predicted_iou: NDArray[np.float64]
    cut: NDArray[np.uint8]

    @classmethod
    def of(cls, grid: TileGrid, load: Load) -> Found:
        """Read the boxes and scores of all tiles, one tile at a time."""
        columns: dict[str, list[NDArray[np.generic]]] = {
            "box": [np.zeros((0, 4), np.int32)],
            "area": [np.zeros(0, np.int64)],
            "predicted_iou": [np.zeros(0)],
            "cut": [np.zeros(0, np.uint8)],
        }
        tiles, within = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
        for number, tile in enumerate(grid):
            pieces = load(tile)
            tiles.append(np.full(len(pieces), number, np.intp))
            within.append(np.arange(len(pieces), dtype=np.intp))
            for name, parts in columns.items():
                parts.append(getattr(pieces, name))
        joined = {name: np.concatenate(parts) for name, parts in columns.items()}
        return cls(np.concatenate(tiles), np.concatenate(within), **joined)

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.area)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of objects that share a pixel.

    Attributes
    ----------
    a, b
        intp (K,), numbers of the objects, ``a < b``.
    shared
        int64 (K,), pixels in common.
    seen_a, seen_b
        int64 (K,), pixels of each in the strip that both tiles see.
    """

    a: NDArray[np.intp]
    b: NDArray[np.intp]
    shared: NDArray[np.int64]
    seen_a: NDArray[np.int64]
    seen_b: NDArray[np.int64]

    @classmethod
    def of(cls, rows: list[tuple[int, int, int, int, int]]) -> Pairs:
        """Return pairs of rows of numbers."""
        table = np.array(rows, np.int64).reshape(-1, 5)
        order = np.lexsort((table[:, 1], table[:, 0]))
        a, b, shared, seen_a, seen_b = table[order].T
        return cls(a.astype(np.intp), b.astype(np.intp), shared, seen_a, seen_b)

    @property
    def seen_iou(self) -> NDArray[np.float64]:
        """Intersection over union of what both tiles could see."""
        return np.asarray(self.shared / (self.seen_a + self.seen_b - self.shared))

    def only(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs."""
        return Pairs(*(column[chosen] for column in vars(self).values()))


def find_pairs(grid: TileGrid, found: Found, load: Load) -> Iterator[Pairs]:
    """Compare the objects of all tiles with those of the same tile and of tiles around it.

    Yields
    ------
    Pairs
        Of each tile with itself and with those after it.
    """
    tiles = list(grid)
    numbers = {tile.name: number for number, tile in enumerate(tiles)}
    loaded = lru_cache(maxsize=_TILES)(lambda number: _Tile(load(tiles[number])))
    first = np.searchsorted(found.tile, np.arange(len(tiles) + 1))
    for number, tile in enumerate(tiles):
        rows: list[tuple[int, int, int, int, int]] = []
        near = [numbers[other.name] for other in grid.around(tile)]
        for other in [number, *(one for one in near if one > number)]:
            if first[number] == first[number + 1] or first[other] == first[other + 1]:
                continue
            strip = _common(tile.window, tiles[other].window)
            rows += _compare(
                loaded(number), loaded(other), int(first[number]), int(first[other]), strip
            )
        yield Pairs.of(rows)


class _Tile:
    """Objects of a tile whose masks are decoded when they are first compared."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self._masks: dict[int, Mask] = {}

    def mask(self, index: int) -> Mask:
        if index not in self._masks:
            self._masks[index] = self.pieces.mask(index)
        return self._masks[index]


def _common(one: Box, other: Box) -> tuple[int, int, int, int]:
    (rows, columns), (other_rows, other_columns) = one, other
    return (
        max(columns.start, other_columns.start),
        max(rows.start, other_rows.start),
        min(columns.stop, other_columns.stop),
        min(rows.stop, other_rows.stop),
    )


def _compare(
    one: _Tile, other: _Tile, first: int, first_other: int, strip: tuple[int, int, int, int]
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield the pairs of two tiles, or of one."""
    same = first == first_other
    boxes = other.pieces.box.astype(np.int64)
    common = shared_box_pixels(np.array(strip), one.pieces.box.astype(np.int64))
    for index in np.flatnonzero(common).tolist():
        near = np.flatnonzero(shared_box_pixels(one.pieces.box[index].astype(np.int64), boxes))
        for partner in near.tolist():
            if same and partner <= index:
                continue
            mask, partners = one.mask(index), other.mask(partner)
            shared = shared_pixels(mask, partners)
            if shared == 0:
                continue
            if same:
                areas = mask.area, partners.area
            else:
                areas = _inside(mask, strip), _inside(partners, strip)
            yield first + index, first_other + partner, shared, *areas


def _inside(mask: Mask, strip: tuple[int, int, int, int]) -> int:
    """Count the pixels of a mask in a strip."""
    x0, y0 = mask.box[:2]
    left, top, right, bottom = strip
    bits = mask.bits[max(0, top - y0) : max(0, bottom - y0), max(0, left - x0) : max(0, right - x0)]
    return int(np.count_nonzero(bits))


def find_joins(found: Found, pairs: Pairs) -> list[list[int]]:
    """Return the pieces of each object that no tile sees whole: numbers, ascending.

    Pieces are of one object where both are cut off by their window and agree in the strip that
    both tiles see: one to one for every two tiles, then all that are connected.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    cut, tiles = found.cut % BORDER > 0, found.tile
    some = pairs.only(
        cut[pairs.a] & cut[pairs.b] & (tiles[pairs.a] != tiles[pairs.b]) & (pairs.seen_iou >= SAME)
    )
    chosen = _one_to_one(found, some)
    edges = some.a[chosen], some.b[chosen]
    graph = coo_array((np.ones(chosen.size, bool), edges), shape=(len(found),) * 2)
    _, group = connected_components(graph, directed=False)
    members: dict[int, list[int]] = {}
    for number in np.unique(np.concatenate(edges)).tolist():
        members.setdefault(int(group[number]), []).append(number)
    return sorted(members.values())


def _one_to_one(found: Found, pairs: Pairs) -> NDArray[np.intp]:
    """Return the pairs in which each object has one partner in every other tile, the best."""
    between = np.stack([found.tile[pairs.a], found.tile[pairs.b]], axis=1)
    _, group = np.unique(between, axis=0, return_inverse=True)
    kept = [np.zeros(0, np.intp)]
    for number in np.unique(group).tolist():
        here = np.flatnonzero(group.ravel() == number)
        a, of_a = np.unique(pairs.a[here], return_inverse=True)
        b, of_b = np.unique(pairs.b[here], return_inverse=True)
        seen_a, seen_b = np.zeros(a.size, np.int64), np.zeros(b.size, np.int64)
        seen_a[of_a], seen_b[of_b] = pairs.seen_a[here], pairs.seen_b[here]
        kept.append(here[match(Overlaps(seen_a, seen_b, of_a, of_b, pairs.shared[here]), SAME)])
    return np.sort(np.concatenate(kept))


def compete(found: Found, pairs: Pairs, recipe: Recipe) -> NDArray[np.bool_]:
    """Choose among objects of different tiles: of two that are one, the better stays.

    Those that the user keeps stay in any case. Of others, those that are seen whole come before
    those that are cut off, then those that the model is surer of. An object is one with a better
    one where the recipe's own rule for duplicates says so, where their masks agree, or, cut off,
    where it lies in the other.

    Returns
    -------
    bool (N,)
        Whether each stays.
    """
    some = pairs.only(found.tile[pairs.a] != found.tile[pairs.b])
    area, cut, kept = found.area, found.cut % BORDER > 0, found.cut & PINNED > 0
    at_edge = cut[some.a] | cut[some.b]
    iou = some.shared / (area[some.a] + area[some.b] - some.shared)
    same = (iou > SAME) | (at_edge & (some.seen_iou > SAME)) | duplicates(found, some, iou, recipe)
    dropped_by_b = same | (cut[some.a] & (some.shared > LEFTOVER * area[some.a]))
    dropped_by_a = same | (cut[some.b] & (some.shared > LEFTOVER * area[some.b]))
    loser = np.concatenate([some.b[dropped_by_a], some.a[dropped_by_b]])
    winner = np.concatenate([some.a[dropped_by_a], some.b[dropped_by_b]])
    order = np.argsort(winner, kind="stable")
    loser, winner = loser[order], winner[order]
    first = np.searchsorted(winner, np.arange(len(found) + 1))
    stays = np.ones(len(found), bool)
    done = np.zeros(len(found), bool)
    for number in np.lexsort((np.arange(len(found)), -found.predicted_iou, cut, ~kept)).tolist():
        done[number] = True
        if stays[number]:
            beaten = loser[first[number] : first[number + 1]]
            stays[beaten[~done[beaten] & ~kept[beaten]]] = False
    return stays


def duplicates(
    found: Found, pairs: Pairs, iou: NDArray[np.float64], recipe: Recipe
) -> NDArray[np.bool_]:
    """Tell which pairs the recipe takes for duplicates in one image."""
    labels, generator = recipe.labels, recipe.generator
    if labels.suppression == "mask_iou":
        return iou > labels.suppression_thresh
    if labels.suppression == "containment":
        smaller = np.minimum(found.area[pairs.a], found.area[pairs.b])
        return np.asarray(pairs.shared > labels.suppression_thresh * smaller)
    one, other = found.box[pairs.a].astype(np.int64), found.box[pairs.b].astype(np.int64)
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    common = np.maximum(sides, 0).prod(axis=1)
    areas = [(box[:, 2:] - box[:, :2]).prod(axis=1) for box in (one, other)]
    return np.asarray(common > generator.box_nms_thresh * (areas[0] + areas[1] - common))
