"""Files of an image that was segmented in tiles, written one tile after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.files.coco import stream_coco
from napari_graysam.files.geojson import stream_geojson
from napari_graysam.files.overlay import LARGEST, write_overlay
from napari_graysam.files.rois import LARGEST_SIDE, write_rois
from napari_graysam.masks import Mask
from napari_graysam.outputs.kinds import ENDINGS as OF_IMAGES
from napari_graysam.outputs.kinds import Kind
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.tiles.folder import FINAL, TileFolder
from napari_graysam.tiles.grid import Tile, TileGrid
from napari_graysam.tiles.image import LargeImage
from napari_graysam.tiles.measure import pixel_size_of, tile_table
from napari_graysam.tiles.number import Numbered

if TYPE_CHECKING:
    import pandas as pd

FILES: tuple[Kind, ...] = ("objects", "coco", "geojson", "rois", "overlay")
"""Kinds that can be chosen besides the labels, which are always OME-Zarr."""
MOST_ROIS = 20_000
"""Objects of which a ROI file is written."""
ENDINGS: dict[str, str] = {
    **{str(kind): OF_IMAGES[kind] for kind in FILES},
    "labels": OF_IMAGES["zarr"],
    "seams": "seams.json",
    "seam_picture": "seams.png",
    "provenance": OF_IMAGES["provenance"],
    "recipe": OF_IMAGES["recipe"],
}


@dataclass(frozen=True, eq=False)
class Objects:
    """All objects of an image, of which those of one tile are in memory at a time.

    Attributes
    ----------
    folder, grid, image
        Where they are kept, the tiles, and the image.
    numbered
        Their labels.
    visible
        int64 (M,), pixels that are seen of each.
    """

    folder: TileFolder
    grid: TileGrid
    image: LargeImage
    numbered: Numbered
    visible: NDArray[np.int64]

    def tables(self) -> Iterator[tuple[Tile, pd.DataFrame]]:
        """Yield the rows of every tile."""
        size = pixel_size_of(self.image)
        for number, tile in enumerate(self.grid):
            here = self.numbered.of_tile(number)
            numbers = (self.numbered.labels[here], self.numbered.parents[here], self.visible[here])
            yield tile, tile_table(self.folder, tile, *numbers, size)

    def masks(self) -> Iterator[tuple[pd.DataFrame, list[Mask]]]:
        """Yield the rows and the masks of every tile that has objects."""
        for number, (tile, table) in enumerate(self.tables()):
            if len(table) == 0:
                continue
            labels = self.numbered.labels[self.numbered.of_tile(number)]
            pieces = self.folder.load(tile, FINAL)
            masks = [
                pieces.mask(place).marked(depth=int(depth))
                for place, depth in zip(
                    np.flatnonzero(labels).tolist(), table["depth"].tolist(), strict=True
                )
            ]
            yield table, masks


def write_objects(
    objects: Objects, recipe: Recipe, kinds: tuple[Kind, ...], paths: dict[str, Path], name: str
) -> Generator[Progress, None, None]:
    """Write the files of objects that are wanted, each whole or not at all.

    Parameters
    ----------
    objects
        All objects.
    recipe
        Kept in the files.
    kinds
        ``objects`` (CSV), ``coco``, ``geojson`` and ``rois`` (see `no_rois`) count.
    paths
        Of the files, by kind.
    name
        Of the image.
    """
    shape, plain = objects.grid.shape, recipe.to_dict()
    wanted = [kind for kind in ("objects", "coco", "geojson", "rois") if kind in kinds]
    for number, kind in enumerate(wanted):
        yield Progress("write", number, len(wanted))
        if kind == "objects":
            _write_table(objects, paths[kind])
        elif kind == "coco":
            rows = (
                (int(label), mask, int(parent))
                for table, masks in objects.masks()
                for label, parent, mask in zip(
                    table["index"].tolist(), table["parent"].tolist(), masks, strict=True
                )
            )
            stream_coco(paths[kind], rows, name, shape, plain)
        elif kind == "rois":
            _write_rois(objects, paths[kind], plain, name)
        else:
            some = ((table["index"].tolist(), masks, table) for table, masks in objects.masks())
            stream_geojson(paths[kind], some, shape, plain, image_name=name)


def no_rois(objects: int, shape: tuple[int, int]) -> str:
    """Say why no ROI file of ImageJ is written; an empty text where one is.

    Parameters
    ----------
    objects
        How many there are.
    shape
        Rows and columns of the image.

    Examples
    --------
    >>> no_rois(500, (9000, 9000)), no_rois(10**6, (9000, 9000))[:30]
    ('', 'no ROI file: 1,000,000 objects')
    """
    if max(shape) > LARGEST_SIDE:
        return f"no ROI file: ImageJ's format ends at {LARGEST_SIDE:,} pixels; GeoJSON has no end"
    if objects > MOST_ROIS:
        return (
            f"no ROI file: {objects:,} objects are more than the {MOST_ROIS:,} that ImageJ's ROI "
            "Manager is good for; GeoJSON takes all"
        )
    return ""


def _write_rois(objects: Objects, path: Path, plain: dict[str, Any], name: str) -> None:
    import pandas as pd

    parts = list(objects.masks())
    masks = [mask for _, some in parts for mask in some]
    table = pd.concat([table for table, _ in parts], ignore_index=True) if parts else None
    labels = [] if table is None else table["index"].tolist()
    shape = objects.grid.shape
    write_rois(path, masks, shape, plain, labels=labels, table=table, image_name=name)


def _write_table(objects: Objects, path: Path) -> None:
    size = pixel_size_of(objects.image)
    with atomic_path(path) as temporary:
        for number, (_, table) in enumerate(objects.tables()):
            if size is not None:
                table = table.assign(pixel_height_um=size[0], pixel_width_um=size[1])
            table.to_csv(
                temporary,
                index=False,
                encoding="utf-8",
                lineterminator="\n",
                header=number == 0,
                mode="a",
            )


def write_small_overlay(path: Path, image: LargeImage, labels: Any) -> None:
    """Write a picture of the whole image and its objects, reduced by a whole number."""
    step = -(-max(image.shape) // LARGEST)
    rows, columns = (slice(0, length, step) for length in image.shape)
    gray = np.round(image.pixels((rows, columns)) * 255).astype(np.uint8)
    view = np.repeat(gray[..., np.newaxis], 3, axis=2)
    write_overlay(path, view, np.asarray(labels[rows, columns]))
