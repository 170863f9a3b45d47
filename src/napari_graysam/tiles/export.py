"""Results of an image in tiles, saved elsewhere: files are copied, or streamed from its tiles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from uuid import uuid4

from napari_graysam.atomic import atomic_path, writing
from napari_graysam.errors import OutputError
from napari_graysam.files.coco import stream_coco
from napari_graysam.files.geojson import stream_geojson
from napari_graysam.limits import reading
from napari_graysam.recipe import Recipe
from napari_graysam.tiles.kept import KeptObjects
from napari_graysam.tiles.write import ENDINGS

EXPORTS = ("labels", "objects", "coco", "geojson", "recipe", "provenance")
"""Kinds of results that can be saved elsewhere."""


def export_tiled(folder: Path, name: str, kind: str, path: Path) -> None:
    """Save one kind of the results of an image in tiles; no plane of it is in memory.

    Parameters
    ----------
    folder, name
        Where the results are, and how their names begin.
    kind
        One of `EXPORTS`. COCO and GeoJSON files that the run did not write are made of what its
        tiles keep.
    path
        Of the file, or of the store of the labels, which must not be there yet.

    Raises
    ------
    OutputError
        If it is not to be had, or cannot be written.
    """
    there = folder / f"{name}.{ENDINGS[kind]}"
    if path.resolve() == there.resolve() and there.exists():
        return
    if kind == "labels":
        _copy_store(there, path)
    elif there.exists():
        with atomic_path(path) as temporary:
            shutil.copyfile(there, temporary)
    elif kind in ("coco", "geojson"):
        _make(folder, name, kind, path)
    else:
        raise OutputError(f"{there} is not there: segment the image again to have it.")


def _copy_store(store: Path, path: Path) -> None:
    if not store.is_dir():
        raise OutputError(f"{store} is not there: segment the image again to have it.")
    if path.exists():
        raise OutputError(f"{path} is there already: choose another name, or remove it first.")
    if path.resolve().is_relative_to(store.resolve()):
        raise OutputError(f"{path} lies in the store that it is a copy of: choose another folder.")
    temporary = path.with_name(f".{path.name[:40]}-{uuid4().hex[:12]}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(store, temporary)
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make(folder: Path, name: str, kind: str, path: Path) -> None:
    """Write a file of masks that the run did not write."""
    kept = KeptObjects.of(folder / f"{name}.tiles")
    recipe = Recipe.from_file(folder / f"{name}.{ENDINGS['recipe']}").to_dict()
    told = folder / f"{name}.{ENDINGS['provenance']}"
    with reading(told, "the provenance of a result", OutputError):
        image = Path(json.loads(told.read_bytes())["image"].get("path") or name).name
    parts = kept.with_table(folder / f"{name}.{ENDINGS['objects']}")
    if kind == "geojson":
        stream_geojson(path, parts, kept.grid.shape, recipe, image_name=image)
        return
    rows = (
        (int(label), mask, int(parent))
        for labels, masks, table in parts
        for label, mask, parent in zip(labels, masks, table["parent"].tolist(), strict=True)
    )
    stream_coco(path, rows, image, kept.grid.shape, recipe)
