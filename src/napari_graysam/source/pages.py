"""Arrays that are read plane by plane: pages of a TIFF file, and whatever can be indexed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.limits import reading

Read = Callable[[tuple[int, ...]], Any]


class Planewise:
    """An array of which one plane after the other is asked for, never more at once.

    Parameters
    ----------
    shape, dtype
        Of the whole.
    leading
        How many of the first axes count planes.
    read
        Called with a position along these; returns the rest there.

    Examples
    --------
    >>> stack = Planewise((3, 2, 2), np.dtype(int), 1, lambda at: np.full((2, 2), at[0]))
    >>> stack[::2, 0, :].tolist()
    [[0, 0], [2, 2]]
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], leading: int, read: Read
    ) -> None:
        self.shape, self.dtype, self.ndim = tuple(shape), dtype, len(shape)
        self._leading, self._read = leading, read

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read what an index of whole numbers and slices, one for each axis, asks for."""
        return self._get((), index[: self._leading], index[self._leading :])

    def _get(
        self,
        position: tuple[int, ...],
        left: tuple[int | slice, ...],
        rest: tuple[int | slice, ...],
    ) -> NDArray[Any]:
        if not left:
            return np.asarray(np.asarray(self._read(position))[rest])
        if not isinstance(left[0], slice):
            return self._get((*position, int(left[0])), left[1:], rest)
        numbers = range(self.shape[len(position)])[left[0]]
        first = self._get((*position, numbers[0]), left[1:], rest)
        found = np.empty((len(numbers), *first.shape), first.dtype)
        found[0] = first
        for place, number in enumerate(numbers[1:], start=1):
            found[place] = self._get((*position, number), left[1:], rest)
        return found


def planewise(array: Any, leading: int) -> Any:
    """Return an array of which planes are read one by one; NumPy's and dask's as they are.

    Parameters
    ----------
    array
        Has a shape and a NumPy dtype, and takes an index of whole numbers and slices.
    leading
        How many of its first axes count planes.
    """
    if isinstance(array, np.ndarray | Planewise) or hasattr(array, "dask"):
        return array
    rest = (slice(None),) * (len(array.shape) - leading)
    dtype = np.dtype(array.dtype)
    return Planewise(array.shape, dtype, leading, lambda at: array[(*at, *rest)])


def tiff_pages(pages: Sequence[Any], shape: tuple[int, ...]) -> Planewise:
    """Return the pages of a TIFF file as an array; the file is opened to read each of them.

    Parameters
    ----------
    pages
        Pages of tifffile, in order; None for one that is missing.
    shape
        Of all of them as one array.
    """
    leading, count = 0, 1
    while count < len(pages):
        count *= shape[leading]
        leading += 1
    counts = shape[:leading]

    def read(position: tuple[int, ...]) -> NDArray[Any]:
        number = int(np.ravel_multi_index(position, counts)) if counts else 0
        page = pages[number]
        if page is None:
            raise ImageError("The file lacks the page of this plane.")
        handle = page.parent.filehandle
        closed = handle.closed
        try:
            with reading(f"page {number}", "a readable page"):
                handle.open()
                return np.asarray(page.asarray()).reshape(shape[leading:])
        finally:
            if closed:
                handle.close()

    return Planewise(shape, np.dtype(pages[0].dtype), leading, read)
