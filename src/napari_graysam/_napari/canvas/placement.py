"""Where the pixels of a layer lie in the world, and the camera's way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.units import factors, pixel_size

if TYPE_CHECKING:
    import pint
    from napari.layers import Layer
    from napari.viewer import Viewer

TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""The attributes of a layer that say where it lies."""
SMALLEST = 24
"""Pixels of the image that the camera shows at least when it zooms to a box."""

Box = tuple[int, int, int, int]
Units = Sequence["pint.Unit"] | None


def transform_of(layer: Layer) -> dict[str, Any]:
    """Return the keyword arguments that put another layer in the same place."""
    transform = {name: getattr(layer, name) for name in TRANSFORM}
    return {**transform, "affine": layer.affine.affine_matrix}


def matrix_of(transform: Mapping[str, Any]) -> NDArray[np.floating]:
    """Return the homogeneous matrix from a layer's pixels to the world, in the layer's units."""
    matrix: NDArray[np.floating] = transform["affine"] @ _before_affine(transform)
    return matrix


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a plane of a layer lies, so that results lie on it and nowhere else.

    A plane of a stack becomes a layer with as many dimensions as the stack, of length 1 along
    all but two: napari shows it at that plane only, under any transform.

    Attributes
    ----------
    shape
        Of a layer with the plane's pixels.
    axes
        That layer's axes of rows and of columns.
    options
        Keyword arguments of the layer, as `transform_of` returns them.
    """

    shape: tuple[int, ...]
    axes: tuple[int, int]
    options: dict[str, Any]

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        y, x = self.axes
        return self.shape[y], self.shape[x]

    @property
    def pixel_size(self) -> tuple[tuple[float, float] | None, str | None]:
        """(Height, width) of a pixel and their unit; see `napari_graysam._napari.canvas.units`."""
        units = self.options.get("units")
        if units is None:
            return None, None
        scale = self.options["scale"]
        return pixel_size([scale[axis] for axis in self.axes], [units[axis] for axis in self.axes])

    @property
    def matrix(self) -> NDArray[np.floating]:
        """The homogeneous matrix from pixels of the layer to the world."""
        return matrix_of(self.options)

    def arrange(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return (H, W) pixels, or (H, W, 3) colours, in the shape of the layer."""
        ordered = plane if self.axes[0] < self.axes[1] else plane.swapaxes(0, 1)
        return ordered.reshape(self.shape + plane.shape[2:])

    def extract(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return the (H, W) pixels of a layer with this shape."""
        y, x = self.axes
        plane = data.reshape(self.shape[min(y, x)], self.shape[max(y, x)])
        return plane if y < x else plane.T

    def pixel_at(self, position: Sequence[float], units: Units = None) -> tuple[int, int] | None:
        """Return the pixel ``(x, y)`` at a position in the world; None outside of the image.

        Parameters
        ----------
        position
            In world units, of at least as many dimensions as the placement; leading ones are
            ignored, as napari does.
        units
            Of the world; None for the placement's own.
        """
        ndim = len(self.shape)
        world = np.append(np.asarray(position, float)[-ndim:] / self._factors(units), 1)
        pixel = np.rint(np.linalg.inv(self.matrix) @ world)[:-1].astype(int)
        if np.any(pixel < 0) or np.any(pixel >= self.shape):
            return None
        y, x = (int(pixel[axis]) for axis in self.axes)
        return x, y

    def world_at(self, x: float, y: float, units: Units = None) -> NDArray[np.floating]:
        """Return the position of a pixel's centre in the world; `units` as for `pixel_at`."""
        pixel = np.zeros(len(self.shape) + 1)
        pixel[-1] = 1
        pixel[list(self.axes)] = y, x
        world: NDArray[np.floating] = (self.matrix @ pixel)[:-1] * self._factors(units)
        return world

    def part(self, box: Box) -> Placement:
        """Return where the pixels inside a box ``(x0, y0, x1, y1)`` lie."""
        x0, y0, x1, y1 = box
        shape, offset = list(self.shape), [0] * len(self.shape)
        for axis, first, stop in zip(self.axes, (y0, x0), (y1, x1), strict=True):
            shape[axis], offset[axis] = stop - first, first
        return self.moved(offset, shape)

    def at_level(self, plane_shape: tuple[int, int]) -> Placement:
        """Return where the same plane lies at a coarser level of so many rows and columns.

        As napari shows levels: all of them begin and end at the edges of the same pixels.
        """
        shape, scale = list(self.shape), np.array(self.options["scale"], float)
        offset = [0.0] * len(self.shape)
        for axis, length in zip(self.axes, plane_shape, strict=True):
            factor = self.shape[axis] / length
            shape[axis], offset[axis] = length, (factor - 1) / 2
            scale[axis] *= factor
        moved = self.moved(offset, shape)
        return replace(moved, options={**moved.options, "scale": scale})

    def moved(self, offset: Sequence[float], shape: Sequence[int]) -> Placement:
        """Return the placement of a layer of another shape that starts at a pixel of this one."""
        translate = (_before_affine(self.options) @ [*offset, 1])[:-1]
        return replace(self, shape=tuple(shape), options={**self.options, "translate": translate})

    def apply_to(self, layer: Layer) -> None:
        """Move a layer here; attributes that are right already are not set again."""
        for name, value in self.options.items():
            if not _same(getattr(layer, name), value):
                setattr(layer, name, value)

    def _factors(self, units: Units) -> NDArray[np.floating]:
        own = self.options.get("units")
        return np.ones(len(self.shape)) if own is None else factors(own, units)


def center_on(
    viewer: Viewer, placement: Placement, box: Box, *, share: float | None = None
) -> None:
    """Centre the camera on a box of the image, at the plane where it lies.

    Parameters
    ----------
    viewer
        Its camera and its sliders are moved.
    placement
        Of the image.
    box
        ``(x0, y0, x1, y1)`` in pixels of the image.
    share
        Of the canvas, which the box then fills; None keeps the zoom.
    """
    x0, y0, x1, y1 = box
    x, y, units = (x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2, viewer.layers.units
    world = placement.world_at(x, y, units)
    first = viewer.dims.ndim - len(world)
    for axis, value in enumerate(world, start=first):
        if axis not in viewer.dims.displayed:
            viewer.dims.set_point(axis, value)
    displayed = [axis - first for axis in viewer.dims.displayed if axis >= first]
    viewer.scene.camera.center = tuple(world[displayed])
    if share is None:
        return
    width, height = (max(SMALLEST, length) / 2 for length in (x1 - x0, y1 - y0))
    corners = [
        placement.world_at(x + right * width, y + down * height, units)
        for right in (-1, 1)
        for down in (-1, 1)
    ]
    size = np.ptp(corners, axis=0)[displayed][-2:]
    room = np.asarray(viewer.canvas.viewbox_size(viewer.layers), float)
    viewer.scene.camera.zoom = float(np.min(room / size) * share)


def _before_affine(transform: Mapping[str, Any]) -> NDArray[np.floating]:
    from napari.utils.transforms import CompositeAffine

    names = ("scale", "translate", "rotate", "shear")
    matrix: NDArray[np.floating] = CompositeAffine(
        **{name: transform[name] for name in names}
    ).affine_matrix
    return matrix


def _same(one: Any, other: Any) -> bool:
    """Whether two values of an attribute of a layer are the same."""
    if isinstance(one, tuple):
        return one == tuple(other)
    return np.array_equal(getattr(one, "affine_matrix", one), other)
