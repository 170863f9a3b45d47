"""A rectangle of a large image, at one level of its layer, read as an image of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_graysam._napari.canvas.region import LayerRegion
from napari_graysam.errors import ImageError

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.canvas.whole import WholeImages
    from napari_graysam.recipe import Recipe
    from napari_graysam.recipe.image import Region

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Part:
    """A rectangle of a plane.

    Attributes
    ----------
    level
        Of the layer's resolutions, 0 the finest.
    box
        ``(x0, y0, x1, y1)`` in pixels of that level, half-open.

    Examples
    --------
    >>> Part(2, (100, 50, 300, 200)).words
    'x 100–299, y 50–199, level 2'
    """

    level: int
    box: Box

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        x0, y0, x1, y1 = self.box
        return y1 - y0, x1 - x0

    @property
    def words(self) -> str:
        """Where it is; also in the names of layers."""
        x0, y0, x1, y1 = self.box
        level = f", level {self.level}" if self.level else ""
        return f"x {x0}–{x1 - 1}, y {y0}–{y1 - 1}{level}"

    def grown(self, margin: int, shape: tuple[int, int]) -> Self:
        """Return the rectangle with more around it, inside rows and columns of the level."""
        x0, y0, x1, y1 = self.box
        box = (
            max(0, x0 - margin),
            max(0, y0 - margin),
            min(shape[1], x1 + margin),
            min(shape[0], y1 + margin),
        )
        return replace(self, box=box)

    def middle(self, side: int) -> Self:
        """Return the middle of the rectangle, no longer than a side."""
        spans = []
        for first, stop in zip(self.box[:2], self.box[2:], strict=True):
            begin = first if stop - first <= side else (first + stop - side) // 2
            spans.append((begin, min(stop, begin + side)))
        (x0, x1), (y0, y1) = spans
        return replace(self, box=(x0, y0, x1, y1))


def levels_of(layer: Layer) -> Sequence[Any]:
    """Return the arrays of an image layer, from the finest to the coarsest."""
    return tuple(layer.data) if layer.multiscale else (layer.data,)


def plane_shape(layer: Layer, axes: tuple[int, int], level: int = 0) -> tuple[int, int]:
    """Return rows and columns of a level.

    Raises
    ------
    ImageError
        There is no such level.
    """
    levels = levels_of(layer)
    if level >= len(levels):
        raise ImageError(
            f"Level {level} does not exist: “{layer.name}” has {len(levels)} "
            f"level{'s' * (len(levels) > 1)}, 0..{len(levels) - 1}. Change tiles.level (Tiles ▸ "
            "Level)."
        )
    shape = levels[level].shape
    return int(shape[axes[0]]), int(shape[axes[1]])


def lazy(array: Any) -> Any:
    """Return an array of which slices are not read before they are used."""
    if isinstance(array, np.ndarray) or hasattr(array, "dask"):
        return array
    import dask.array as da

    chunks = getattr(array, "chunks", None) or "auto"
    nothing = np.empty((0,) * len(array.shape), array.dtype)
    return da.from_array(array, chunks=chunks, name=False, asarray=True, meta=nothing)


def level_index(
    source: Source,
    levels: Sequence[Any],
    number: int,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> tuple[int | slice, ...]:
    """Return the index of rows and columns of a source's plane and channel in a level."""
    sides = {"Y": rows, "X": columns, "S": slice(None)}
    return tuple(
        sides[letter] if letter in sides else at * size // whole
        for letter, at, size, whole in zip(
            source.letters, source.index, levels[number].shape, levels[0].shape, strict=True
        )
    )


def named(source: Source, part: Part) -> Source:
    """Return a source that says which part it is; its pixels are those of the whole plane."""
    return replace(source, plane=", ".join(filter(None, (source.plane, part.words))), part=part)


def cut(source: Source, layer: Layer, part: Part, wholes: WholeImages | None = None) -> Source:
    """Return a part of a plane as an image of its own; nothing is read.

    Parameters
    ----------
    source
        The plane.
    layer
        Its image layer.
    part
        The rectangle.
    wholes
        Measure the window over the whole image, each once; None measures the part alone.

    Raises
    ------
    ImageError
        There is no such level.
    """
    shape = plane_shape(layer, source.placement.axes, part.level)
    levels = levels_of(layer)
    level = levels[part.level]
    x0, y0, x1, y1 = part.box
    index = level_index(source, levels, part.level, slice(y0, y1), slice(x0, x1))
    axes = "".join(letter for letter in source.letters if letter in "YXS")
    channel = None if "C" in source.letters else source.options.channel
    options = source.options.replace(axes=axes, plane=None, channel=channel, region=None)
    return replace(
        named(source, part),
        array=lazy(level)[index],
        options=options,
        placement=source.placement.at_level(shape).part(part.box),
        whole=None if wholes is None else wholes.of(layer, source, part.level),
    )


def thinned_source(source: Source, layer: Layer, shape: tuple[int, int]) -> Source:
    """Return a plane of a large image with fewer pixels; nothing is read.

    Parameters
    ----------
    source
        The plane.
    layer
        Its image layer.
    shape
        Rows and columns that are wanted: those of the coarsest level that has as many are used,
        some of them left out where it has twice as many. An image of one level that has just
        these is returned as it is.
    """
    axes, levels = source.placement.axes, levels_of(layer)
    shapes = [plane_shape(layer, axes, level) for level in range(len(levels))]
    if len(levels) == 1 and shapes[0] == shape:
        return source
    enough = [
        n for n, (rows, columns) in enumerate(shapes) if rows >= shape[0] and columns >= shape[1]
    ]
    level = max(enough, default=0)
    rows, columns = shapes[level]
    step = max(1, min(rows // shape[0], columns // shape[1]))
    whole = cut(source, layer, Part(level, (0, 0, columns, rows)))
    index = tuple(
        slice(None, None, step if letter in "YX" else None) for letter in whole.options.axes or ""
    )
    return replace(whole, array=whole.array[index])


def recipe_region(
    recipe: Recipe, part: Part, shape: tuple[int, int], factors: tuple[float, float]
) -> LayerRegion | None:
    """Return where in a part a recipe allows points; None where it allows them everywhere.

    Parameters
    ----------
    recipe
        Its ``image.region`` counts pixels of its ``tiles.level``.
    part
        The rectangle.
    shape
        Rows and columns of the part's level.
    factors
        How many rows and columns of the part's level one of the recipe's stands for.

    Raises
    ------
    ImageError
        The region is a file, which belongs to another level.
    """
    region: Region | None = recipe.image.region
    if region is None:
        return None
    if part.level != recipe.tiles.level:
        if isinstance(region, str):
            raise ImageError(
                f"image.region is a file, whose pixels are those of level {recipe.tiles.level}; "
                f"the view is level {part.level}. Zoom, or choose “whole image”."
            )
        y, x = factors
        region = tuple(tuple((px * x, py * y) for px, py in one) for one in region)
    from napari_graysam.files.region import region_window

    x0, y0, x1, y1 = part.box
    draw = partial(region_window, region, shape, (slice(y0, y1), slice(x0, x1)))
    return LayerRegion("No pixel of image.region lies in this part of the image.", None, draw)
