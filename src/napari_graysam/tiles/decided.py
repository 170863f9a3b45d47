"""What a recipe says of single masks, tile by tile: which are kept, never merged or never split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_graysam.fingerprint import digest_of
from napari_graysam.masks import Mask
from napari_graysam.masks.run_lengths import encode
from napari_graysam.preprocess.chain import Box
from napari_graysam.recipe import Pin, PinnedMask, Recipe, SeparateObjects, WholeObject
from napari_graysam.select.pins import edits_of, held_of
from napari_graysam.tiles.grid import Tile, TileGrid


@dataclass(frozen=True)
class Decided:
    """What the user has decided about masks of one tile, in pixels of its window.

    Attributes
    ----------
    keep
        Entries of ``labels.keep`` whose points lie in the tile's core.
    apart
        Groups of masks that are never merged with each other, as COCO's compressed run lengths.
    whole
        Masks that are never split, in the same way.
    """

    keep: tuple[PinnedMask, ...] = ()
    apart: tuple[tuple[str, ...], ...] = ()
    whole: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of all of it: equal where a tile need not be made anew."""
        keep = [entry.model_dump(mode="json") for entry in self.keep]
        return digest_of(keep, self.apart, self.whole)

    def pins(self, image: str, size: tuple[int, int]) -> tuple[Pin, ...]:
        """Return what is never merged or split, for a recipe of the tile alone.

        Parameters
        ----------
        image
            Digest of the tile's gray values.
        size
            (H, W) of its window.
        """
        apart = (SeparateObjects(image=image, size=size, parts=parts) for parts in self.apart)
        whole = (WholeObject(image=image, size=size, mask=counts) for counts in self.whole)
        return *apart, *whole


def decided_by_tile(recipe: Recipe, grid: TileGrid, image: str) -> dict[str, Decided]:
    """Return what is decided in every tile in which something is, by the tiles' names.

    Parameters
    ----------
    recipe
        Uses ``labels.keep``, and, where ``labels.merging`` is enabled, those of
        ``labels.pinned`` that are about merging and splitting.
    grid
        The tiles: a kept mask belongs to that whose core holds its point; what is never merged or
        split, to all that see a pixel of it, as far as they do.
    image
        Digest of the gray values of the image, whose pins count.
    """
    keep: dict[str, list[PinnedMask]] = defaultdict(list)
    for entry in recipe.labels.keep:
        if not is_inside(entry, grid.shape):
            continue
        x, y = entry.point
        tile = grid.tile(*divmod(grid.holding(x, y), len(grid.spans[1])))
        top, left = tile.origin
        keep[tile.name].append(entry.replace(point=(x - left, y - top)))
    apart: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    whole: dict[str, list[str]] = defaultdict(list)
    if recipe.labels.merging.enabled:
        held = held_of(edits_of(recipe.labels, grid.shape, image))
        for group in held.apart:
            for tile in _seeing(grid, group):
                parts = _parts_in(group, tile)
                if len(parts) > 1:
                    apart[tile.name].append(parts)
        for mask in held.whole:
            for tile in _seeing(grid, [mask]):
                whole[tile.name] += _parts_in([mask], tile)
    names = dict.fromkeys([*keep, *apart, *whole])
    found = {
        name: Decided(tuple(keep[name]), tuple(apart[name]), tuple(whole[name])) for name in names
    }
    return {name: one for name, one in found.items() if one != Decided()}


def is_inside(entry: PinnedMask, shape: tuple[int, int]) -> bool:
    """Tell whether the point of a kept mask lies in an image of a shape (H, W)."""
    x, y = entry.point
    return 0 <= x < shape[1] and 0 <= y < shape[0]


def _seeing(grid: TileGrid, masks: Sequence[Mask]) -> list[Tile]:
    boxes = np.array([mask.box for mask in masks])
    (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    return grid.seeing((slice(y0, y1), slice(x0, x1)))


def part_in(mask: Mask, window: Box) -> Mask | None:
    """Return what a window (rows, columns) sees of a mask; None for nothing."""
    rows, columns = window
    x0, y0, x1, y1 = mask.box
    left, right = max(x0, columns.start), min(x1, columns.stop)
    top, bottom = max(y0, rows.start), min(y1, rows.stop)
    if right <= left or bottom <= top:
        return None
    bits = mask.bits[top - y0 : bottom - y0, left - x0 : right - x0]
    return Mask(bits, (left, top, right, bottom)) if bits.any() else None


def _parts_in(masks: Sequence[Mask], tile: Tile) -> tuple[str, ...]:
    """Return what a tile sees of masks, as run lengths; nothing of those that it does not see."""
    top, left = tile.origin
    found = []
    for mask in masks:
        seen = part_in(mask, tile.window)
        if seen is not None:
            x0, y0, x1, y1 = seen.box
            inside = Mask(seen.bits, (x0 - left, y0 - top, x1 - left, y1 - top))
            counts: str = encode(inside, tile.shape, compressed=True)["counts"]
            found.append(counts)
    return tuple(found)
