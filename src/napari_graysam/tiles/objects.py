"""All objects that tiles found or that were made since, and which share pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import Mask, shared_pixels
from napari_graysam.masks.overlap import shared_box_pixels
from napari_graysam.tiles.grid import Tile
from napari_graysam.tiles.pieces import Pieces
from napari_graysam.tiles.seams import Found, Load, Pairs


@dataclass(frozen=True, eq=False)
class Seen:
    """Objects of all tiles, of whose shapes a few are in memory.

    Attributes
    ----------
    found, pairs
        All objects, and which of them share pixels.
    made
        Shapes of those that no tile found, by their number.
    owner
        intp (N,), number of the tile that measures and draws each.
    tiles, load
        The tiles, and what gives what one found.
    """

    found: Found
    pairs: Pairs
    made: dict[int, Pieces]
    owner: NDArray[np.intp]
    tiles: Sequence[Tile]
    load: Load

    def mask(self, number: int) -> Mask:
        """Return the shape of an object."""
        if number in self.made:
            return self.made[number].mask(0)
        found = self.found
        return self.load(self.tiles[int(found.tile[number])]).mask(int(found.within[number]))

    def near(self, box: Sequence[int]) -> NDArray[np.intp]:
        """Return the objects whose boxes share a pixel with a box."""
        shared = shared_box_pixels(np.array(box), self.found.box.astype(np.int64))
        return np.flatnonzero(shared)

    def with_masks(
        self,
        masks: Iterable[Mask],
        owners: Sequence[int],
        cuts: Sequence[int],
        without: Sequence[Sequence[int]] = (),
    ) -> Seen:
        """Add objects, and their pairs with all others.

        Parameters
        ----------
        masks
            Their shapes; at least one.
        owners, cuts
            As ``owner`` and as ``cut`` of `Pieces`, for each.
        without
            Objects that no pairs are wanted with, for each.
        """
        found, made = self.found, dict(self.made)
        count = len(found)
        rows: list[tuple[int, int, int, int, int]] = []
        known, new = found.box.astype(np.int64), np.zeros((len(owners), 4), np.int64)
        extra: list[tuple[tuple[int, ...], int, float]] = []
        for place, mask in enumerate(masks):
            number, box = count + place, np.array(mask.box)
            made[number] = Pieces.of([mask], [cuts[place]])
            extra.append((mask.box, mask.area, mask.predicted_iou))
            near = np.flatnonzero(shared_box_pixels(box, known))
            if without:
                near = np.setdiff1d(near, without[place])
            earlier = count + np.flatnonzero(shared_box_pixels(box, new[:place]))
            new[place] = box
            for other in [*near.tolist(), *earlier.tolist()]:
                there = made[other].mask(0) if other in made else self.mask(other)
                if shared := shared_pixels(mask, there):
                    rows.append((other, number, shared, there.area, mask.area))
        boxes, areas, scores = (list(column) for column in zip(*extra, strict=True))
        first = max(len(self.tiles), int(found.tile.max(initial=0)) + 1)
        numbers = first + np.arange(len(owners), dtype=np.intp)
        wider = Found(
            np.concatenate([found.tile, numbers]),
            np.concatenate([found.within, np.full(len(owners), -1, np.intp)]),
            np.concatenate([found.box, np.array(boxes, np.int32)]),
            np.concatenate([found.area, np.array(areas, np.int64)]),
            np.concatenate([found.predicted_iou, np.array(scores, np.float64)]),
            np.concatenate([found.cut, np.array(cuts, np.uint8)]),
        )
        pairs = together([self.pairs, Pairs.of(rows)])
        owner = np.concatenate([self.owner, np.array(owners, np.intp)])
        return Seen(wider, pairs, made, owner, self.tiles, self.load)


def together(parts: Iterable[Pairs]) -> Pairs:
    """Return all pairs as one."""
    some = list(parts)
    empty = Pairs.of([])
    columns = [[vars(part)[name] for part in (empty, *some)] for name in vars(empty)]
    return Pairs(*(np.concatenate(column) for column in columns))
