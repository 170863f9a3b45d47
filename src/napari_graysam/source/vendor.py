"""Files of microscopes, read with bioio where its package for them is installed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.limits import available_memory, check_memory, reading
from napari_graysam.source.images import check_number
from napari_graysam.source.kinds import Vendor
from napari_graysam.source.pyramid import Pyramid, check_levels

MOST_LEVELS = 32
MOST_KEPT = 4
"""Part of the free memory, one in so many, that a plane may take which is kept."""
MOST_BYTES = 2**31
"""What such a plane may take at most: other processes keep theirs."""


def open_vendor(path: str, vendor: Vendor, series: int | None = None) -> Pyramid:
    """Open a microscope's file, of which planes are read where they are sliced.

    Parameters
    ----------
    path
        The file.
    vendor
        What it is, and which package reads it.
    series
        Which of its scenes, counted from 0; None for the only one.

    Raises
    ------
    ImageError
        bioio or the package is not installed, or the file is damaged, or has several scenes.
    """
    try:
        from bioio import BioImage
        from bioio_base.exceptions import UnsupportedFileFormatError
    except ImportError as error:
        # Where bioio is there, but something that it needs is not, that is named.
        why = "" if error.name == "bioio" else f" bioio cannot be imported: {error}."
        raise ImageError(f"{path}: {vendor.advice}{why}") from None
    with reading(path, vendor.name):
        try:
            image = BioImage(path)
        except UnsupportedFileFormatError:
            raise ImageError(vendor.advice) from None
        scenes = list(image.scenes)
        if series is None and len(scenes) > 1:
            named = ", ".join(f"{n} ({str(name)[:30]})" for n, name in enumerate(scenes[:8]))
            raise ImageError(
                f"The file holds {len(scenes)} images; choose one with image.series=N: {named}."
            )
        check_number(series or 0, len(scenes))
        image.set_scene(series or 0)
        letters = str(image.dims.order)
        levels = [LastPlane(level, letters.index("Y")) for level in _levels(image)]
        axes = letters if set(letters) <= set("TZCYXS") else None
        check_levels(levels, axes)
        scales, units = _sizes(image, letters, levels)
    return Pyramid(
        tuple(levels),
        axes,
        scales,
        units,
        path=path,
        kind="vendor",
        name=str(scenes[series or 0]),
        reopen=(open_vendor, (os.path.abspath(path), vendor, series)),
    )


class LastPlane:
    """An array of dask that keeps the plane which was read last.

    bioio reads whole planes, however little of one is asked for; tiles ask for all of it, one
    after the other.

    Parameters
    ----------
    array
        Of dask.
    leading
        How many of its first axes count planes.
    """

    def __init__(self, array: Any, leading: int) -> None:
        self._array, self._leading = array, leading
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.ndim = len(self.shape)
        self.chunks = array.chunks
        self._last: tuple[str, NDArray[Any]] | None = None

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read what an index of whole numbers and slices asks for."""
        index = index if isinstance(index, tuple) else (index,)
        if Ellipsis in index or len(index) <= self._leading:
            return np.asarray(self._array[index])
        lead, rest = index[: self._leading], index[self._leading :]
        last, name = self._last, str(lead)
        if last is None or last[0] != name:
            self._last = last = None
            plane = self._array[lead]
            if plane.nbytes > min(MOST_BYTES, available_memory() // MOST_KEPT):
                return np.asarray(self._array[index])
            self._last = last = (name, np.asarray(plane))
        kept = last[1].ndim - (self.ndim - self._leading)
        return np.array(last[1][(*(slice(None),) * kept, *rest)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole array, if it fits into memory."""
        check_memory(self._array.nbytes, f"An array of shape {self.shape}")
        return np.asarray(self._array, dtype)


def _levels(image: Any) -> list[Any]:
    """Return the levels of a scene as dask arrays, from fine to coarse."""
    found = []
    for level in list(image.resolution_levels)[:MOST_LEVELS]:
        image.set_resolution_level(level)
        found.append(image.dask_data)
    image.set_resolution_level(0)
    return found


def _sizes(
    image: Any, letters: str, levels: list[Any]
) -> tuple[tuple[tuple[float, ...], ...], tuple[str, ...]]:
    """Return scales and units; bioio gives micrometres, and None where unknown."""
    sizes = image.physical_pixel_sizes
    known = {axis: getattr(sizes, axis, None) for axis in "ZYX"}
    if not known["Y"] or not known["X"]:
        return (), ("",) * len(letters)
    units = tuple("µm" if known.get(letter) else "" for letter in letters)
    fine = levels[0].shape
    scales = tuple(
        tuple(
            float(known.get(letter) or 1.0) * whole / here
            for letter, whole, here in zip(letters, fine, level.shape, strict=True)
        )
        for level in levels
    )
    return scales, units
