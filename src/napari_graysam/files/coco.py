"""Masks as COCO JSON with run-length encoding.

Format: the object detection format of cocodataset.org; `pycocotools` decodes the masks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from napari_graysam.atomic import atomic_path
from napari_graysam.masks import Mask
from napari_graysam.masks.mask import Box
from napari_graysam.masks.run_lengths import encode

CATEGORY = {"id": 1, "name": "object", "supercategory": ""}


def write_coco(
    path: str | os.PathLike[str],
    masks: Sequence[Mask],
    image_name: str,
    shape: tuple[int, int],
    recipe: Mapping[str, Any],
    *,
    labels: Sequence[int] | None = None,
) -> None:
    """Write the masks of one image as COCO JSON.

    Each annotation has, beside COCO's ``segmentation``, ``area``, ``bbox`` (x, y, width,
    height) and ``iscrowd``: ``predicted_iou``, ``stability_score``, ``point_coords``,
    ``crop_box`` (x, y, width, height), ``parent`` (an annotation's id, 0 for none), ``depth`` and
    ``source``. Its id is the object's label.

    Parameters
    ----------
    path
        The file to write.
    masks
        In the order of their labels.
    image_name
        File name of the image.
    shape
        Rows and columns of the image.
    recipe
        Kept under ``info.recipe``.
    labels
        The label of each mask; 1, 2, … if omitted.

    Raises
    ------
    OutputError
        The file cannot be written.

    See Also
    --------
    napari_graysam.read_coco : Reads it back.

    Examples
    --------
    >>> import json, pathlib
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> disc = Mask(np.ones((2, 3), bool), (1, 0, 4, 2))
    >>> write_coco("cells.coco.json", [disc], "cells.tif", (8, 8), {"name": "cells"})
    >>> json.loads(pathlib.Path("cells.coco.json").read_text())["annotations"][0]["bbox"]
    [1, 0, 3, 2]
    """
    numbers = range(1, len(masks) + 1) if labels is None else labels
    objects = (
        (number, mask, numbers[mask.parent] if mask.parent >= 0 else 0)
        for number, mask in zip(numbers, masks, strict=True)
    )
    stream_coco(path, objects, image_name, shape, recipe)


def stream_coco(
    path: str | os.PathLike[str],
    objects: Iterable[tuple[int, Mask, int]],
    image_name: str,
    shape: tuple[int, int],
    recipe: Mapping[str, Any],
) -> None:
    """Do as `write_coco` for more masks than fit into memory, one after the other.

    Parameters
    ----------
    path, image_name, shape, recipe
        As for `write_coco`.
    objects
        Label, mask and label of its parent (0 for none) of each object.
    """
    head = {
        "info": {"description": "Masks by napari-graysam", "recipe": dict(recipe)},
        "licenses": [],
        "images": [
            {"id": 1, "file_name": image_name, "height": int(shape[0]), "width": int(shape[1])}
        ],
        "categories": [CATEGORY],
    }
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        for place, (number, mask, parent) in enumerate(objects):
            file.write(", " if place else "")
            file.write(json.dumps(_annotation(mask, number, parent, shape)))
        file.write("]}")


def _annotation(mask: Mask, number: int, parent: int, shape: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": 1,
        "category_id": CATEGORY["id"],
        "segmentation": encode(mask, shape, compressed=True),
        "area": mask.area,
        "bbox": xywh(mask.box),
        "iscrowd": 0,
        "predicted_iou": float(mask.predicted_iou),
        "stability_score": float(mask.stability),
        "point_coords": [[float(value) for value in mask.point]],
        "crop_box": xywh(mask.crop_box),
        "parent": parent,
        "depth": int(mask.depth),
        "source": mask.source,
    }


def xywh(box: Box) -> list[int]:
    """Return a box as COCO has it: x, y, width, height."""
    x0, y0, x1, y1 = (int(value) for value in box)
    return [x0, y0, x1 - x0, y1 - y0]
