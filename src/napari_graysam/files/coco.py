"""Masks as COCO JSON with run-length encoding, written and read back.

Format: the object detection format of cocodataset.org; `pycocotools` decodes the masks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_graysam.atomic import write_text
from napari_graysam.errors import ImageError
from napari_graysam.files.objects import Objects
from napari_graysam.masks import Mask
from napari_graysam.masks.run_lengths import decode, encode

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
    ImageError
        The file is missing, no JSON, or not of that form.
    """
    return list(read_coco_objects(path).masks)


def read_coco_objects(path: str | os.PathLike[str]) -> Objects:
    """Read masks, labels, image size and recipe that `write_coco` wrote.

    Raises
    ------
    ImageError
        The file is missing, no JSON, or not of that form.
    """
    name = os.fspath(path)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ImageError(f"{name}: cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ImageError(f"{name}: this is no JSON file: {error}.") from error
    try:
        image = content["images"][0]
        shape = int(image["height"]), int(image["width"])
        labels = tuple(int(annotation["id"]) for annotation in content["annotations"])
        masks = tuple(_mask(one, shape, labels) for one in content["annotations"])
        recipe = content.get("info", {}).get("recipe")
        scores = tuple(_scores(mask, labels) for mask in masks)
        return Objects(masks, labels, scores, shape, recipe or None, ())
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ImageError(
            f"{name}: not a COCO file of masks written by graysam: {what}. Expected one image, "
            f"and annotations with run-length encoded segmentation, scores, prompt and parent."
        ) from error


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


def _mask(annotation: Mapping[str, Any], shape: tuple[int, int], labels: Sequence[int]) -> Mask:
    (point,) = annotation["point_coords"]
    x, y, width, height = (int(value) for value in annotation["bbox"])
    box = (x, y, x + width, y + height)
    bits = decode(annotation["segmentation"], shape, box)
    if int(np.count_nonzero(bits)) != annotation["area"]:
        raise ValueError(f"area and segmentation of annotation {annotation['id']} disagree")
    crop_x, crop_y, crop_width, crop_height = (int(value) for value in annotation["crop_box"])
    return Mask(
        bits=bits,
        box=box,
        predicted_iou=float(annotation["predicted_iou"]),
        stability=float(annotation["stability_score"]),
        point=(float(point[0]), float(point[1])),
        crop_box=(crop_x, crop_y, crop_x + crop_width, crop_y + crop_height),
        parent=labels.index(int(annotation["parent"])) if annotation["parent"] else -1,
        depth=int(annotation["depth"]),
        source=str(annotation["source"]),
    )


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


def _xywh(box: tuple[int, int, int, int]) -> list[int]:
    x0, y0, x1, y1 = (int(value) for value in box)
    return [x0, y0, x1 - x0, y1 - y0]
