"""What the parts of an image take from the whole of it: the percentiles of its window."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.layers import pixels_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari.layers import Layer

    from napari_graysam._napari.canvas.source import Source
    from napari_graysam.recipe import ImageOptions, Percentiles
    from napari_graysam.source.window import WindowStatistics

MOST_READ = 2**26
"""Pixels of the level that percentiles are measured on, where there are coarser ones."""


@dataclass(eq=False)
class WholeImage:
    """An image that its parts are measured by.

    Attributes
    ----------
    array
        All of one level, as `Source.array`; not in memory.
    options
        What its axes mean, and which channel is read.
    """

    array: Any
    options: ImageOptions
    _measured: dict[Percentiles, WindowStatistics | None] = field(default_factory=dict)

    def statistics(self, window: Percentiles) -> WindowStatistics | None:
        """Measure the percentiles, once; this belongs in a worker thread.

        None where all pixels looked at are NaN or infinite.
        """
        from napari_graysam.source.axes import layout_of
        from napari_graysam.source.window import as_array, measure

        if window not in self._measured:
            array = as_array(self.array)
            layout = layout_of(tuple(array.shape), self.options)
            self._measured[window] = measure(array, layout, self.options, window)
        return self._measured[window]


class WholeImages:
    """Remembers what was measured of one layer."""

    def __init__(self) -> None:
        self._pixels: Any = None
        self._known: dict[Hashable, WholeImage] = {}

    def of(self, layer: Layer, source: Source, level: int) -> WholeImage:
        """Return the whole of a layer at a level, or at the finest coarser one that is small.

        Parameters
        ----------
        layer
            The image.
        source
            The plane that is shown.
        level
            Of the part.
        """
        from napari_graysam._napari.canvas.part import lazy, levels_of

        if self._pixels is not pixels_of(layer):
            self._pixels, self._known = pixels_of(layer), {}
        levels = levels_of(layer)
        small = [n for n, one in enumerate(levels) if prod(one.shape) <= MOST_READ]
        number = next((n for n in small if n >= level), max(level, *small, 0))
        options = source.options.replace(plane=None, region=None)
        fixed = tuple(
            at * size // whole if letter == " " else None
            for letter, at, size, whole in zip(
                source.letters, source.index, levels[number].shape, levels[0].shape, strict=True
            )
        )
        key = (number, options.axes, options.channel, options.gray, fixed)
        if key not in self._known:
            index = tuple(slice(None) if at is None else at for at in fixed)
            self._known[key] = WholeImage(lazy(levels[number])[index], options)
        return self._known[key]
