"""Measure the objects of one tile, once the seams are resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.errors import OutputError
from napari_graysam.limits import reading
from napari_graysam.masks import Mask
from napari_graysam.preprocess.chain import Box
from napari_graysam.recipe import ColumnFilter
from napari_graysam.select import object_table
from napari_graysam.select.table import COLUMNS, physical
from napari_graysam.tiles.folder import FINAL, TileFolder
from napari_graysam.tiles.grid import Tile
from napari_graysam.tiles.image import LargeImage
from napari_graysam.tiles.pieces import PINNED, Pieces
from napari_graysam.units import in_micrometres

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Chosen:
    """The objects of the image that one tile measures and draws.

    Attributes
    ----------
    within
        Number of each among what the tile found, -1 for one that is made of pieces.
    made
        The shapes of those, by their place in ``within``.
    parent, depth
        As of `napari_graysam.tiles.resolve.Resolved`.
    cut
        As of `Pieces`.
    """

    within: NDArray[np.intp]
    made: dict[int, Pieces]
    parent: NDArray[np.intp]
    depth: NDArray[np.intp]
    cut: NDArray[np.uint8]

    def masks(self, pieces: Pieces) -> list[Mask]:
        """Return the objects, given what the tile found."""
        found = []
        for place, number in enumerate(self.within.tolist()):
            mask = self.made[place].mask(0) if place in self.made else pieces.mask(number)
            found.append(mask.marked(parent=int(self.parent[place]), depth=int(self.depth[place])))
        return found


def measure_tile(
    image: LargeImage,
    folder: TileFolder,
    tile: Tile,
    chosen: Chosen,
    filters: Sequence[ColumnFilter] = (),
) -> NDArray[np.bool_]:
    """Measure the objects of a tile, and keep their shapes and their table in the folder.

    Returns
    -------
    bool (M,)
        Which of them lie in the range of every filter, or are pinned.
    """
    masks = chosen.masks(folder.load(tile)) if len(chosen.within) else []
    folder.save(tile, Pieces.of(masks, chosen.cut.tolist()), FINAL)
    if not masks:
        return np.zeros(0, bool)
    raw: Any = _Raw(image, tile.window)
    table = object_table(masks, np.zeros((1, 1), np.uint32), raw)
    columns: dict[str, Any] = {name: table[name].to_numpy(str if kind == "str" else kind)
               for name, kind in COLUMNS.items()}  # fmt: skip
    with atomic_path(table_path(folder, tile)) as temporary:
        np.savez(temporary, **columns)
    return in_all_ranges(table, filters) | ((chosen.cut & PINNED) > 0)


def table_path(folder: TileFolder, tile: Tile) -> Path:
    """Return where the table of a tile's objects is kept."""
    return folder.path / FINAL / f"{tile.name}.table.npz"


def tile_table(
    folder: TileFolder,
    tile: Tile,
    labels: NDArray[np.integer],
    parents: NDArray[np.integer],
    visible: NDArray[np.integer],
    pixel_size: tuple[float, float] | None,
) -> pd.DataFrame:
    """Return the rows of a tile's objects in the table of the image.

    Parameters
    ----------
    folder, tile
        Whose.
    labels, parents, visible
        Label of each object that was measured, 0 for one that is left out; the label of its
        parent; and pixels that are seen.
    pixel_size
        (height, width) of a pixel in micrometres.
    """
    import pandas as pd

    if len(labels) == 0:
        empty = {name: pd.Series((), dtype=kind) for name, kind in COLUMNS.items()}
        return physical(pd.DataFrame(empty), pixel_size)
    path = table_path(folder, tile)
    advice = "Delete it and run the same command again."
    with reading(path, "the table of a tile", OutputError, advice), np.load(path) as file:
        columns = {name: pd.Series(file[name], dtype=kind) for name, kind in COLUMNS.items()}
    table = pd.DataFrame(columns)
    table = table.assign(index=labels, parent=parents, visible_area=visible)
    return physical(table[table["index"] > 0].reset_index(drop=True), pixel_size)


def pixel_size_of(image: LargeImage) -> tuple[float, float] | None:
    """Return (height, width) of a pixel in micrometres, where the image tells it."""
    size = image.record["pixel_size"]
    return in_micrometres(None if size is None else (size[0], size[1]), image.record["pixel_unit"])


def in_all_ranges(table: pd.DataFrame, filters: Sequence[ColumnFilter]) -> NDArray[np.bool_]:
    """Tell which rows lie in the range of every filter; both limits belong to it.

    Examples
    --------
    >>> import pandas as pd
    >>> in_all_ranges(pd.DataFrame({"area": [1, 5, 9]}), [ColumnFilter(column="area", minimum=5)])
    array([False,  True,  True])
    """
    inside = np.ones(len(table), bool)
    for one in filters:
        values = table[one.column].to_numpy(np.float64)
        if one.minimum is not None:
            inside &= values >= one.minimum
        if one.maximum is not None:
            inside &= values <= one.maximum
    return inside


class _Raw:
    """The original gray values, as `object_table` slices them; those of a window are in memory."""

    def __init__(self, image: LargeImage, window: Box) -> None:
        self.shape = image.shape
        self._image, self._window = image, window
        self._values = image.plane[window]

    def __getitem__(self, index: Box) -> NDArray[Any]:
        rows, columns = index
        top, left = self._window[0].start, self._window[1].start
        inside = all(
            own.start <= one.start and one.stop <= own.stop
            for one, own in zip(index, self._window, strict=True)
        )
        if not inside:
            return self._image.plane[index]
        return self._values[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
