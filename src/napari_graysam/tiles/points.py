"""Where the model is asked in a tile: on one lattice over the whole image."""

from __future__ import annotations

import json
import math

import numpy as np
from numpy.typing import NDArray

from napari_graysam.propose.grid import Crop, crops, inside, layer_boxes
from napari_graysam.propose.points import AdaptiveGrid, FullGrid
from napari_graysam.recipe import GeneratorOptions
from napari_graysam.tiles.grid import Tile


class _Lattice:
    """Points in the core of a tile, so that each of the image is asked once.

    They have the distance that ``points_per_side`` gives them in a square of ``size`` pixels, and
    lie at the same places of the image whatever the tiles are.

    Parameters
    ----------
    tile
        The tile; the crops are those of its window.
    size
        Side of a tile.
    """

    name: str

    def __init__(self, tile: Tile, size: int) -> None:
        self.tile, self.size = tile, size
        (rows, columns), core = tile.window, tile.core
        # Where the image ends does not count: what the tile sees of it is in the view.
        sides = [(one.start, one.stop) for one in (rows, columns, *core)]
        self.place: str | None = json.dumps([self.name, size, sides])

    def crops(
        self,
        image_size: tuple[int, int],
        options: GeneratorOptions,
        region: NDArray[np.bool_] | None,
    ) -> list[Crop]:
        """Return the crops of the window with the points that lie in the core and the region."""
        allowed = self.tile.core_mask() if region is None else region & self.tile.core_mask()
        if options.point_grids is not None:
            return crops(image_size, options, allowed)
        assert options.points_per_side is not None
        found: list[Crop] = []
        index = 0
        for layer in range(options.crop_n_layers + 1):
            along = int(options.points_per_side / options.crop_n_points_downscale_factor**layer)
            step = self.size / 2**layer / max(1, along)
            for box in layer_boxes(image_size, layer, options.crop_overlap_ratio):
                crop = self._crop(index, box, step, allowed)
                if crop is not None:
                    found.append(crop)
                index += 1
        return found

    def _crop(
        self, index: int, box: tuple[int, int, int, int], step: float, allowed: NDArray[np.bool_]
    ) -> Crop | None:
        x0, y0, x1, y1 = box
        if x1 <= x0 or y1 <= y0:
            return None
        top, left = self.tile.origin
        rows, columns = _along(top + y0, top + y1, step), _along(left + x0, left + x1, step)
        row, column = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
        points = np.stack([(column + 0.5) * step - left - x0, (row + 0.5) * step - top - y0], 1)
        chosen = np.flatnonzero(inside(points, allowed[y0:y1, x0:x1])) if len(points) else row
        if not len(chosen):
            return None
        place = np.stack([row, column], axis=1)[chosen]
        return Crop(index, box, points[chosen], place - place.min(axis=0))


def _along(start: int, stop: int, step: float) -> NDArray[np.intp]:
    """Return the numbers of the lattice's points from one pixel to another."""
    return np.arange(math.ceil(start / step - 0.5), math.ceil(stop / step - 0.5), dtype=np.intp)


class LatticePoints(_Lattice, FullGrid):
    """All points of the lattice."""

    name = "lattice"


class AdaptiveLattice(_Lattice, AdaptiveGrid):
    """Those points of the lattice that are expected to be answered with new masks."""

    name = "adaptive lattice"


def points_of(tile: Tile, size: int, options: GeneratorOptions) -> LatticePoints | AdaptiveLattice:
    """Return where a tile is asked."""
    return (AdaptiveLattice if options.grid == "adaptive" else LatticePoints)(tile, size)


def count_points(grid_shape: tuple[int, int], size: int, options: GeneratorOptions) -> int:
    """Return about how many points are asked in an image of a shape (H, W), without its region."""
    if options.point_grids is not None:
        per_area = sum(len(grid) for grid in options.point_grids) / size**2
    else:
        assert options.points_per_side is not None
        along = [
            2**layer * int(options.points_per_side / options.crop_n_points_downscale_factor**layer)
            for layer in range(options.crop_n_layers + 1)
        ]
        per_area = sum(n**2 for n in along) / size**2
    return round(per_area * grid_shape[0] * grid_shape[1])
