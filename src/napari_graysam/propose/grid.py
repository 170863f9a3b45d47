"""Where the prompts are: overlapping crops of the image and the points in each of them.

Geometry of the automatic mask generator of "Segment Anything" (Kirillov et al. 2023,
appendix B): crop layer ``i`` has ``2**i`` crops a side, each with its own regular grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_graysam.errors import ImageError
from napari_graysam.recipe import GeneratorOptions


@dataclass(frozen=True)
class Crop:
    """One crop of the image and its prompts.

    Parameters
    ----------
    index
        Position among all crops of the image, empty ones included.
    box
        ``(x0, y0, x1, y1)`` in image pixels, half-open.
    points
        float64 (P, 2), ``(x, y)`` in pixels of the crop.
    place
        int (P, 2), row and column of each point in the crop's regular grid; None for points of
        the user's own.
    """

    index: int
    box: tuple[int, int, int, int]
    points: npt.NDArray[np.float64]
    place: npt.NDArray[np.intp] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        x0, y0, x1, y1 = self.box
        return y1 - y0, x1 - x0


def regular_grid(points_per_side: int) -> npt.NDArray[np.float64]:
    """Return the centres of a regular grid over the unit square.

    Parameters
    ----------
    points_per_side
        Number of points along each side.

    Returns
    -------
    float64 (points_per_side**2, 2), ``(x, y)``, row by row.
    """
    margin = 1 / (2 * points_per_side)
    along = np.linspace(margin, 1 - margin, points_per_side)
    x, y = np.meshgrid(along, along)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def layer_grids(options: GeneratorOptions) -> list[npt.NDArray[np.float64]]:
    """Return the grid of each crop layer, float64 (P, 2), ``(x, y)`` in [0, 1]."""
    if options.point_grids is not None:
        return [np.asarray(grid, np.float64) for grid in options.point_grids]
    assert options.points_per_side is not None
    factor = options.crop_n_points_downscale_factor
    return [
        regular_grid(int(options.points_per_side / factor**layer))
        for layer in range(options.crop_n_layers + 1)
    ]


def layer_boxes(
    image_size: tuple[int, int], layer: int, overlap_ratio: float
) -> list[tuple[int, int, int, int]]:
    """Return the crop boxes of one layer, column by column.

    Parameters
    ----------
    image_size
        ``(H, W)`` in pixels.
    layer
        0 for the whole image; layer ``i`` has ``2**i`` crops a side.
    overlap_ratio
        Overlap of the crops of layer 1, as a fraction of the image's shorter side; it
        halves with every further layer.
    """
    height, width = image_size
    if layer == 0:
        return [(0, 0, width, height)]
    side = 2**layer
    overlap = int(overlap_ratio * min(image_size) * (2 / side))
    crop_width = math.ceil((overlap * (side - 1) + width) / side)
    crop_height = math.ceil((overlap * (side - 1) + height) / side)
    return [
        (x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height))
        for x0 in (column * (crop_width - overlap) for column in range(side))
        for y0 in (row * (crop_height - overlap) for row in range(side))
    ]


def crops(
    image_size: tuple[int, int],
    options: GeneratorOptions,
    region: npt.NDArray[np.bool_] | None = None,
) -> list[Crop]:
    """Return the crops that hold at least one pixel and one point.

    Parameters
    ----------
    image_size
        ``(H, W)`` in pixels.
    options
        Grid and crop parameters.
    region
        bool (H, W); only points on its True pixels are kept.

    Raises
    ------
    ImageError
        If ``region`` is not a bool array of the image's size.
    """
    if region is not None and (region.shape != image_size or region.dtype != np.bool_):
        raise ImageError(
            f"the region to segment is {region.dtype} {region.shape}: expected a bool array "
            f"of the image's size {image_size}"
        )
    found: list[Crop] = []
    index = 0
    for layer, grid in enumerate(layer_grids(options)):
        for box in layer_boxes(image_size, layer, options.crop_overlap_ratio):
            x0, y0, x1, y1 = box
            # Images of a few pixels have crops without any.
            if x1 > x0 and y1 > y0:
                points = grid * np.array([x1 - x0, y1 - y0])
                chosen = np.arange(len(points))
                if region is not None:
                    chosen = np.flatnonzero(inside(points, region[y0:y1, x0:x1]))
                if len(chosen):
                    side = None if options.point_grids is not None else math.isqrt(len(grid))
                    place = None if side is None else np.stack(np.divmod(chosen, side), axis=1)
                    found.append(Crop(index, box, points[chosen], place))
            index += 1
    return found


def inside(points: npt.NDArray[np.float64], region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Tell which points lie on a True pixel of ``region``."""
    height, width = region.shape
    columns = np.clip(points[:, 0].astype(int), 0, width - 1)
    rows = np.clip(points[:, 1].astype(int), 0, height - 1)
    inside: npt.NDArray[np.bool_] = region[rows, columns]
    return inside
