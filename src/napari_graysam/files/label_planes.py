"""Label volumes and time series of labels, read plane by plane."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import GraysamError, LabelsError
from napari_graysam.files.label_values import checked
from napari_graysam.limits import reading
from napari_graysam.source.images import choose
from napari_graysam.source.kinds import is_zarr
from napari_graysam.source.pages import tiff_pages
from napari_graysam.source.reading import TIFF_STARTS, load
from napari_graysam.source.stored import Stored
from napari_graysam.source.tiff import MOST_CHANNELS, collected_warnings, open_tiff

SUFFIXES = (".tif", ".tiff", ".png", ".bmp", ".npy")
"""Of the label images in a folder of planes."""


class LabelPlanes:
    """The planes of a label volume, read one by one whenever they are asked for.

    Parameters
    ----------
    path
        Where they are.
    count
        How many there are.
    read
        Returns the array of a plane.

    Raises
    ------
    LabelsError
        When a plane is read: it cannot be, or is no label image.
    """

    def __init__(self, path: Path, count: int, read: Callable[[int], Stored]) -> None:
        self.path = path
        self._count, self._read = count, read

    @classmethod
    def of_file(cls, path: Path) -> LabelPlanes:
        """Open a file that holds a label volume or, as one plane of it, a label image."""
        return open_label_planes(path) or cls(path, 1, lambda _: load(path, colours=False))

    def __len__(self) -> int:
        """Return the number of planes."""
        return self._count

    def __getitem__(self, number: int) -> NDArray[np.integer]:
        """Read a plane, (H, W) integers, none negative."""
        if not -self._count <= number < self._count:
            raise IndexError(number)
        number %= self._count
        with reading(f"{self.path}, plane {number}", "labels", LabelsError):
            return checked(self._read(number))

    def __iter__(self) -> Iterator[NDArray[np.integer]]:
        """Read one plane after the other."""
        return (self[number] for number in range(self._count))


def open_label_planes(path: str | os.PathLike[str]) -> LabelPlanes | None:
    """Open a label volume or a labelled time series, without reading it.

    Parameters
    ----------
    path
        A TIFF or NPY file or a Zarr array of several planes, (Z, Y, X), (T, Y, X) or
        (T, Z, Y, X); or a folder of label images, in the order of their names.

    Returns
    -------
    LabelPlanes or None
        None where the file holds one plane or no label image at all.

    Raises
    ------
    LabelsError
        If the file cannot be read, or a folder holds no label images.

    See Also
    --------
    read_labels : One label image.

    Examples
    --------
    >>> import numpy as np
    >>> np.save("cells.npy", np.arange(30).reshape(2, 3, 5))
    >>> planes = open_label_planes("cells.npy")
    >>> len(planes), planes[1].shape
    (2, (3, 5))
    """
    where = Path(path)
    zarr = is_zarr(where)
    if where.is_dir() and not zarr:
        return _folder(where)
    if where.suffix.lower() in (".json", ".geojson", ".zip"):
        return None
    with reading(where, "labels", LabelsError):
        tiff = not zarr and _is_tiff(where)
        array, colours = _pages(where) if tiff else (load(where, colours=False).array, False)
        shape = tuple(array.shape)
        leading = shape[:-2]
        few = not (tiff or zarr) and shape[-1] <= MOST_CHANNELS
        if colours or few or int(np.prod(leading)) <= 1:
            return None

    def read(number: int) -> Stored:
        return Stored(np.asarray(array[np.unravel_index(number, leading) + (slice(None),) * 2]))

    return LabelPlanes(where, int(np.prod(leading)), read)


def _is_tiff(path: Path) -> bool:
    with open(path, "rb") as start:
        return start.read(4) in TIFF_STARTS


def _folder(path: Path) -> LabelPlanes:
    files = sorted(
        file
        for file in path.iterdir()
        if file.is_file() and file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )
    if not files:
        raise LabelsError(f"{path}: the folder holds no label images ({', '.join(SUFFIXES)}).")

    def read(number: int) -> Stored:
        try:
            return load(files[number], colours=False)
        except GraysamError as error:
            raise LabelsError(f"{files[number].name}: {error}") from error

    return LabelPlanes(path, len(files), read)


def _pages(path: Path) -> tuple[Any, bool]:
    """Return a TIFF file's planes as an array that is read when it is indexed."""
    with collected_warnings(), open_tiff(path) as file:
        series = choose(file, None).series
        first = series[0]
        if len(series) == 1 and first.dataoffset is None and len(first.pages) > 1:
            return tiff_pages(list(first.pages), first.shape), "S" in first.axes
        colours = "S" in first.axes
    return load(path, colours=False).array, colours
