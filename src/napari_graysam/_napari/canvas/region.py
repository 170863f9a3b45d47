"""A Shapes or Labels layer that limits the points, in the pixels of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.layers import kind_of, pixels_of
from napari_graysam._napari.canvas.placement import matrix_of, transform_of
from napari_graysam.errors import ImageError

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam._napari.canvas.source import Source

Mask = NDArray[np.bool_]
Polygon = tuple[tuple[float, float], ...]
Polygons = tuple[Polygon, ...]
_AREAS = ("rectangle", "ellipse", "polygon")


@dataclass(frozen=True, eq=False)
class LayerRegion:
    """The pixels of the image that a layer covers; it holds no layer.

    Attributes
    ----------
    problem
        What to say where it covers none.
    shapes
        Corners (x, y) of each area as ``recipe.image.region`` has them; None for Labels.
    draw
        Returns the pixels, bool (H, W).
    """

    problem: str
    shapes: Polygons | None
    draw: Callable[[], Mask]

    def mask(self) -> Mask:
        """Draw the pixels, bool (H, W); this belongs in a worker thread.

        Raises
        ------
        ImageError
            If there are none.
        """
        mask = self.draw()
        if not mask.any():
            raise ImageError(self.problem)
        return mask

    def polygons(self) -> Polygons:
        """Return polygons that hold the same pixels; this belongs in a worker thread.

        Raises
        ------
        ImageError
            If there are none.
        """
        from napari_graysam.files.region import region_of

        mask = self.mask()
        return region_of(mask) if self.shapes is None else self.shapes


def read_region(layer: Layer | None, source: Source) -> LayerRegion | None:
    """Read which pixels of the image a layer covers, wherever both lie in the world.

    Parameters
    ----------
    layer
        Shapes, of which rectangles, ellipses and polygons count, or Labels, of which every
        label counts. None limits nothing.
    source
        The image; of a layer with more dimensions only what lies at its plane counts.

    Raises
    ------
    ImageError
        If the layer is of another type.
    """
    from napari.layers import Labels, Shapes

    if layer is None:
        return None
    placement, matrix = source.placement, matrix_of(transform_of(layer))
    problem = (
        "“{}” limits the points, but no {} in it lies on “{}”: mark at least one pixel of the "
        "image, or choose no region."
    )
    if isinstance(layer, Shapes):
        areas = [
            _ellipse(vertices) if kind == "ellipse" else np.array(vertices, float)
            for vertices, kind in zip(layer.data, layer.shape_type, strict=True)
            if kind in _AREAS
        ]
        shapes = tuple(_on_plane(areas, matrix, placement))
        problem = problem.format(layer.name, "area drawn", source.layer_name)
        return LayerRegion(problem, shapes, partial(_filled, shapes, placement.plane_shape))
    if isinstance(layer, Labels):
        problem = problem.format(layer.name, "label painted", source.layer_name)
        draw = partial(of_labels, pixels_of(layer), matrix, placement)
        return LayerRegion(problem, None, draw)
    raise ImageError(
        f"“{layer.name}” is a {kind_of(layer)} layer and cannot limit the points: choose a "
        "Shapes or a Labels layer."
    )


def _on_plane(
    areas: list[NDArray[np.floating]], matrix: NDArray[np.floating], placement: Placement
) -> Iterator[Polygon]:
    """Yield the areas that lie at the image's plane, in pixels from its upper left corner."""
    for area in areas:
        pixels = to_image(matrix, placement, area)
        rest = np.delete(pixels, placement.axes, axis=1)
        if np.all(np.abs(rest) <= 0.5):
            corners = pixels[:, placement.axes[::-1]] + 0.5
            yield tuple((float(x), float(y)) for x, y in np.round(corners, 3))


def _filled(shapes: Polygons, size: tuple[int, int]) -> Mask:
    from napari_graysam.files.polygons import fill

    inside = np.zeros(size, bool)
    filled = fill([[np.array(shape)] for shape in shapes], size) if shapes else None
    if filled is not None:
        inside[filled.slices] = filled.bits
    return inside


def _ellipse(corners: NDArray[Any], points: int = 128) -> NDArray[np.floating]:
    """Return an outline of the ellipse that touches the middles of a box's sides."""
    centre = np.mean(corners, axis=0)
    one, other = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)[:, None]
    outline: NDArray[np.floating] = centre + np.cos(angle) * one + np.sin(angle) * other
    return outline


def of_labels(data: Any, matrix: NDArray[np.floating], placement: Placement) -> Mask:
    """Return where a layer has a label, bool (H, W)."""
    return labels_under(data, matrix, placement)[0] != 0


def labels_under(
    data: Any, matrix: NDArray[np.floating], placement: Placement
) -> tuple[NDArray[Any], Mask]:
    """Look up the label under the centre of every pixel of the image.

    Parameters
    ----------
    data, matrix
        Of the Labels layer: its pixels, and `matrix_of` its transform.
    placement
        Of the image.

    Returns
    -------
    tuple
        Labels (H, W), 0 beyond the layer, and bool (H, W), whether it reaches there.
    """
    ndim = data.ndim
    rows, columns = np.indices(placement.plane_shape, sparse=True)
    to_labels = np.linalg.inv(matrix) @ _fitted(placement.matrix, ndim)
    y, x = (axis - len(placement.shape) + ndim for axis in placement.axes)
    if min(y, x) < 0:
        return np.zeros(placement.plane_shape, data.dtype), np.zeros(placement.plane_shape, bool)
    at = [
        np.rint(to_labels[axis, y] * rows + to_labels[axis, x] * columns + to_labels[axis, -1])
        for axis in range(ndim)
    ]
    inside = np.logical_and.reduce(
        [(some >= 0) & (some < size) for some, size in zip(at, data.shape, strict=True)]
    )
    index = tuple(np.where(inside, some, 0).astype(np.intp) for some in at)
    return np.where(inside, _lookup(data, index), 0), inside


def _lookup(data: Any, index: tuple[NDArray[np.intp], ...]) -> NDArray[Any]:
    """Read pixels, loading no more planes of a lazy array than they lie in."""
    leading = [np.unique(some) for some in index[:-2]]
    if all(some.size == 1 for some in leading):
        plane = np.asarray(data[tuple(int(some[0]) for some in leading)])
        return plane[index[-2:]]
    return np.asarray(data)[index]


def _fitted(matrix: NDArray[np.floating], ndim: int) -> NDArray[np.floating]:
    """Add or drop leading dimensions, as napari lines up layers by their last ones."""
    more = ndim - (len(matrix) - 1)
    if more <= 0:
        return matrix[-more:, -more:]
    fitted = np.eye(ndim + 1)
    fitted[more:, more:] = matrix
    return fitted


def to_image(
    matrix: NDArray[np.floating], placement: Placement, vertices: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Move vertices to the image's pixels; those of fewer dimensions lie at every plane."""
    ndim = len(placement.shape)
    world = vertices @ matrix[:-1, :-1].T + matrix[:-1, -1]
    missing = max(0, ndim - world.shape[1])
    origin = placement.matrix[:missing, -1]
    world = np.hstack([np.broadcast_to(origin, (len(world), missing)), world[:, -ndim:]])
    inverse = np.linalg.inv(placement.matrix)
    pixels: NDArray[np.floating] = world @ inverse[:-1, :-1].T + inverse[:-1, -1]
    return pixels
