"""The region of a recipe as pixels: polygons filled, or a file read; and backwards."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.files.geojson import read_geojson
from napari_graysam.files.outlines import outlines
from napari_graysam.files.polygons import fill
from napari_graysam.masks.mask import Mask
from napari_graysam.recipe.image import Polygon, Polygons, Region
from napari_graysam.source.reading import read_image

GEOJSON = (".geojson", ".json")


def region_mask(region: Region, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of an image that a region holds.

    Parameters
    ----------
    region
        ``recipe.image.region``: polygons with corners (x, y) in pixels, (0, 0) the upper left
        corner of the image, a pixel inside where its centre is; or the path of an image that is
        not 0 inside, or of GeoJSON.
    shape
        (H, W) of the image.

    Returns
    -------
    bool (H, W)

    Raises
    ------
    ImageError
        If a file cannot be read or is of another size, or no pixel of the image is inside.

    Examples
    --------
    >>> region_mask((((1, 0), (3, 0), (3, 2), (1, 2)),), (2, 4)).astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0]])

    See Also
    --------
    region_of : Polygons of a mask.
    napari_graysam.propose.propose : Sets points there only.
    """
    if isinstance(region, str):
        mask = _of_file(Path(region).expanduser(), shape)
    else:
        filled = fill([[np.array(polygon)] for polygon in region], shape)
        mask = _painted([] if filled is None else [filled], shape)
    if not mask.any():
        raise nothing_inside(region, shape)
    return mask


def nothing_inside(region: Region, shape: tuple[int, int]) -> ImageError:
    """Return the error of a region that holds no pixel of an image of a shape (H, W)."""
    where = f"{region} marks" if isinstance(region, str) else "image.region holds"
    return ImageError(
        f"{where} no pixel of the image of {shape[0]} × {shape[1]} pixels: mark at least one, "
        "or set image.region=null to set points everywhere."
    )


def region_window(
    region: Region, shape: tuple[int, int], window: tuple[slice, slice]
) -> NDArray[np.bool_]:
    """Return the pixels of some rows and columns that a region holds; it may hold none of them.

    Parameters
    ----------
    region
        As for `region_mask`. An image file is read only there where its format allows it.
    shape
        (H, W) of the whole image.
    window
        Rows and columns.

    Examples
    --------
    >>> square = ((1, 0), (3, 0), (3, 2), (1, 2))
    >>> region_window((square,), (2, 4), (slice(1, 2), slice(2, 4))).tolist()
    [[True, False]]
    """
    rows, columns = window
    size = (rows.stop - rows.start, columns.stop - columns.start)
    if isinstance(region, str) and Path(region).suffix.lower() not in GEOJSON:
        from napari_graysam.source.pyramid import open_pyramid

        plane = open_pyramid(Path(region).expanduser()).plane()
        if plane.shape != shape:
            raise _other_size(region, plane.shape, shape)
        return np.asarray(plane[rows, columns] != 0)
    if isinstance(region, str):
        masks = read_geojson(Path(region).expanduser(), shape).masks
    else:
        corner = np.array([columns.start, rows.start])
        filled = fill([[np.array(polygon) - corner] for polygon in region], size)
        return _painted([] if filled is None else [filled], size)
    inside = np.zeros(size, bool)
    for mask in masks:
        x0, y0, x1, y1 = mask.box
        top, bottom = max(y0, rows.start), min(y1, rows.stop)
        left, right = max(x0, columns.start), min(x1, columns.stop)
        if top < bottom and left < right:
            part = mask.bits[top - y0 : bottom - y0, left - x0 : right - x0]
            inside[top - rows.start : bottom - rows.start,
                   left - columns.start : right - columns.start] |= part  # fmt: skip
    return inside


def region_of(mask: NDArray[np.bool_]) -> Polygons:
    """Return polygons that hold exactly the pixels of a mask: `region_mask`, backwards.

    Parameters
    ----------
    mask
        bool (H, W) with a True pixel.

    Returns
    -------
    tuple
        For each connected piece, the corners (x, y) along the edges of its pixels. The way to a
        hole and back runs along the axes, where it encloses nothing.

    Examples
    --------
    >>> region_of(np.array([[False, True, True]]))
    (((3.0, 1.0), (1.0, 1.0), (1.0, 0.0), (3.0, 0.0)),)
    """
    return tuple(_joined([ring.tolist() for ring in rings]) for rings in outlines(mask))


def _joined(rings: list[list[list[int]]]) -> Polygon:
    """Make one ring of an outer one and its holes."""
    outer, *holes = rings
    start = outer[0]
    corners = [*outer]
    for hole in holes:
        between = [hole[0][0], start[1]]
        corners += [start, between, *hole, hole[0], between]
    if holes:
        corners.append(start)
    return tuple((float(x), float(y)) for x, y in corners)


def _of_file(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    if path.suffix.lower() in GEOJSON:
        return _painted(read_geojson(path, shape).masks, shape)
    mask: NDArray[np.bool_] = read_image(path).raw != 0
    if mask.shape != shape:
        raise _other_size(os.fspath(path), (mask.shape[0], mask.shape[1]), shape)
    return mask


def _other_size(path: str, found: tuple[int, int], shape: tuple[int, int]) -> ImageError:
    return ImageError(
        f"The region {path} has {found[0]} × {found[1]} pixels, the image "
        f"{shape[0]} × {shape[1]}: give a mask of the same height and width."
    )


def _painted(masks: list[Mask] | tuple[Mask, ...], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Unite masks in an image; what lies outside of it is left out."""
    inside = np.zeros(shape, bool)
    for mask in masks:
        x0, y0, x1, y1 = mask.box
        part = inside[y0:y1, x0:x1]
        part |= mask.bits[: part.shape[0], : part.shape[1]]
    return inside
