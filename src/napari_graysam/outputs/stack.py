"""What a segmented stack leaves in a folder: a label volume, tables, provenance and recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import write_text
from napari_graysam.documents import dump_json
from napari_graysam.files import LabelPlanes, write_coco_stack, write_table
from napari_graysam.fingerprint import digest_of
from napari_graysam.outputs.earlier import read_provenance, written_kinds
from napari_graysam.outputs.kinds import ENDINGS as ENDINGS_OF_IMAGES
from napari_graysam.outputs.kinds import FOLDERS
from napari_graysam.outputs.volume import write_volume
from napari_graysam.recipe import Recipe
from napari_graysam.stack.tables import objects_table, tracks_table

if TYPE_CHECKING:
    import pandas as pd

    from napari_graysam.source.stack import Stack
    from napari_graysam.stack import Links

ENDINGS = {
    "labels": "labels.tif",
    "planes": "planes.csv",
    "objects": "objects.csv",
    "tracks": "tracks.csv",
    "coco": "coco.json",
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


def stack_files(folder: Path, name: str, axis: str, kinds: Collection[str] = ()) -> dict[str, Path]:
    """Return the paths of a stack's results by kind; the recipe is the last to be written."""
    left_out = {"tracks"} if axis != "t" else set()
    left_out |= {"coco"} - set(kinds)
    return {
        kind: folder / f"{name}.{ending}"
        for kind, ending in ENDINGS.items()
        if kind not in left_out
    }


def stack_is_complete(
    folder: Path, name: str, axis: str, digest: str, kinds: Collection[str] = ()
) -> bool:
    """Tell whether the results of a stack are all there, with a digest of `stack_digest`.

    Of ``kinds``, those that are files of the whole stack (``coco``) must be there, too.
    """
    try:
        found = json.loads((folder / f"{name}.{ENDINGS['provenance']}").read_bytes())
        same = found["stack"]["digest"] == digest
        same &= "coco" not in kinds or "coco" in found["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    paths = stack_files(folder, name, axis, kinds)
    return same and all(path.is_file() for path in paths.values())


def write_stack(
    stack: Stack,
    recipe: Recipe,
    links: Links,
    numbered: Iterator[NDArray[np.uint32]],
    planes: pd.DataFrame,
    folder: Path,
    name: str,
    about: Mapping[str, Any],
    kinds: Collection[str] = (),
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
    kinds
        With ``coco`` among them, masks are written as COCO JSON, too.
    """
    paths = stack_files(folder, name, stack.axis, kinds)
    paths["recipe"].unlink(missing_ok=True)
    for kind in written_kinds(read_provenance(folder, name)):
        if kind not in paths and kind not in FOLDERS:
            (folder / f"{name}.{ENDINGS_OF_IMAGES[kind]}").unlink(missing_ok=True)
    physical = (stack.pixel_size, stack.spacing, stack.options.step)
    digest = str(about["digest"])
    write_volume(paths["labels"], numbered, np.uint32, stack, digest, recipe.to_yaml())
    write_table(paths["planes"], planes)
    write_table(paths["objects"], objects_table(stack.axis, planes, links, *physical))
    if "tracks" in paths:
        write_table(paths["tracks"], tracks_table(planes, links, stack.positions))
    if "coco" in paths:
        _write_coco(paths["coco"], paths["labels"], stack, recipe, planes)
    written = [kind for kind in ("labels", "objects", "coco") if kind in paths]
    write_text(
        paths["provenance"],
        dump_json({"files": written, "image": place_of(stack), "stack": dict(about)}),
    )
    write_text(paths["recipe"], recipe.to_yaml())
    return paths


def _write_coco(
    path: Path, labels: Path, stack: Stack, recipe: Recipe, planes: pd.DataFrame
) -> None:
    image = Path(stack.path or path.name.removesuffix(f".{ENDINGS['coco']}")).name
    write_coco_stack(
        path,
        LabelPlanes.of_file(labels),
        [f"{image}/{stack.name(position)}" for position in stack.positions],
        stack.shape,
        recipe.to_dict(),
        axis=stack.axis,
        positions=stack.positions,
        table=planes,
    )
