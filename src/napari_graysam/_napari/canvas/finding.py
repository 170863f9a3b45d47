"""Which part of an image: what the canvas shows of it, or what a region covers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_graysam._napari.canvas.part import Part, levels_of, plane_shape
from napari_graysam._napari.canvas.placement import Placement, matrix_of, transform_of
from napari_graysam._napari.canvas.region import read_region, to_image
from napari_graysam.errors import ImageError

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_graysam._napari.canvas.source import Source

MOST_LABELS = 2**28
"""Pixels of a Labels layer that is looked through for where it has labels."""


def shown_level(layer: Layer) -> int:
    """Return the level that napari shows."""
    return int(layer.data_level) if layer.multiscale else 0


def visible_part(viewer: Viewer, layer: Layer, axes: tuple[int, int], level: int) -> Part:
    """Return what of a layer the canvas shows, at any of its levels.

    Parameters
    ----------
    viewer
        Its camera is asked: what napari has drawn of a layer may be more than is in view.
    layer, axes
        An image, and its axes of rows and of columns.
    level
        Whose pixels are meant.

    Raises
    ------
    ImageError
        The canvas shows nothing of it, or there is no such level.
    """
    fine, target = plane_shape(layer, axes), plane_shape(layer, axes, level)
    camera, displayed = viewer.scene.camera, list(viewer.dims.displayed[-2:])
    room = np.asarray(viewer.canvas.viewbox_size(viewer.layers), float)
    corners = []
    for side in itertools.product((-0.5, 0.5), repeat=2):
        world = np.array(viewer.dims.point, float)
        world[displayed] = np.asarray(camera.center)[-2:] + side * room / camera.zoom
        corners.append(np.asarray(layer.world_to_data(world), float)[list(axes)] + 0.5)
    factors = np.divide(fine, target)
    first = np.floor(np.clip(np.min(corners, axis=0), 0, fine) / factors).astype(int)
    last = np.ceil(np.clip(np.max(corners, axis=0), 0, fine) / factors).astype(int)
    if np.any(last <= first):
        raise ImageError(f"Nothing of “{layer.name}” is in view: move or zoom until it is.")
    (y0, x0), (y1, x1) = first.tolist(), np.minimum(last, target).tolist()
    return Part(level, (x0, y0, x1, y1))


def region_part(region: Layer, source: Source, layer: Layer, level: int, margin: int) -> Part:
    """Return the rectangle around what a Shapes or Labels layer covers of a plane.

    Parameters
    ----------
    region
        The layer.
    source, layer
        The plane and its image layer.
    level
        Whose pixels are meant.
    margin
        Pixels around it, so that objects at its edge are seen whole.

    Raises
    ------
    ImageError
        It covers nothing, or is too large to be looked through.
    """
    shape = plane_shape(layer, source.placement.axes, level)
    place = source.placement.at_level(shape)
    area = read_region(region, replace(source, placement=place))
    assert area is not None
    if area.shapes is not None:
        corners = np.array([corner for one in area.shapes for corner in one]).reshape(-1, 2)
    else:
        corners = _label_corners(region, place)
    if len(corners):
        x0, y0 = np.clip(np.floor(corners.min(axis=0)), 0, shape[::-1]).astype(int).tolist()
        x1, y1 = np.clip(np.ceil(corners.max(axis=0)), 0, shape[::-1]).astype(int).tolist()
        if x0 < x1 and y0 < y1:
            return Part(level, (x0, y0, x1, y1)).grown(margin, shape)
    raise ImageError(area.problem)


def _label_corners(region: Layer, place: Placement) -> np.ndarray[Any, Any]:
    """Return ``(x, y)`` in pixels from the corner, around all labels of a layer."""
    check_small(region)
    data = levels_of(region)[0]
    found = np.nonzero(np.asarray(data))
    if not len(found[0]):
        return np.zeros((0, 2))
    low, high = [one.min() - 0.5 for one in found], [one.max() + 0.5 for one in found]
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), -1)
    corners = corners.reshape(-1, len(found))
    pixels = to_image(matrix_of(transform_of(region)), place, corners)
    return pixels[:, place.axes[::-1]] + 0.5


def check_small(region: Layer) -> None:
    """Refuse a Labels layer that does not fit into memory as a region.

    Raises
    ------
    ImageError
        The message says what to do.
    """
    if np.prod(levels_of(region)[0].shape, dtype=float) > MOST_LABELS:
        raise ImageError(
            f"“{region.name}” is too large to be looked through for its labels: draw the region "
            "as a rectangle or polygon in a Shapes layer."
        )
