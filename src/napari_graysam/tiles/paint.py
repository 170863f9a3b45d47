"""Paint the objects of an image block by block."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.files.region import region_window
from napari_graysam.masks.painting import paint_window, stacking_order
from napari_graysam.recipe import Recipe
from napari_graysam.tiles.folder import FINAL, TileFolder
from napari_graysam.tiles.grid import TileGrid

INDEX = "index.npy"
ROW = np.dtype([
    ("box", np.int32, 4), ("tile", np.int32), ("within", np.int32), ("label", np.uint32),
])  # fmt: skip
"""One object of the index of all: where it lies, where its shape is kept, and its label."""

Place = tuple[int, int, int, int]
"""First row, end of rows, first column, end of columns."""


@dataclass(frozen=True)
class Painted:
    """What is seen of objects in a block.

    Attributes
    ----------
    labels, pixels
        Labels that are seen, and how many pixels of each.
    unmasked, allowed
        Pixels without a label, of those where points were allowed.
    """

    labels: NDArray[np.int64]
    pixels: NDArray[np.int64]
    unmasked: int
    allowed: int


def write_index(folder: TileFolder, rows: NDArray[Any]) -> Path:
    """Keep the index of all objects, an array of `ROW`."""
    path = folder.path / INDEX
    with atomic_path(path) as temporary:
        np.save(temporary, rows)
    return path


def block_labels(
    folder: TileFolder, grid: TileGrid, recipe: Recipe, place: Place
) -> tuple[NDArray[np.uint32], Painted]:
    """Paint the rows and columns of a block.

    Parameters
    ----------
    folder
        With the index and the objects of every tile.
    grid
        The tiles.
    recipe
        Uses ``labels.overlap`` and ``image.region``.
    place
        Where the block lies in the image.

    Returns
    -------
    labels, painted
        uint32 (h, w), and what is seen.
    """
    y0, y1, x0, x1 = place
    rows = np.load(folder.path / INDEX, mmap_mode="r")
    box = rows["box"]
    here = (box[:, 0] < x1) & (box[:, 2] > x0) & (box[:, 1] < y1) & (box[:, 3] > y0)
    some = rows[np.flatnonzero(here & (rows["label"] > 0))]
    across = len(grid.spans[1])
    masks, labels = [], []
    for number in np.unique(some["tile"]).tolist():
        pieces = folder.load(grid.tile(*divmod(number, across)), FINAL)
        for row in some[some["tile"] == number]:
            masks.append(pieces.mask(int(row["within"])))
            labels.append(int(row["label"]))
    by_label = np.argsort(np.array(labels, np.int64), kind="stable").tolist()
    masks, labels = [masks[i] for i in by_label], [labels[i] for i in by_label]
    order = stacking_order(masks, recipe.labels.overlap)
    painted = paint_window(
        [masks[i] for i in order], [labels[i] for i in order], (slice(y0, y1), slice(x0, x1))
    )
    seen, pixels = np.unique(painted[painted > 0], return_counts=True)
    free = painted == 0
    allowed = painted.size
    if recipe.image.region is not None:
        window = (slice(y0, y1), slice(x0, x1))
        inside = region_window(recipe.image.region, grid.shape, window)
        free &= inside
        allowed = int(inside.sum())
    return painted, Painted(seen.astype(np.int64), pixels, int(free.sum()), allowed)
