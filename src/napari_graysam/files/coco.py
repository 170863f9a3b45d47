"""Masks as COCO JSON with run-length encoding, written and read back.

Format: the object detection format of cocodataset.org; `pycocotools` decodes the masks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from napari_graysam.atomic import write_text
from napari_graysam.errors import LabelsError
from napari_graysam.files.objects import LARGEST_LABEL, Objects, image_shape
from napari_graysam.limits import check_memory, read_json, reading
from napari_graysam.masks import Mask
from napari_graysam.masks.mask import Box
from napari_graysam.masks.run_lengths import decode, encode

EXPECTED = (
    "a COCO file of masks written by graysam (one image, annotations with run-length encoded "
    "segmentation, scores, prompt and parent)"
)
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
    read_coco : Reads it back.

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
    content = {
        "info": {"description": "Masks by napari-graysam", "recipe": dict(recipe)},
        "licenses": [],
        "images": [
            {"id": 1, "file_name": image_name, "height": int(shape[0]), "width": int(shape[1])}
        ],
        "categories": [CATEGORY],
        "annotations": [
            _annotation(mask, number, numbers[mask.parent] if mask.parent >= 0 else 0, shape)
            for number, mask in zip(numbers, masks, strict=True)
        ],
    }
    write_text(path, json.dumps(content))


def read_coco(path: str | os.PathLike[str]) -> list[Mask]:
    """Read the masks that `write_coco` wrote.

    Raises
    ------
    LabelsError
        The file is missing, no JSON, not of that form, or does not fit into memory.

    See Also
    --------
    write_coco : Writes such a file.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.files import write_coco
    >>> from napari_graysam.masks import Mask
    >>> disc = Mask(np.ones((2, 3), bool), (1, 0, 4, 2))
    >>> write_coco("cells.coco.json", [disc], "cells.tif", (8, 8), {"name": "cells"})
    >>> [(mask.box, mask.area) for mask in read_coco("cells.coco.json")]
    [((1, 0, 4, 2), 6)]
    """
    return list(read_coco_objects(path).masks)


def read_coco_objects(path: str | os.PathLike[str]) -> Objects:
    """Read masks, labels, image size and recipe that `write_coco` wrote.

    Raises
    ------
    LabelsError
        As of `read_coco`.
    """
    with reading(path, EXPECTED, LabelsError):
        content = read_json(path)
        shape = image_shape(content["images"][0])
        annotations = content["annotations"]
        labels = tuple(int(annotation["id"]) for annotation in annotations)
        if labels and not 1 <= min(labels) <= max(labels) <= LARGEST_LABEL:
            raise LabelsError(f"The ids of its annotations must be 1 to {LARGEST_LABEL}.")
        places = {label: place for place, label in enumerate(labels)}
        if len(places) < len(labels):
            raise LabelsError("Two of its annotations have the same id.")
        boxes = [_box(annotation["bbox"], shape) for annotation in annotations]
        _check_boxes(boxes, shape)
        masks = tuple(map(_mask, annotations, boxes, repeat(shape), repeat(places)))
        recipe = content.get("info", {}).get("recipe")
        scores = tuple(_scores(mask, labels) for mask in masks)
        return Objects(masks, labels, scores, shape, recipe or None, ())


def _check_boxes(boxes: Sequence[Box], shape: tuple[int, int]) -> None:
    """Refuse masks that do not fit into memory: all of them, and the columns of the widest."""
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes)
    columns = max((x1 - x0 for x0, _, x1, _ in boxes), default=0)
    what = f"Decoding {len(boxes)} masks, {areas:,} pixels in all,"
    check_memory(areas + 2 * columns * shape[0], what)


def _annotation(mask: Mask, number: int, parent: int, shape: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": 1,
        "category_id": CATEGORY["id"],
        "segmentation": encode(mask, shape, compressed=True),
        "area": mask.area,
        "bbox": _xywh(mask.box),
        "iscrowd": 0,
        "predicted_iou": float(mask.predicted_iou),
        "stability_score": float(mask.stability),
        "point_coords": [[float(value) for value in mask.point]],
        "crop_box": _xywh(mask.crop_box),
        "parent": parent,
        "depth": int(mask.depth),
        "source": mask.source,
    }


def _mask(
    annotation: Mapping[str, Any], box: Box, shape: tuple[int, int], places: Mapping[int, int]
) -> Mask:
    (point,) = annotation["point_coords"]
    bits = decode(annotation["segmentation"], shape, box)
    if int(np.count_nonzero(bits)) != annotation["area"]:
        raise ValueError(f"area and segmentation of annotation {annotation['id']} disagree")
    return Mask(
        bits=bits,
        box=box,
        predicted_iou=float(annotation["predicted_iou"]),
        stability=float(annotation["stability_score"]),
        point=(float(point[0]), float(point[1])),
        crop_box=_corners(annotation["crop_box"]),
        parent=places[int(annotation["parent"])] if annotation["parent"] else -1,
        depth=int(annotation["depth"]),
        source=str(annotation["source"]),
    )


def _box(bbox: Sequence[float], shape: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = _corners(bbox)
    if not (0 <= x0 <= x1 <= shape[1] and 0 <= y0 <= y1 <= shape[0]):
        raise LabelsError(f"bbox {bbox} lies outside of the image of {shape}.")
    return x0, y0, x1, y1


def _corners(bbox: Sequence[float]) -> Box:
    x, y, width, height = (int(value) for value in bbox)
    return x, y, x + width, y + height


def _scores(mask: Mask, labels: Sequence[int]) -> dict[str, Any]:
    """Name what the file tells of a mask as the object table does."""
    return {
        "predicted_iou": mask.predicted_iou,
        "stability_score": mask.stability,
        "point_x": mask.point[0],
        "point_y": mask.point[1],
        "parent": labels[mask.parent] if mask.parent >= 0 else 0,
        "depth": mask.depth,
        "source": mask.source,
    }


def _xywh(box: Box) -> list[int]:
    x0, y0, x1, y1 = (int(value) for value in box)
    return [x0, y0, x1 - x0, y1 - y0]
