"""One plane of a large image, of which only what is sliced is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.limits import check_memory
from napari_graysam.recipe import ImageOptions
from napari_graysam.source.axes import Layout, take
from napari_graysam.source.window import native


class Plane:
    """One plane of a level, as gray values: two axes, read where it is sliced.

    Parameters
    ----------
    array
        The level: has a shape and a NumPy dtype, and takes an index of whole numbers and slices.
    layout, options, number
        What its axes mean, which channel or conversion to gray is wanted, and which plane.

    Attributes
    ----------
    shape
        Rows and columns.
    dtype
        Of what is read, in native byte order.

    Examples
    --------
    >>> from napari_graysam.source.pyramid import open_pyramid
    >>> pyramid = open_pyramid(np.arange(24).reshape(2, 3, 4))
    >>> plane = pyramid.plane(ImageOptions(axes="ZYX", plane=1))
    >>> plane.shape, plane[1:3, :2].tolist()
    ((3, 4), [[16, 17], [20, 21]])
    """

    ndim = 2

    def __init__(self, array: Any, layout: Layout, options: ImageOptions, number: int) -> None:
        self._array, self._layout, self._options, self._number = array, layout, options, number
        self.shape = layout.plane_shape
        small = tuple(layout.size(one) if one in "CS" else 1 for one in layout.axes)
        one = Layout(layout.axes, small)
        self.dtype = native(take(np.zeros(small, array.dtype), one, options, 0)).dtype

    @property
    def chunks(self) -> tuple[int, int] | None:
        """Rows and columns of what is read at once; None where that does not matter."""
        sizes = getattr(self._array, "chunks", None)
        if not sizes or len(sizes) != len(self._layout.shape):
            return None
        # Dask lists every chunk of an axis.
        largest = [max(one) if isinstance(one, tuple) else int(one) for one in sizes]
        axes = self._layout.axes
        return largest[axes.index("Y")], largest[axes.index("X")]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read rows and columns, two slices with positive steps, into a new array."""
        rows, columns = index
        return native(take(self._array, self._layout, self._options, self._number, rows, columns))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole plane, if it fits into memory."""
        size = self.shape[0] * self.shape[1] * self.dtype.itemsize
        check_memory(size, f"A plane of {self.shape[0]} × {self.shape[1]} {self.dtype}")
        return np.asarray(self[:, :], dtype)
