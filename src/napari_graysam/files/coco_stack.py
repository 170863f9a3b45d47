"""Masks of a stack as COCO JSON: an image for each plane, written plane by plane."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.files.coco import CATEGORY, xywh
from napari_graysam.masks import label_masks
from napari_graysam.masks.run_lengths import encode

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("predicted_iou", "stability_score")


def write_coco_stack(
    path: str | os.PathLike[str],
    planes: Iterable[NDArray[np.integer]],
    names: Sequence[str],
    shape: tuple[int, int],
    recipe: Mapping[str, Any],
    *,
    axis: str = "z",
    positions: Sequence[int] | None = None,
    table: pd.DataFrame | None = None,
) -> None:
    """Write the masks of a stack as COCO JSON, of which one plane is in memory.

    Every plane is an image, with ``axis`` and ``position`` along it. Every annotation is a
    section of an object: its ``track_id`` is the object's number, the same in all planes, which
    ``attributes`` repeats for CVAT; its ``id`` is its own. Masks are as the label volume shows
    them, without parts that others cover.

    Parameters
    ----------
    path
        The file to write.
    planes
        Label images (H, W) whose labels are the numbers of the objects; read once.
    names
        File name of each plane.
    shape
        Rows and columns of a plane.
    recipe
        Kept under ``info.recipe``.
    axis
        ``z`` or ``t``.
    positions
        Of the planes along the axis; 0, 1, … if omitted.
    table
        With the columns ``id``, the axis, ``predicted_iou``, ``stability_score`` and ``source``,
        which annotations take over; scores that are NaN are left out.

    Raises
    ------
    OutputError
        The file cannot be written.

    See Also
    --------
    write_coco : One image, with the parts of masks that others cover.

    Examples
    --------
    >>> import json, pathlib
    >>> import numpy as np
    >>> from napari_graysam.files.coco_stack import write_coco_stack
    >>> planes = np.array([[[4, 4], [0, 7]], [[4, 0], [0, 0]]])
    >>> write_coco_stack("cells.coco.json", planes, ["z0", "z1"], (2, 2), {})
    >>> content = json.loads(pathlib.Path("cells.coco.json").read_text())
    >>> [(one["image_id"], one["track_id"]) for one in content["annotations"]]
    [(1, 4), (1, 7), (2, 4)]
    """
    places = range(len(names)) if positions is None else positions
    about = {"description": "Masks by napari-graysam", "recipe": dict(recipe)}
    height, width = int(shape[0]), int(shape[1])
    images = [
        {
            "id": number,
            "file_name": name,
            "height": height,
            "width": width,
            "axis": axis,
            "position": int(position),
        }
        for number, (name, position) in enumerate(zip(names, places, strict=True), start=1)
    ]
    head = {"info": about, "licenses": [], "images": images, "categories": [CATEGORY]}
    found = _annotations(planes, shape, _known(table, axis), places)
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        _write_list(file, found)
        file.write("]}")


def _write_list(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    for number, item in enumerate(items):
        file.write((",\n" if number else "\n") + json.dumps(item, allow_nan=False))


def _annotations(
    planes: Iterable[NDArray[np.integer]],
    shape: tuple[int, int],
    known: Mapping[tuple[int, int], dict[str, Any]],
    places: Sequence[int],
) -> Iterator[dict[str, Any]]:
    own = 0
    for image, (position, plane) in enumerate(zip(places, planes, strict=True), start=1):
        for mask, label in zip(*label_masks(plane), strict=True):
            own += 1
            more = dict(known.get((label, position), {}))
            source = more.pop("source", None)
            attributes = {"track_id": label} | ({} if source is None else {"source": source})
            yield {
                "id": own,
                "image_id": image,
                "category_id": CATEGORY["id"],
                "track_id": label,
                "segmentation": encode(mask, shape, compressed=True),
                "area": mask.area,
                "bbox": xywh(mask.box),
                "iscrowd": 0,
                **more,
                "attributes": attributes,
            }


def _known(table: pd.DataFrame | None, axis: str) -> dict[tuple[int, int], dict[str, Any]]:
    """Return what the table says of each object in each plane."""
    if table is None:
        return {}
    columns = [name for name in (*SCORES, "source") if name in table]
    rows = table[["id", axis, *columns]].to_dict("records")
    return {
        (int(row["id"]), int(row[axis])): {
            name: row[name] for name in columns if row[name] == row[name]
        }
        for row in rows
    }
