"""From a place in the world to a pixel of the segmented image, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.source import Placement
from napari_graysam._napari.canvas.units import factors

if TYPE_CHECKING:
    import pint
    from napari.viewer import Viewer

Box = tuple[int, int, int, int]
Units = Sequence["pint.Unit"] | None


def pixel_at(
    placement: Placement, position: Sequence[float], units: Units = None
) -> tuple[int, int] | None:
    """Return the pixel ``(x, y)`` under a place in the world; None outside of the image.

    Parameters
    ----------
    placement
        Where the image lies.
    position
        In world units, of at least as many dimensions as the placement; leading ones are
        ignored, as napari does.
    units
        Of the world; None for the placement's own.
    """
    ndim = len(placement.shape)
    world = np.append(np.asarray(position, float)[-ndim:] / _factors(placement, units), 1)
    pixel = np.rint(np.linalg.inv(_matrix(placement)) @ world)[:-1].astype(int)
    if np.any(pixel < 0) or np.any(pixel >= placement.shape):
        return None
    y, x = (int(pixel[axis]) for axis in placement.axes)
    return x, y


def world_at(placement: Placement, x: float, y: float, units: Units = None) -> NDArray[np.floating]:
    """Return the place of a pixel's centre in the world, whose units are as for `pixel_at`."""
    pixel = np.zeros(len(placement.shape) + 1)
    pixel[-1] = 1
    pixel[list(placement.axes)] = y, x
    world: NDArray[np.floating] = (_matrix(placement) @ pixel)[:-1] * _factors(placement, units)
    return world


def part(placement: Placement, box: Box) -> Placement:
    """Return where the pixels inside a box ``(x0, y0, x1, y1)`` lie."""
    x0, y0, x1, y1 = box
    shape, offset = list(placement.shape), np.zeros(len(placement.shape))
    for axis, first, stop in zip(placement.axes, (y0, x0), (y1, x1), strict=True):
        shape[axis], offset[axis] = stop - first, first
    moved = _physical(placement) @ np.append(offset, 1)
    options = {**placement.options, "translate": moved[:-1]}
    return replace(placement, shape=tuple(shape), options=options)


def look_at(viewer: Viewer, placement: Placement, box: Box) -> None:
    """Centre the camera on a box of the image, at the plane where it lies; the zoom stays."""
    x0, y0, x1, y1 = box
    world = world_at(placement, (x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2, viewer.layers.units)
    first = viewer.dims.ndim - len(world)
    for axis, value in enumerate(world, start=first):
        if axis not in viewer.dims.displayed:
            viewer.dims.set_point(axis, value)
    shown = [world[axis - first] for axis in viewer.dims.displayed if axis >= first]
    viewer.scene.camera.center = tuple(shown)


def _factors(placement: Placement, units: Units) -> NDArray[np.floating]:
    own = placement.options.get("units")
    return np.ones(len(placement.shape)) if own is None else factors(own, units)


def _physical(placement: Placement) -> NDArray[np.floating]:
    from napari.utils.transforms import CompositeAffine

    names = ("scale", "translate", "rotate", "shear")
    transform = CompositeAffine(**{name: placement.options[name] for name in names})
    matrix: NDArray[np.floating] = transform.affine_matrix
    return matrix


def _matrix(placement: Placement) -> NDArray[np.floating]:
    matrix: NDArray[np.floating] = placement.options["affine"] @ _physical(placement)
    return matrix
