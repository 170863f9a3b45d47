"""File ▸ Open: labels and objects as Labels layers, recipes into the panel, and large images."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.layers import KEY
from napari_graysam._napari.canvas.placement import transform_of
from napari_graysam._napari.io.label_files import LABEL_ENDINGS, open_label_file
from napari_graysam._napari.io.placing import open_image, shape_of
from napari_graysam._napari.io.pyramids import SLIDES, open_large
from napari_graysam.errors import GraysamError
from napari_graysam.files.any_objects import json_kind
from napari_graysam.limits import read_json, reading
from napari_graysam.source.kinds import is_zarr
from napari_graysam.source.reading import TIFF_STARTS

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_graysam.files.objects import Objects

PANEL = "Segment everything (SAM 2)"
HEAD = 2**16
"""Characters of a file that are looked at to tell what it is."""
LARGEST_RECIPE = 2**24

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str], list[LayerData] | list[tuple[None]]]
NOTHING: list[tuple[None]] = [(None,)]
"""What napari takes for “read, but no layer”."""


def get_reader(path: str | list[str]) -> Reader | None:
    """Choose a reader for a file of ours, of QuPath or of ImageJ, a Zarr store or a slide.

    Only the beginning of the file is read for that; of any other there is None.

    Parameters
    ----------
    path
        A file; of several at once, to be stacked, none is read.
    """
    if isinstance(path, list):
        return None
    suffix = Path(path).suffix.lower()
    if os.path.isdir(path):
        return open_large if is_zarr(path) else None
    try:
        if suffix in SLIDES:
            with open(path, "rb") as binary:
                return open_large if binary.read(4) in TIFF_STARTS else None
        if path.lower().endswith(LABEL_ENDINGS):
            with open(path, "rb") as binary:
                return open_label_file if binary.read(4) in TIFF_STARTS else None
        if suffix == ".zip":
            return _open_rois if _holds_rois(path) else None
        with open(path, encoding="utf-8-sig") as file:
            head = file.read(HEAD)
        if suffix in (".yaml", ".yml"):
            return _open_recipe if _is_yaml_recipe(head) else None
        if suffix in (".geojson", ".json"):
            return _json_reader(path, head, suffix)
    except (OSError, ValueError):
        return None
    return None


def _json_reader(path: str, head: str, suffix: str) -> Reader | None:
    if json_kind(head) == "coco":
        return _open_coco
    if '"Feature' in head and (suffix == ".geojson" or '"objectType"' in head or KEY in head):
        return _open_geojson
    small = Path(path).stat().st_size <= LARGEST_RECIPE
    if '"schema_version"' in head and small:
        content = read_json(path)
        return _open_recipe if isinstance(content, dict) and _has_keys(content) else None
    return None


def _is_yaml_recipe(head: str) -> bool:
    return _has_keys(re.findall(r"^([A-Za-z_]\w*)\s*:", head, re.MULTILINE))


def _has_keys(keys: Any) -> bool:
    """Whether a document with these keys is a recipe, perhaps of a newer version."""
    from napari_graysam.recipe import Recipe

    others = set(keys) - {"schema_version"}
    return "schema_version" in keys and (not others or bool(others & set(Recipe.model_fields)))


def _holds_rois(path: str) -> bool:
    with reading(path, "a ZIP file"), zipfile.ZipFile(path) as archive:
        return KEY.encode() in archive.comment or any(
            name.endswith(".roi") for name in archive.namelist()
        )


def _open_coco(path: str) -> list[LayerData] | list[tuple[None]]:
    from napari_graysam.files.coco_reader import read_coco_objects

    image = open_image()
    name = None if image is None else image.name
    return _opened(path, lambda shape: read_coco_objects(path, shape, image=name))


def _open_geojson(path: str) -> list[LayerData] | list[tuple[None]]:
    from napari_graysam.files import read_geojson

    return _opened(path, lambda shape: read_geojson(path, shape))


def _open_rois(path: str) -> list[LayerData] | list[tuple[None]]:
    from napari_graysam.files import read_rois

    return _opened(path, lambda shape: read_rois(path, shape))


def _opened(
    path: str, read: Callable[[tuple[int, int] | None], Objects]
) -> list[LayerData] | list[tuple[None]]:
    """Read objects as a Labels layer, lying on the open image that they fit; report problems."""
    from napari.utils.notifications import show_info, show_warning

    image = open_image()
    try:
        objects = read(None if image is None else shape_of(image))
        layer = _layer(path, objects)
    except GraysamError as error:
        show_warning(str(error))
        return NOTHING
    notes = list(objects.notes)
    if image is not None and shape_of(image) == objects.shape:
        layer[1].update(transform_of(image))
        notes.append(f"Placed on the image “{image.name}”, which has the same size.")
    if notes:
        show_info(f"{Path(path).name}: {' '.join(notes)}")
    return [layer]


def _layer(path: str, objects: Objects) -> LayerData:
    import pandas as pd

    from napari_graysam.files.objects import paint_objects

    rows = [
        {
            "index": label,
            "area": mask.area,
            **numbers,
        }
        for label, mask, numbers in zip(
            objects.labels, objects.masks, objects.measurements, strict=True
        )
    ]
    about: dict[str, Any] = {"file": Path(path).name}
    if objects.recipe is not None:
        about["recipe"] = objects.recipe
    attributes = {
        "name": Path(path).name.partition(".")[0],
        "features": pd.DataFrame(rows) if rows else pd.DataFrame({"index": []}, dtype="int64"),
        "metadata": {KEY: about},
    }
    return paint_objects(objects), attributes, "labels"


def _open_recipe(path: str) -> list[tuple[None]]:
    """Give a recipe to the panel, which opens where it is not."""
    import napari
    from napari.utils.notifications import show_info, show_warning

    from napari_graysam.recipe import Recipe

    try:
        recipe = Recipe.from_file(path)
    except GraysamError as error:
        show_warning(str(error))
        return NOTHING
    viewer: Viewer | None = napari.current_viewer()
    if viewer is None:
        show_warning(f"{path}: a recipe is opened in the panel of an open napari window.")
        return NOTHING
    dock, panel = viewer.window.add_plugin_dock_widget(KEY, PANEL)
    dock.show()
    panel.state.recipe = recipe
    title = f"“{recipe.name}”" if recipe.name else Path(path).name
    show_info(f"The recipe {title} is now in the panel.")
    return NOTHING
