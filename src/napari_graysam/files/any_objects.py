"""Files of objects of every kind: COCO, GeoJSON, ImageJ ROIs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from napari_graysam.files.coco_reader import read_coco_objects
from napari_graysam.files.geojson import read_geojson
from napari_graysam.files.objects import Objects
from napari_graysam.files.rois import read_rois

Kind = Literal["coco", "geojson", "rois"]
HEAD = 2**16
"""Characters of a JSON file that tell what it is."""


def kind_of(path: str | os.PathLike[str]) -> Kind | None:
    """Return what kind of objects a file holds, by its name, and of JSON by its beginning.

    Examples
    --------
    >>> kind_of("cells.geojson"), kind_of("cells.tif")
    ('geojson', None)
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        try:
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                return json_kind(file.read(HEAD))
        except OSError:
            return None
    return {".geojson": "geojson", ".zip": "rois"}.get(suffix)  # type: ignore[return-value]


def json_kind(head: str) -> Kind | None:
    """Return what kind of objects a JSON text that begins so holds."""
    if '"images"' in head and '"file_name"' in head:
        return "coco"
    if '"annotations"' in head and '"segmentation"' in head:
        return "coco"
    return "geojson" if '"Feature' in head else None


def read_objects(
    path: str | os.PathLike[str],
    shape: tuple[int, int] | None = None,
    *,
    image: str | None = None,
) -> Objects:
    """Read objects from COCO JSON, GeoJSON or a ZIP file of ImageJ ROIs.

    Parameters
    ----------
    path
        The file.
    shape
        (H, W) of the image, where the file does not say it.
    image
        Name of the image, for COCO files of several.

    Raises
    ------
    LabelsError
        The file is missing or damaged, or holds no objects of that kind.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.files import write_geojson
    >>> from napari_graysam.masks import Mask
    >>> write_geojson("cells.geojson", [Mask(np.ones((2, 3), bool), (1, 0, 4, 2))], (8, 8))
    >>> read_objects("cells.geojson").labels
    (1,)
    """
    kind = kind_of(path)
    if kind == "rois":
        return read_rois(path, shape)
    if kind == "geojson":
        return read_geojson(path, shape)
    return read_coco_objects(path, shape, image=image)
