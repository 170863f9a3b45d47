"""The objects of a finished image in tiles, read back from what its run keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import OutputError
from napari_graysam.limits import reading
from napari_graysam.masks import Mask
from napari_graysam.tiles.folder import ADVICE, FINAL, TileFolder
from napari_graysam.tiles.grid import Tile, TileGrid
from napari_graysam.tiles.paint import INDEX

if TYPE_CHECKING:
    import pandas as pd

    from napari_graysam.select.regrouping.objects import Regrouping

ROWS = 20_000
"""Rows of the table that are in memory at once."""
LOADED = 4
"""Tiles whose objects are in memory at once."""


def planned_grid(folder: TileFolder) -> TileGrid | None:
    """Return the tiles of the run that a folder belongs to; None where there is none."""
    plan = folder.plan()
    if "shape" not in plan:
        return None
    return TileGrid((plan["shape"][0], plan["shape"][1]), plan["size"], plan["halo"])


@dataclass(frozen=True, eq=False)
class KeptObjects:
    """The objects of an image whose labels are written, of which those of a few tiles are read.

    Attributes
    ----------
    folder, grid
        ``NAME.tiles``, and its tiles.
    index
        One row for each object, by label.
    """

    folder: TileFolder
    grid: TileGrid
    index: NDArray[Any]

    @classmethod
    def of(cls, path: Path) -> KeptObjects:
        """Read the index of a folder ``NAME.tiles``.

        Raises
        ------
        OutputError
            It is not there, or damaged.
        """
        folder = TileFolder(path)
        grid = planned_grid(folder)
        if grid is None or not (path / INDEX).exists():
            raise OutputError(
                f"{path} does not hold the objects of a finished image: segment it again."
            )
        with reading(path / INDEX, "an index of objects", OutputError, ADVICE):
            index = np.load(path / INDEX)
        return cls(folder, grid, index)

    def masks(self, labels: Sequence[int]) -> list[Mask]:
        """Return the shapes of objects, whole also where others cover them.

        Raises
        ------
        OutputError
            There is no such object, or what a tile found is damaged.
        """
        load = lru_cache(LOADED)(lambda number: self.folder.load(self._tile(number), FINAL))
        rows = [self._row(label) for label in labels]
        return [load(int(row["tile"])).mask(int(row["within"])) for row in rows]

    def regroupings(self, label: int) -> tuple[Regrouping, ...]:
        """Return the merges and splits that an object comes from; errors as of `masks`."""
        from napari_graysam.tiles.regrouped import regroupings_of

        (mask,), owner = self.masks([label]), self._tile(int(self._row(label)["tile"]))
        return regroupings_of(self.folder, self.grid, mask, owner)

    def with_table(self, path: Path) -> Iterator[tuple[list[int], list[Mask], pd.DataFrame]]:
        """Yield labels, shapes and rows of the object table, some after others.

        Parameters
        ----------
        path
            ``NAME.objects.csv``.

        Raises
        ------
        OutputError
            The table is missing.
        """
        import pandas as pd

        if not path.exists():
            raise OutputError(f"{path} is not there: segment the image again to have it.")
        for table in pd.read_csv(path, chunksize=ROWS):
            labels = table["index"].tolist()
            depths = table["depth"].tolist()
            masks = [
                mask.marked(depth=int(depth))
                for mask, depth in zip(self.masks(labels), depths, strict=True)
            ]
            yield labels, masks, table

    def _row(self, label: int) -> np.void:
        place = int(np.searchsorted(self.index["label"], label))
        if place == len(self.index) or self.index["label"][place] != label:
            raise OutputError(f"{self.folder.path} holds no object {label}: segment it again.")
        row: np.void = self.index[place]
        return row

    def _tile(self, number: int) -> Tile:
        return self.grid.tile(*divmod(number, len(self.grid.spans[1])))
