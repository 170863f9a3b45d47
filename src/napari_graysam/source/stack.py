"""A stack: planes that are read one by one, in one window."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from napari_graysam.errors import ImageError
from napari_graysam.limits import reading
from napari_graysam.recipe import ImageOptions, Percentiles, Recipe, StackOptions
from napari_graysam.source import kinds
from napari_graysam.source.axes import layout_of
from napari_graysam.source.gray import GrayImage, ImageSource
from napari_graysam.source.images import choose
from napari_graysam.source.pages import planewise, tiff_pages
from napari_graysam.source.photometric import AS_STORED, GDAL_NODATA
from napari_graysam.source.physical import checked_size, given_size, tiff_pixel_size, tiff_spacing
from napari_graysam.source.places import everywhere, is_address
from napari_graysam.source.pyramid import open_pyramid
from napari_graysam.source.reading import LONGEST_START, TIFF_STARTS, check_stains, load
from napari_graysam.source.stack_axes import chosen_positions, stack_axes, stack_planes
from napari_graysam.source.stack_window import StackWindow, measure_planes
from napari_graysam.source.stored import Stored
from napari_graysam.source.tiff import axes_of, check_imagej, collected_warnings, open_tiff
from napari_graysam.source.zarr_level import gaps_of
from napari_graysam.units import in_micrometres


class Stack:
    """The planes of an image along z or t.

    Nothing is read before it is asked for, and of pixels only one plane at a time. Compressed
    TIFF files are read page by page, others are memory-mapped; files with a palette, inks, missing
    pixels or an orientation of their own are read as a whole.

    Parameters
    ----------
    image
        An array, also one that is read when it is indexed (memory-mapped, dask, Zarr), or the
        path of a file.
    recipe
        ``image`` and ``stack`` are read.
    contrast_limits
        ``(low, high)`` for a recipe whose window is ``limits``.
    pixel_size
        Micrometres, or (height, width) of a pixel, in place of the file's.

    Attributes
    ----------
    axis
        ``z`` or ``t``.
    positions
        Of the planes that are segmented, along the axis, counted from 0.
    pixel_size
        (Height, width) of a pixel in µm; None where it is not known.

    Raises
    ------
    ImageError
        The file cannot be read, or is no stack, or it is not clear which.

    Examples
    --------
    >>> from napari_graysam import Recipe
    >>> recipe = Recipe().with_values({"stack.axis": "z", "stack.first": 1})
    >>> stack = Stack(np.arange(12, dtype=np.uint8).reshape(3, 2, 2), recipe)
    >>> list(stack.positions), stack.plane(2).raw.tolist()
    ([1, 2], [[8, 9], [10, 11]])
    """

    def __init__(
        self,
        image: Any,
        recipe: Recipe,
        *,
        contrast_limits: tuple[float, float] | None = None,
        pixel_size: float | tuple[float, float] | None = None,
    ) -> None:
        self.path = os.fspath(image) if isinstance(image, str | os.PathLike) else None
        self.recipe, self.options = recipe, recipe.stack
        if recipe.image.plane is not None:
            raise ImageError(
                f"image.plane={recipe.image.plane} chooses one plane and stack.axis="
                f"{self.options.axis} all of them: leave one out"
            )
        spacing = None
        if self.path is None:
            stored = Stored(image if hasattr(image, "dtype") else _of_planes(image))
        else:
            stored, spacing = _load(self.path, recipe.image.series)
        try:
            self._source = _source(stored, recipe.image, self.options, contrast_limits)
            self.axis, self._numbers = stack_planes(self._source.layout, self.options)
            self.positions: Sequence[int] = chosen_positions(len(self._numbers), self.options)
        except ImageError as error:
            raise ImageError(f"{self.path}: {error}" if self.path else str(error)) from error
        if pixel_size is not None:
            stored = given_size(checked_size(pixel_size), stored)
        self._stored = stored
        self.pixel_size = in_micrometres(stored.pixel_size, stored.unit)
        self._window: StackWindow | None = None
        self._distance = self.options.spacing or (spacing or {}).get(self.axis)

    @property
    def spacing(self) -> float | None:
        """Distance of segmented planes, in µm (z) or seconds (t); None where it is not known."""
        return None if self._distance is None else self._distance * self.options.step

    def among(self, positions: Sequence[int], recipe: Recipe) -> Stack:
        """Return the same image with other planes that are segmented, by another recipe.

        Parameters
        ----------
        positions
            Along the axis, counted from 0, ascending.
        recipe
            Of the planes; how the image is read, and its window, stay.
        """
        other = copy(self)
        other.positions, other.recipe = tuple(positions), recipe
        return other

    def choosing(self, options: StackOptions) -> Stack:
        """Return the same image with the planes that ``first``, ``last`` and ``step`` choose.

        Raises
        ------
        ImageError
            They choose none.
        """
        other = copy(self)
        wanted = {name: getattr(options, name) for name in ("first", "last", "step")}
        other.options = self.options.replace(**wanted)
        other.recipe = self.recipe.replace(stack=other.options)
        other.positions = chosen_positions(len(self._numbers), other.options)
        return other

    def __len__(self) -> int:
        """Return the number of planes that are segmented."""
        return len(self.positions)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a plane."""
        return self._source.layout.plane_shape

    @property
    def axes(self) -> str:
        """One letter for each axis of the image."""
        return self._source.layout.axes

    def name(self, position: int) -> str:
        """Return the name of a plane, such as ``z0012``."""
        return f"{self.axis}{position:04d}"

    def named(self, numbers: Sequence[int]) -> list[str]:
        """Return what planes are called in messages, by their numbers in the whole image."""
        places = {number: place for place, number in enumerate(self._numbers)}
        return [
            f"plane {self.axis}={places[number]}" if number in places else f"plane {number} of all"
            for number in numbers
        ]

    def plane_recipe(self, position: int, recipe: Recipe | None = None) -> Recipe:
        """Return the recipe that segments a plane by itself, as an image of its own.

        Parameters
        ----------
        position
            Along the axis, counted from 0.
        recipe
            In place of the stack's own; of its image the axes and the plane do not count.
        """
        recipe = self.recipe if recipe is None else recipe
        changes = {"axes": self._source.layout.axes, "plane": self._numbers[position]}
        image = recipe.image.replace(**changes)
        return recipe.replace(image=image, stack=StackOptions())

    def statistics(self) -> StackWindow | None:
        """Measure the window of all planes that can be read, once; None if each has its own."""
        window, source = self.recipe.image.window, self._source
        if self.options.window != "stack" or not isinstance(window, Percentiles):
            return None
        if self._window is None:
            with reading(self.path or "the stack", "a readable stack"):
                self.use(measure_planes(source.array, source.layout, source.options, window))
        return self._window

    def use(self, window: StackWindow | None) -> None:
        """Take a window that was measured before."""
        self._window = window
        self._source.measured = None if window is None else window.ends

    def plane(self, position: int) -> GrayImage:
        """Read a plane.

        Parameters
        ----------
        position
            Along the axis, counted from 0.

        Raises
        ------
        ImageError
            It cannot be read; the message names the plane.
        """
        name = f"plane {self.axis}={position}"
        where = name if self.path is None else f"{self.path}: {name}"
        number, window = self._numbers[position], self.statistics()
        with reading(where, "a readable plane"):
            if self.options.window == "plane":
                image = self._source.alone(number)
            else:
                image = self._source.plane(number)
        stored = self._stored
        image.record["stack"] = {
            "axis": self.axis, "position": position, "window": self.options.window,
        }  # fmt: skip
        image.record["pixel_size"] = list(stored.pixel_size) if stored.pixel_size else None
        image.record["pixel_unit"] = stored.unit
        image.record["notes"] += [*stored.notes, *gaps_of(stored.array), *stored.size_notes]
        if window is not None and window.without:
            image.record["stack"]["window_without"] = self.named(window.without)
            image.record["notes"].append(
                f"The window was measured without {', '.join(self.named(window.without)[:5])}, "
                "which cannot be read; once it can, planes whose window changes are made again."
            )
        if self.path is not None:
            image.record["path"] = everywhere(self.path)
            image.record["series"] = self.recipe.image.series
            image.record["orientation"] = stored.orientation
        return image


def _source(
    stored: Stored,
    options: ImageOptions,
    stack: StackOptions,
    limits: tuple[float, float] | None,
) -> ImageSource:
    shape = tuple(stored.array.shape)
    axes = options.axes or stack_axes(shape, stored.axes, stack)
    options = options.replace(axes=axes)
    layout = layout_of(shape, options)
    if stored.axes is not None:
        check_stains(stored._replace(axes=axes), options)
    leading = min(i for i, letter in enumerate(axes) if letter in "YXS")
    array = planewise(stored.array, leading)
    return ImageSource(array, options, contrast_limits=limits, layout=layout)


def _of_planes(planes: Any) -> Any:
    """Return planes of a list as one array; they must have one size."""
    arrays = [np.asarray(plane) for plane in planes]
    sizes = [array.shape for array in arrays]
    odd = next((n for n, size in enumerate(sizes) if size != sizes[0]), None)
    if odd is not None:
        raise ImageError(
            f"The planes of a stack have one size: plane 0 has {sizes[0]}, plane {odd} {sizes[odd]}"
        )
    return np.stack(arrays) if arrays else np.empty(0)


def _load(path: str, series: int | None) -> tuple[Stored, dict[str, float]]:
    """Return a file's array with ``?`` for an axis that it does not name, and its spacing."""
    if os.path.isdir(path) or is_address(path):
        pyramid = open_pyramid(path, series)
        return pyramid.stored(), pyramid.spacing()
    with reading(path, "a TIFF file"):
        with open(path, "rb") as file:
            start = file.read(LONGEST_START)
        if kinds.vendor(path, start):
            pyramid = open_pyramid(path, series)
            return pyramid.stored(), pyramid.spacing()
        if not start.startswith(TIFF_STARTS):
            return load(path, series), {}
        with collected_warnings() as warned, open_tiff(path) as file:
            chosen = choose(file, series)
            first, page = chosen.series[0], chosen.series[0].keyframe
            letters = first.axes if len(chosen.series) == 1 else "?" + first.axes
            unknown = [letter for letter in letters if letter not in "TZCYXS"]
            spacing = tiff_spacing(file, chosen.number)
            check_imagej(file, first)
            whole = (
                int(page.photometric) not in AS_STORED
                or GDAL_NODATA in page.tags
                or int(page.tags["Orientation"].value if "Orientation" in page.tags else 1) != 1
            )
            if len(chosen.series) > 1 or first.dataoffset is not None or whole:
                stored = None
            else:
                pages = list(first.pages)
                array: Any = tiff_pages(pages, first.shape)
                size, unit, more = tiff_pixel_size(file, chosen.number)
                notes = (*chosen.notes, *warned)
                stored = Stored(array, axes_of(first), size, unit, notes, size_notes=more)
        if stored is None:
            stored = load(path, series)
        if unknown and stored.axes is not None:
            free = [letter for letter in "ZT" if letter not in letters]
            axes = stored.axes.replace(free[0], "?") if len(unknown) == 1 and free else None
            stored = stored._replace(axes=axes)
        return stored, spacing
