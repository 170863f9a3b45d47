"""Images of any size at several resolutions, of which only what is asked for is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from napari_graysam.errors import ImageError
from napari_graysam.recipe import ImageOptions
from napari_graysam.source.axes import Layout, layout_of, resolve
from napari_graysam.source.physical import MICROMETRES, PixelSize, combined, unit_of
from napari_graysam.source.plane import Plane
from napari_graysam.source.reading import check_stains
from napari_graysam.source.stored import Stored
from napari_graysam.source.window import as_array

FEWEST_AXES = 2


@dataclass(frozen=True, eq=False)
class Pyramid:
    """An image at one or several resolutions; nothing of it is in memory.

    It can be sent to another process where its path is known, or its arrays can.

    Attributes
    ----------
    levels
        Arrays from the finest to the coarsest: each has ``shape`` and ``dtype``, and takes an
        index of whole numbers and slices, one for each axis.
    axes
        One letter for each axis: T, Z, C, Y, X, S (colours); None where nothing tells them.
    scales
        For each level the size of a pixel along every axis, in `units`; empty where unknown.
    units
        For each axis, such as ``µm`` and ``s``; an empty text where unknown.
    translations
        For each level where its first pixel lies, in `units`; empty where unknown.
    path
        Where it was opened; None for arrays.
    kind
        ``ome-zarr``, ``zarr``, ``tiff``, ``file``, ``vendor`` or ``arrays``.
    group
        Address of the OME-Zarr group that holds the levels, to which labels can be added.
    version
        Of OME-Zarr.
    name
        That the file gives it.
    notes, size_notes
        Sentences for the user: what was left out or assumed; what is wrong with the scale.

    Examples
    --------
    >>> fine = np.arange(64, dtype=np.uint16).reshape(8, 8)
    >>> pyramid = open_pyramid([fine, fine[::2, ::2]])
    >>> pyramid.shape, len(pyramid.levels), pyramid.factors(1)
    ((8, 8), 2, (2.0, 2.0))
    >>> pyramid.plane(level=1)[:2, :2].tolist()
    [[0, 2], [16, 18]]
    """

    levels: tuple[Any, ...]
    axes: str | None = None
    scales: tuple[tuple[float, ...], ...] = ()
    units: tuple[str, ...] = ()
    translations: tuple[tuple[float, ...], ...] = ()
    path: str | None = None
    kind: str = "arrays"
    group: str | None = None
    version: str | None = None
    name: str = ""
    notes: tuple[str, ...] = ()
    size_notes: tuple[str, ...] = ()
    reopen: tuple[Callable[..., Pyramid], tuple[Any, ...]] | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the finest level."""
        return tuple(self.levels[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values as they are stored."""
        stored: np.dtype[Any] = np.dtype(self.levels[0].dtype)
        return stored

    def layout(self, options: ImageOptions | None = None, level: int = 0) -> Layout:
        """Return what the axes of a level mean.

        Raises
        ------
        ImageError
            They are not known, or ``options`` does not fit them.
        """
        options = self._options(options)
        check_stains(Stored(self.levels[level], self.axes), options)
        return layout_of(tuple(self.levels[level].shape), options)

    def plane(self, options: ImageOptions | None = None, level: int = 0) -> Plane:
        """Return one plane of a level, as gray values.

        Parameters
        ----------
        options
            ``axes``, ``channel``, ``gray`` and ``plane`` choose it, as for `read_image`.
        level
            0 is the finest.

        Raises
        ------
        ImageError
            There is no such level, plane or channel, or several and none was chosen.
        """
        if not 0 <= level < len(self.levels):
            raise ImageError(
                f"Level {level} does not exist: the image has {len(self.levels)} "
                f"level{'s' * (len(self.levels) > 1)}, 0..{len(self.levels) - 1}."
            )
        options = self._options(options)
        self.layout(options, level)
        array = self.levels[level]
        layout = resolve(tuple(array.shape), options)
        return Plane(array, layout, options, options.plane or 0)

    def factors(self, level: int, options: ImageOptions | None = None) -> tuple[float, float]:
        """Return how many rows and columns of the finest level one of a level stands for."""
        fine = self.layout(options).plane_shape
        coarse = self.layout(options, level).plane_shape
        return fine[0] / coarse[0], fine[1] / coarse[1]

    def pixel_size(self, level: int = 0) -> PixelSize:
        """Return (height, width) of a pixel of a level and their unit; None where unknown."""
        if self.axes is None or not self.scales:
            return PixelSize()
        y, x = self.axes.index("Y"), self.axes.index("X")
        scale = self.scales[level]
        return combined(scale[y], self.units[y], scale[x], self.units[x])

    def spacing(self) -> dict[str, float]:
        """Return the distance of planes: ``z`` in µm and ``t`` in seconds, where known."""
        found: dict[str, float] = {}
        seconds = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
        for letter, name, known in (("Z", "z", MICROMETRES), ("T", "t", seconds)):
            if self.axes is not None and self.scales and letter in self.axes:
                axis = self.axes.index(letter)
                factor = known.get(unit_of(self.units[axis]))
                if factor is not None:
                    found[name] = self.scales[0][axis] * factor
        return found

    def stored(self) -> Stored:
        """Return the finest level with what is known of it."""
        size = self.pixel_size()
        notes = (*self.size_notes, *size.notes)
        return Stored(self.levels[0], self.axes, size.size, size.unit, self.notes, size_notes=notes)

    def _options(self, options: ImageOptions | None) -> ImageOptions:
        options = ImageOptions() if options is None else options
        return options if options.axes or self.axes is None else options.replace(axes=self.axes)

    def __reduce__(self) -> Any:
        """Open it again in another process, by its path where it has one."""
        if self.reopen is not None:
            return self.reopen
        return _of_arrays, (self.levels, self.axes, self.scales, self.units)


def open_pyramid(image: Any, series: int | None = None) -> Pyramid:
    """Open an image of any size, of which nothing is read yet.

    Parameters
    ----------
    image
        Path or address of an OME-Zarr image (0.1 to 0.5) or of a Zarr array (format 2 or 3), of
        a TIFF file, also tiled and with levels, or of any other file of `read_image`; an array
        (NumPy, dask, Zarr); a list of arrays from fine to coarse, as layers of napari have; or a
        `Pyramid`, which is returned.
    series
        Which image of a file that holds several, counted from 0.

    Raises
    ------
    ImageError
        There is no image, or it is damaged, unsafe or of an unknown kind; the message says what
        to do.

    See Also
    --------
    napari_graysam.read_image : One plane that fits into memory.

    Examples
    --------
    >>> import zarr
    >>> array = zarr.create_array("a.zarr", shape=(300, 400), chunks=(100, 100), dtype="uint16")
    >>> array[:100, :100] = 7
    >>> pyramid = open_pyramid("a.zarr")
    >>> pyramid.shape, pyramid.plane()[98:102, 0].tolist()
    ((300, 400), [7, 7, 0, 0])
    """
    if isinstance(image, Pyramid):
        return image
    if isinstance(image, str | os.PathLike):
        from napari_graysam.source.opening import open_path

        return open_path(os.fspath(image), series)
    several = isinstance(image, Sequence) and all(hasattr(one, "shape") for one in image)
    return _of_arrays(tuple(image) if several and len(image) else (image,))


def _of_arrays(
    arrays: Sequence[Any],
    axes: str | None = None,
    scales: tuple[tuple[float, ...], ...] = (),
    units: tuple[str, ...] = (),
) -> Pyramid:
    levels = tuple(as_array(array) for array in arrays)
    check_levels(levels, axes)
    for one, other in pairwise(levels):
        if tuple(one.shape) == tuple(other.shape):
            raise ImageError(
                f"A list of arrays of one shape, {tuple(one.shape)}, came: levels become smaller. "
                "Planes of a stack go into one array (numpy.stack)."
            )
    return Pyramid(levels, axes, scales, units)


def check_levels(levels: Sequence[Any], axes: str | None = None) -> None:
    """Refuse arrays that are not one image at several resolutions, from fine to coarse.

    Raises
    ------
    ImageError
        They differ in type or number of axes, or one is larger than the one before; or an axis
        other than rows, columns and z changes its length.
    """
    shapes = [tuple(level.shape) for level in levels]
    if len(shapes[0]) < FEWEST_AXES:
        raise ImageError(f"An array of shape {shapes[0]} is no image: it needs rows and columns.")
    fixed = [i for i, letter in enumerate(axes or "") if letter not in "ZYX"]
    for number, level in enumerate(levels[1:], start=1):
        shape, before = shapes[number], shapes[number - 1]
        if len(shape) != len(before) or np.dtype(level.dtype) != np.dtype(levels[0].dtype):
            raise ImageError(
                f"Level {number} is {level.dtype} {shape}, level {number - 1} is "
                f"{levels[number - 1].dtype} {before}: levels of one image have one type and the "
                "same axes. Give the levels of one image, from fine to coarse."
            )
        larger = any(one > other for one, other in zip(shape, before, strict=True))
        if larger or 0 in shape or any(shape[i] != before[i] for i in fixed):
            raise ImageError(
                f"Level {number} has the shape {shape} after {before}: levels go from fine to "
                "coarse, and only rows, columns and z become fewer."
            )
