"""Which plane of a Labels layer is compared: its only one, or the one that is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.layers import pixels_of
from napari_graysam._napari.canvas.placement import Placement, transform_of

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Labels, Layer


def shape_of(layer: Layer) -> tuple[int, ...]:
    """Return the shape of a layer's pixels, of the finest level where it has several."""
    return tuple(int(length) for length in pixels_of(layer).shape)


def plane_axes(layer: Layer) -> tuple[int, int] | None:
    """Return the axes of a layer's only plane; None if it has several planes."""
    shape = shape_of(layer)
    if len(shape) < 2:
        return None
    if len(shape) == 2:
        return 0, 1
    wide = [axis for axis, length in enumerate(shape) if length != 1]
    if len(wide) > 2:
        return None
    while len(wide) < 2:
        wide = sorted([*wide, max(set(range(len(shape))) - set(wide))])
    return wide[0], wide[1]


@dataclass(frozen=True, eq=False)
class ShownPlane:
    """The plane of a layer that is compared: its only one, or of a stack the one that is shown.

    Attributes
    ----------
    layer
        The layer.
    axes
        The layer's axes of rows and columns.
    index
        Of the plane along each axis; 0 along rows and columns.
    """

    layer: Labels
    axes: tuple[int, int]
    index: tuple[int, ...]

    @property
    def placement(self) -> Placement:
        """Where the plane lies."""
        layer, shape = self.layer, shape_of(self.layer)
        one = [size if axis in self.axes else 1 for axis, size in enumerate(shape)]
        whole = Placement(shape, self.axes, transform_of(layer))
        return whole.moved(self.index, one) if any(self.index) else replace(whole, shape=tuple(one))

    def read(self) -> NDArray[np.integer]:
        """Read the labels, (H, W); the array is the caller's own."""
        where = tuple(
            slice(None) if axis in self.axes else slice(at, at + 1)
            for axis, at in enumerate(self.index)
        )
        return self.placement.extract(np.array(pixels_of(self.layer)[where]))


def shown_plane(layer: Labels, dims: Dims | None = None) -> ShownPlane | None:
    """Return the plane of a layer that is compared; None where the display shows none.

    Parameters
    ----------
    layer
        Of one plane, or a stack.
    dims
        Of the viewer, whose sliders choose a plane of a stack; None chooses none.
    """
    axes, ndim = plane_axes(layer), layer.ndim
    if axes is not None:
        return ShownPlane(layer, axes, (0,) * ndim)
    if dims is None or dims.ndisplay != 2:
        return None
    first, last = sorted(axis - dims.ndim + ndim for axis in dims.displayed)
    if first < 0:
        return None
    at = np.rint(layer.world_to_data(dims.point)).astype(int)
    index = tuple(0 if axis in (first, last) else int(at[axis]) for axis in range(ndim))
    if any(not 0 <= one < size for one, size in zip(index, shape_of(layer), strict=True)):
        return None
    return ShownPlane(layer, (first, last), index)


def placement_of(layer: Labels, dims: Dims | None = None) -> Placement:
    """Return where the compared plane of a layer lies."""
    shown = shown_plane(layer, dims)
    assert shown is not None
    return shown.placement


def is_stack(layer: Layer) -> bool:
    """Whether a layer has several planes, so that the sliders choose what is compared."""
    return plane_axes(layer) is None
