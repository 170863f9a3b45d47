"""One array of a Zarr store, whose damage is told in one way."""

from __future__ import annotations

import math
import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.limits import check_memory, reading
from napari_graysam.source.places import is_address
from napari_graysam.source.remote import asking

ADVICE = "The copy of the image may be unfinished or damaged: copy it again."


def gaps_note(missing: int, count: int, fill_value: Any) -> tuple[str, ...]:
    """Say how many chunks of an image are not in the store; nothing where all are."""
    if not missing:
        return ()
    return (
        f"{missing} of the {count} chunks of the image are not in the store; their pixels count "
        f"as {fill_value}. If the image has no empty regions, its copy is unfinished.",
    )


def gaps_of(array: Any) -> tuple[str, ...]:
    """Return `ZarrLevel.gaps` of an array that was read; nothing of what is no such array."""
    return array.gaps() if isinstance(array, ZarrLevel) else ()


class ZarrLevel:
    """An array of which only what is asked for is read, and decoded, block by block.

    Parameters
    ----------
    place
        Folder or address, for messages.
    array
        Of zarr, opened for reading.
    blosc
        Whether each chunk is a file that Blosc wrote.
    """

    def __init__(self, place: str, array: Any, *, blosc: bool = False) -> None:
        self.place, self._array = place, array
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.ndim = len(self.shape)
        self.chunks: tuple[int, ...] = tuple(array.chunks)
        shards = getattr(array, "shards", None)
        self.shards: tuple[int, ...] | None = None if shards is None else tuple(shards)
        self.fill_value = array.fill_value
        self._blosc = blosc and self.shards is None and not is_address(place)

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read what an index of whole numbers and slices asks for.

        Raises
        ------
        ImageError
            A chunk is damaged, or cannot be read.
        """
        with reading(self.place, "a readable array", advice=ADVICE):
            if self._blosc:
                self._check_chunks(index)
            if not is_address(self.place):
                return np.asarray(self._array[index])
            from napari_graysam.source.remote_store import read_chunks

            with asking(self.place):
                return np.asarray(read_chunks(self._array, index))

    def gaps(self) -> tuple[str, ...]:
        """Say how many chunks of an address were asked for and are not there, once it was read."""
        absent = len(getattr(self._array.store, "absent", ()))
        block = self.shards or self.chunks
        sides = zip(self.shape, block, strict=True)
        count = math.prod(-(-side // length) for side, length in sides)
        return gaps_note(absent, count, self.fill_value)

    def _check_chunks(self, index: Any) -> None:
        """Refuse chunks that are cut off: Blosc would read on in whatever lies behind them.

        Its header tells in bytes 12 to 15 how long the chunk is.
        """
        index = index if isinstance(index, tuple) else (index,)
        if Ellipsis in index:
            index = ()
        index = (*index, *(slice(None),) * (self.ndim - len(index)))
        ranges = []
        for one, side, chunk in zip(index, self.shape, self.chunks, strict=True):
            first, end, _ = one.indices(side) if isinstance(one, slice) else (one, one + 1, 1)
            ranges.append(range(first // chunk, -(-end // chunk)))
        for coordinates in product(*ranges):
            key = self._array.metadata.encode_chunk_key(coordinates)
            try:
                with open(Path(self.place, key), "rb") as file:
                    head = file.read(16)
                    size = os.fstat(file.fileno()).st_size
            except FileNotFoundError:
                continue
            length = int.from_bytes(head[12:16], "little")
            if size < 16 or size != length:
                raise ImageError(f"Its chunk {key} has {size:,} of {length:,} bytes.")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole array, if it fits into memory."""
        check_memory(self.nbytes, f"An array of shape {self.shape}")
        return np.asarray(self[...], dtype)
