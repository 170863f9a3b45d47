"""Levels of a TIFF file that are read tile by tile."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError

if TYPE_CHECKING:
    from tifffile import TiffFile


class TiffLevel:
    """One level of an image: the file is opened to read what is asked for.

    Parameters
    ----------
    array
        Zarr array over tifffile's store.
    file
        Where it lies; closed.
    lock
        Of all levels of the file.
    """

    def __init__(self, array: Any, file: TiffFile, lock: Lock) -> None:
        self._array, self._file, self._lock = array, file, lock
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.ndim = len(self.shape)
        self.chunks: tuple[int, ...] = tuple(array.chunks)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read what an index of whole numbers and slices asks for."""
        with self._lock:
            self._file.filehandle.open()
            try:
                return np.asarray(self._array[index])
            finally:
                self._file.filehandle.close()


def tiff_levels(path: str | os.PathLike[str], number: int) -> list[TiffLevel]:
    """Return the levels of one image of a TIFF file, from fine to coarse.

    Raises
    ------
    ImageError
        The tiles of the file do not fit what it says of them.
    """
    import tifffile
    import zarr

    lock, found = Lock(), []
    with tifffile.TiffFile(path) as file:
        for level in file.series[number].levels:
            array = zarr.open_array(level.aszarr(multiscales=False), mode="r")
            if array.shape != level.shape or np.dtype(array.dtype) != level.dtype:
                raise ImageError("The tiles of the file do not fit its metadata; it is damaged.")
            found.append(TiffLevel(array, file, lock))
    return found
