"""Label images in Zarr, block by block: each block belongs to one task, so that none is lost."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import writing
from napari_graysam.errors import OutputError
from napari_graysam.files.zarr_labels.plan import LabelPlan

PIECE = 2**24
"""Pixels of the level above that are in memory at once while a lower level is made."""

Place = tuple[int, int, int, int]
"""First row, end of rows, first column, end of columns."""


@dataclass(frozen=True)
class LabelBlocks:
    """The arrays of a label image that is being written; can be sent to another process.

    Two tasks that write into one block lose data without an error: each block must be written
    by one task at a time, and whole.

    Attributes
    ----------
    path
        Folder of the group.
    plan
        Shapes of the levels, and sides of a block.
    zarr_format
        2 or 3.
    """

    path: str
    plan: LabelPlan
    zarr_format: int = 3

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the finest level."""
        return self.plan.shapes[0]

    @cached_property
    def arrays(self) -> tuple[Any, ...]:
        """Zarr arrays of all levels, which can be read as far as they are written."""
        import zarr

        with writing(self.path):
            return tuple(
                zarr.open_array(str(Path(self.path, str(level))), mode="r+")
                for level in range(len(self.plan.shapes))
            )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the arrays, which another process opens for itself."""
        return {"path": self.path, "plan": self.plan, "zarr_format": self.zarr_format}

    def create(self) -> None:
        """Make the arrays of all levels, empty."""
        import zarr

        plan = self.plan
        ones = (1,) * plan.leading
        for level, shape in enumerate(plan.shapes):
            names = [letter.lower() for letter in plan.axes]
            path = str(Path(self.path, str(level)))
            common: dict[str, Any] = {
                "shape": shape,
                "dtype": "uint32",
                "chunks": (*ones, plan.chunk, plan.chunk),
                "fill_value": 0,
            }
            with writing(path), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if self.zarr_format == 3:
                    from zarr.codecs import BloscCodec

                    codec = BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")
                    sharded = plan.block > plan.chunk
                    shards = (*ones, plan.block, plan.block) if sharded else None
                    zarr.create_array(
                        path, **common, shards=shards, compressors=codec, dimension_names=names
                    )
                else:
                    import numcodecs

                    zarr.create_array(
                        path,
                        **common,
                        zarr_format=2,
                        compressors=numcodecs.Blosc(cname="zstd", clevel=5),
                        chunk_key_encoding={"name": "v2", "separator": "/"},
                    )

    def places(self, level: int = 0) -> Iterator[Place]:
        """Yield where the blocks of a plane of a level lie, row by row."""
        rows, columns = self.plan.shapes[level][-2:]
        for y in range(0, rows, self.plan.block):
            for x in range(0, columns, self.plan.block):
                yield y, min(y + self.plan.block, rows), x, min(x + self.plan.block, columns)

    def leading(self) -> Iterator[tuple[int, ...]]:
        """Yield the positions of all planes; one, without any number, of a single plane."""
        yield from np.ndindex(*self.shape[:-2])

    def write_block(
        self,
        y0: int,
        x0: int,
        array: NDArray[np.integer],
        *,
        at: Sequence[int] = (),
        level: int = 0,
    ) -> None:
        """Write one block, or several that are neighbours.

        Parameters
        ----------
        y0, x0
            Its first row and column.
        array
            (H, W) labels; it ends where a block ends, or the image.
        at
            Position along the axes before rows and columns.
        level
            0 is the finest.

        Raises
        ------
        OutputError
            The place is no block, which would lose what another task writes into the same
            block; or the disk refuses.
        """
        rows, columns = self.plan.shapes[level][-2:]
        block = self.plan.block
        ends = (y0 + array.shape[0], rows), (x0 + array.shape[1], columns)
        whole = all(end % block == 0 or end == last for end, last in ends)
        inside = all(0 < end <= last for end, last in ends) and len(at) == self.plan.leading
        if y0 % block or x0 % block or not whole or not inside or array.ndim != 2:
            raise OutputError(
                f"A block of shape {array.shape} at {(*at, y0, x0)} is not on the grid of "
                f"{block} × {block} of labels of shape {self.plan.shapes[level]}: only whole "
                "blocks can be written without losing another task's."
            )
        index = (*at, slice(y0, y0 + array.shape[0]), slice(x0, x0 + array.shape[1]))
        with writing(self.path):
            self.arrays[level][index] = array.astype(np.uint32, copy=False)

    def build_block(self, level: int, place: Place, at: Sequence[int] = ()) -> None:
        """Make one block of a level from the level above it, which must be complete.

        Every pixel is the nearest one above, so that no label appears that is not there.

        Parameters
        ----------
        level
            From 1 on.
        place
            Of `places`.
        at
            Position along the axes before rows and columns.
        """
        y0, y1, x0, x1 = place
        above, fine = self.arrays[level - 1], self.plan.shapes[level - 1]
        coarse = self.plan.shapes[level]
        rows = nearest(np.arange(y0, y1), fine[-2], coarse[-2])
        columns = nearest(np.arange(x0, x1), fine[-1], coarse[-1])
        width = int(columns[-1] - columns[0]) + 1
        step = max(1, PIECE // width // max(1, math.ceil(fine[-2] / coarse[-2])))
        upper = tuple(
            int(nearest(np.array([position]), fine[axis], coarse[axis])[0])
            for axis, position in enumerate(at)
        )
        found = np.empty((y1 - y0, x1 - x0), np.uint32)
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            source = above[
                (
                    *upper,
                    slice(int(some[0]), int(some[-1]) + 1),
                    slice(int(columns[0]), int(columns[-1]) + 1),
                )
            ]
            found[first : first + step] = source[np.ix_(some - some[0], columns - columns[0])]
        self.write_block(y0, x0, found, at=at, level=level)


def nearest(positions: NDArray[Any], fine: int, coarse: int) -> NDArray[np.int64]:
    """Return which pixels of a longer axis lie nearest to pixels of a shorter one.

    Examples
    --------
    >>> nearest(np.arange(3), 6, 3).tolist(), nearest(np.arange(2), 6, 2).tolist()
    ([0, 2, 4], [1, 4])
    """
    middle = (np.asarray(positions) + 0.5) * (fine / coarse) - 1.0
    return np.clip(np.ceil(middle - 1e-9), 0, fine - 1).astype(np.int64)
