"""Masks from COCO JSON: that of `write_coco` with all it holds, and other programs' masks.

Formats: the object detection format of cocodataset.org, and the one image a file of SA-1B.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from napari_graysam.errors import LabelsError
from napari_graysam.files.coco_masks import collect_foreign
from napari_graysam.files.objects import LARGEST_LABEL, Objects, image_shape
from napari_graysam.limits import check_memory, read_json, reading
from napari_graysam.masks import Mask
from napari_graysam.masks.mask import Box
from napari_graysam.masks.run_lengths import decode

EXPECTED = "a COCO file of masks (images, and annotations with polygons or run lengths)"
MOST_SHOWN = 5


def read_coco(path: str | os.PathLike[str], *, image: str | None = None) -> list[Mask]:
    """Read the masks of one image from a COCO file.

    Parameters
    ----------
    path
        By `write_coco`, or by another program: with polygons, or run lengths, compressed or not.
    image
        Name of the image, of a file with several, with suffix or without.

    Raises
    ------
    LabelsError
        The file is missing, no JSON, not of that form, does not fit into memory, or holds
        several images and none or no such one was named.

    See Also
    --------
    napari_graysam.read_labels : The same as a label image.
    napari_graysam.files.write_coco : Writes such a file.

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
    return list(read_coco_objects(path, image=image).masks)


def read_coco_objects(
    path: str | os.PathLike[str],
    shape: tuple[int, int] | None = None,
    *,
    image: str | None = None,
) -> Objects:
    """Read masks, labels, image size and recipe of one image from a COCO file.

    Labels are the annotations' ids, as far as these can be labels. What is no mask of one object
    (crowds, boxes, keypoints) is left out with a note. Polygons hold the pixels whose centre is
    inside; pycocotools rounds them, which moves single pixels at the border.

    Parameters
    ----------
    path, image
        As for `read_coco`.
    shape
        (H, W) of the image, used where the file does not say it.

    Raises
    ------
    LabelsError
        As of `read_coco`.
    """
    with reading(path, EXPECTED, LabelsError):
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError("it does not begin with a mapping of images and annotations")
        record, annotations = _of_image(content, image)
        recipe = (content.get("info") or {}).get("recipe")
        if all("source" in annotation for annotation in annotations):
            return _own(annotations, image_shape(record), recipe or None)
        return collect_foreign(annotations, record, content.get("categories") or (), shape)


def image_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the file names of the images in a COCO file, without folders.

    Raises
    ------
    LabelsError
        As of `read_coco`.
    """
    with reading(path, EXPECTED, LabelsError):
        return [_name(image) for image in _images(read_json(path))]


def _images(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(content["images"]) if "images" in content else [content["image"]]


def _name(image: Mapping[str, Any]) -> str:
    return re.split(r"[\\/]", str(image.get("file_name", "")))[-1]


def _of_image(
    content: Mapping[str, Any], name: str | None
) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """Return what a file says of the image that is meant, and its annotations."""
    annotations = list(content["annotations"])
    images = _images(content)
    meant = images
    if len(images) > 1 and name is not None:
        names = [_name(image) for image in images]
        meant = [image for image, one in zip(images, names, strict=True) if one == name]
        stem = Path(name).stem
        meant = meant or [i for i, one in zip(images, names, strict=True) if Path(one).stem == stem]
    if len(meant) != 1:
        raise LabelsError(_which(images, name, len(meant)))
    (image,) = meant
    number = image.get("id")
    return image, [one for one in annotations if one.get("image_id", number) == number]


def _which(images: Sequence[Mapping[str, Any]], name: str | None, found: int) -> str:
    shown = ", ".join(_name(image) for image in images[:MOST_SHOWN])
    more = ", …" if len(images) > MOST_SHOWN else ""
    several = f"It holds {len(images)} images ({shown}{more})"
    if name is None:
        return f"{several}; name the one that is meant."
    return f"{several}, {'several' if found else 'none'} of which is named {name}."


def _own(annotations: Sequence[Mapping[str, Any]], shape: tuple[int, int], recipe: Any) -> Objects:
    """Read what `write_coco` wrote, which must be whole."""
    labels = tuple(int(annotation["id"]) for annotation in annotations)
    if labels and not 1 <= min(labels) <= max(labels) <= LARGEST_LABEL:
        raise LabelsError(f"The ids of its annotations must be 1 to {LARGEST_LABEL}.")
    places = {label: place for place, label in enumerate(labels)}
    if len(places) < len(labels):
        raise LabelsError("Two of its annotations have the same id.")
    boxes = [_box(annotation["bbox"], shape) for annotation in annotations]
    _check_boxes(boxes, shape)
    masks = tuple(map(_mask, annotations, boxes, repeat(shape), repeat(places)))
    scores = tuple(_scores(mask, labels) for mask in masks)
    return Objects(masks, labels, scores, shape, recipe, ())


def _check_boxes(boxes: Sequence[Box], shape: tuple[int, int]) -> None:
    """Refuse masks that do not fit into memory: all of them, and the columns of the widest."""
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes)
    columns = max((x1 - x0 for x0, _, x1, _ in boxes), default=0)
    what = f"Decoding {len(boxes)} masks, {areas:,} pixels in all,"
    check_memory(areas + 2 * columns * shape[0], what)


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
