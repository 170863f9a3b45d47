"""What a segmented stack leaves in a folder: a label volume, tables, provenance and recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path, write_text
from napari_graysam.documents import dump_json
from napari_graysam.files import write_table
from napari_graysam.fingerprint import digest_of
from napari_graysam.outputs.earlier import read_provenance, written_kinds
from napari_graysam.outputs.kinds import ENDINGS as ENDINGS_OF_IMAGES
from napari_graysam.recipe import Recipe
from napari_graysam.stack.tables import objects_table, tracks_table

if TYPE_CHECKING:
    import pandas as pd

    from napari_graysam.source.stack import Stack
    from napari_graysam.stack import Links

BIG = 2**32 - 2**25
"""Bytes from which a TIFF file needs 64-bit offsets."""
ENDINGS = {
    "labels": "labels.tif",
    "planes": "planes.csv",
    "objects": "objects.csv",
    "tracks": "tracks.csv",
    "provenance": "provenance.json",
    "recipe": "recipe.yaml",
}


def place_of(stack: Stack) -> dict[str, Any]:
    """Return what the results of a stack say about their image, as those of a plane do."""
    path = None if stack.path is None else os.path.abspath(stack.path)
    series = stack.recipe.image.series
    return {"path": path, "series": series, "plane": f"all along {stack.axis}"}


def stack_digest(folder: Path, stack: Stack, recipe: Recipe) -> str:
    """Return what decides the results of a stack whose planes are all in a folder."""
    planes = []
    for position in stack.positions:
        found = read_provenance(folder, stack.name(position))
        planes.append(found["fingerprint"]["stages"]["labels"])
    options = recipe.stack.model_dump(mode="json")
    return digest_of(planes, options, stack.pixel_size, stack.spacing)


def stack_files(folder: Path, name: str, axis: str) -> dict[str, Path]:
    """Return the paths of a stack's results by kind; the recipe is the last to be written."""
    kinds = [kind for kind in ENDINGS if kind != "tracks" or axis == "t"]
    return {kind: folder / f"{name}.{ENDINGS[kind]}" for kind in kinds}


def stack_is_complete(folder: Path, name: str, axis: str, digest: str) -> bool:
    """Tell whether the results of a stack are all there, with a digest of `stack_digest`."""
    try:
        found = json.loads((folder / f"{name}.{ENDINGS['provenance']}").read_bytes())
        same = found["stack"]["digest"] == digest
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return same and all(path.is_file() for path in stack_files(folder, name, axis).values())


def write_stack(
    stack: Stack,
    recipe: Recipe,
    links: Links,
    numbered: Iterator[NDArray[np.uint32]],
    planes: pd.DataFrame,
    folder: Path,
    name: str,
    about: Mapping[str, Any],
) -> dict[str, Path]:
    """Write the results of a stack, plane by plane, each file whole or not at all.

    Parameters
    ----------
    stack, recipe
        What was segmented, and how.
    links
        The object of every label.
    numbered
        Every plane, (H, W), with the numbers of the objects; read once, one at a time.
    planes
        Of `napari_graysam.stack.tables.planes_table`.
    folder, name
        The files are ``NAME.labels.tif`` and so on.
    about
        Goes into the provenance; its ``digest`` also names the volume.
    """
    paths = stack_files(folder, name, stack.axis)
    paths["recipe"].unlink(missing_ok=True)
    for kind in written_kinds(read_provenance(folder, name)):
        if ENDINGS_OF_IMAGES[kind] not in ENDINGS.values():
            (folder / f"{name}.{ENDINGS_OF_IMAGES[kind]}").unlink(missing_ok=True)
    physical = (stack.pixel_size, stack.spacing, stack.options.step)
    _write_volume(paths["labels"], stack, numbered, recipe, str(about["digest"]))
    write_table(paths["planes"], planes)
    write_table(paths["objects"], objects_table(stack.axis, planes, links, *physical))
    if "tracks" in paths:
        write_table(paths["tracks"], tracks_table(planes, links, stack.positions))
    write_text(
        paths["provenance"],
        dump_json({"files": ["labels", "objects"], "image": place_of(stack), "stack": dict(about)}),
    )
    write_text(paths["recipe"], recipe.to_yaml())
    return paths


def _write_volume(
    path: Path, stack: Stack, planes: Iterator[NDArray[np.uint32]], recipe: Recipe, digest: str
) -> None:
    import tifffile

    shape = (len(stack), *stack.shape)
    metadata: dict[str, Any] = {
        "axes": f"{stack.axis.upper()}YX",
        "Description": recipe.to_yaml(),
        # The same result is the same file.
        "UUID": f"urn:uuid:{UUID(hex=digest)}",
    }
    resolution = None
    if stack.pixel_size:
        height, width = stack.pixel_size
        metadata |= {"PhysicalSizeY": height, "PhysicalSizeYUnit": "µm"}
        metadata |= {"PhysicalSizeX": width, "PhysicalSizeXUnit": "µm"}
        resolution = (1e4 / width, 1e4 / height)
    if stack.spacing and stack.axis == "z":
        metadata |= {"PhysicalSizeZ": stack.spacing, "PhysicalSizeZUnit": "µm"}
    elif stack.spacing:
        metadata |= {"TimeIncrement": stack.spacing, "TimeIncrementUnit": "s"}
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            planes,
            shape=shape,
            dtype=np.uint32,
            ome=True,
            bigtiff=4 * int(np.prod(shape)) > BIG,
            compression="zlib",
            resolution=resolution,
            resolutionunit="CENTIMETER" if resolution else None,
            metadata=metadata,
        )
