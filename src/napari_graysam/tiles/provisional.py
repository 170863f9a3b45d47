"""Labels of an image while its tiles come: in memory, packed, before any seam is resolved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_graysam.masks.painting import Overlap, paint_window, stacking_order
from napari_graysam.tiles.grid import Tile
from napari_graysam.tiles.pieces import Pieces

CHUNK = 512
"""Rows and columns that are packed together."""


class ProvisionalLabels:
    """A label image of several levels that tiles are painted into, each in its own core.

    Objects that go over a seam have a number on each side of it, and are cut there.

    Parameters
    ----------
    shapes
        Rows and columns of every level, from fine to coarse.

    Attributes
    ----------
    levels
        Zarr arrays, uint32.
    objects
        How many are painted.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> from napari_graysam.tiles.grid import TileGrid
    >>> labels = ProvisionalLabels([(4, 8), (2, 4)])
    >>> tile = TileGrid((4, 8), 16, 0).tile(0, 0)
    >>> labels.add(tile, Pieces.of([Mask(np.ones((2, 2), bool), (2, 0, 4, 2))]))
    >>> labels.levels[1][:].tolist()
    [[0, 1, 0, 0], [0, 0, 0, 0]]
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        import zarr

        self.objects = 0
        self.levels: list[Any] = [
            zarr.create_array(
                zarr.storage.MemoryStore(),
                shape=shape,
                chunks=tuple(min(CHUNK, max(1, side)) for side in shape),
                dtype="uint32",
                fill_value=0,
            )
            for shape in shapes
        ]

    def add(self, tile: Tile, pieces: Pieces, overlap: Overlap = "higher_score_on_top") -> None:
        """Paint what a tile found into its core.

        Parameters
        ----------
        tile, pieces
            The tile, and its objects in pixels of the whole image.
        overlap
            As ``labels.overlap`` of a recipe.
        """
        masks = [pieces.mask(number) for number in range(len(pieces))]
        order = stacking_order(masks, overlap)
        numbers = [self.objects + 1 + place for place in order]
        painted = paint_window([masks[place] for place in order], numbers, tile.core)
        self.objects += len(masks)
        fine = self.levels[0].shape
        for level in self.levels:
            index, taken = [], []
            for core, whole, length in zip(tile.core, fine, level.shape, strict=True):
                # The nearest pixel of the finest level to the middle of each of this one.
                step = whole / length
                first, last = (int(np.ceil(end / step - 0.5)) for end in (core.start, core.stop))
                at = np.floor((np.arange(first, last) + 0.5) * step).astype(int) - core.start
                index.append(slice(first, last))
                taken.append(np.clip(at, 0, core.stop - core.start - 1))
            if all(len(one) for one in taken):
                level[tuple(index)] = painted[np.ix_(*taken)]
