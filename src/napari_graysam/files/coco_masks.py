"""Annotations of COCO files by other programs as objects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from napari_graysam.errors import GraysamError, LabelsError
from napari_graysam.files.objects import Found, Objects, collect
from napari_graysam.files.polygons import check_rings
from napari_graysam.limits import check_memory
from napari_graysam.masks.run_lengths import decode_whole, lengths_of

CORNERS = 3
"""Fewest of a polygon."""
SCORES = {"score": "predicted_iou", "predicted_iou": "predicted_iou"} | {
    name: name for name in ("stability_score", "category_id")
}
"""Numbers of an annotation, and what the object table calls them."""


def collect_foreign(
    annotations: Sequence[Mapping[str, Any]],
    image: Mapping[str, Any],
    categories: Sequence[Mapping[str, Any]],
    shape: tuple[int, int] | None,
) -> Objects:
    """Return the objects of one image, without crowds and what has no mask.

    Parameters
    ----------
    annotations
        Those of the image. Masks are lists of polygons (x, y, x, y, …), which are united, or run
        lengths, as text or as a list.
    image
        Its record: ``height`` and ``width``.
    categories
        Those of the file, for their names.
    shape
        (H, W) of the image, used where the record lacks it.

    Raises
    ------
    LabelsError
        A mask is damaged or of another kind, or the image's size is.
    """
    names = {one.get("id"): str(one["name"]) for one in categories if "name" in one}
    sizes = [one["segmentation"]["size"] for one in annotations if _is_runs(one)]
    if image.get("height") is None and sizes:
        image = {"height": sizes[0][0], "width": sizes[0][1]}
    found, crowds, bare, empty = [], 0, 0, 0
    for number, annotation in enumerate(annotations, start=1):
        # An object that goes through several images has one number in all of them.
        title = annotation.get("track_id", annotation.get("id", number))
        if annotation.get("iscrowd"):
            crowds += 1
        elif not annotation.get("segmentation"):
            bare += 1
        elif (one := _found(annotation, title, names)) is None:
            empty += 1
        else:
            found.append(one)
    notes = [
        f"{count} of {len(annotations)} annotations {what} and were left out."
        for count, what in (
            (crowds, "are crowds, regions of many objects,"),
            (bare, "have no mask, but perhaps a box or keypoints,"),
            (empty, "hold no pixel"),
        )
        if count
    ]
    about = {} if image.get("height") is None else {"image": image}
    return collect(found, about, shape, notes)


def _is_runs(annotation: Mapping[str, Any]) -> bool:
    return isinstance(annotation.get("segmentation"), Mapping)


def _found(annotation: Mapping[str, Any], title: Any, names: Mapping[Any, str]) -> Found | None:
    """Return an annotation's object; None where it holds no pixel."""
    segmentation = annotation["segmentation"]
    measured: dict[str, Any] = {
        column: float(value)
        for key, column in SCORES.items()
        if isinstance(value := annotation.get(key), int | float) and math.isfinite(value)
    }
    if (category := annotation.get("category_id")) in names and len(names) > 1:
        measured["category"] = names[category]
    try:
        if isinstance(segmentation, Mapping):
            rows, columns = (int(side) for side in segmentation["size"])
            counts = segmentation["counts"]
            if list(lengths_of(counts)) == [rows * columns]:
                return None
            check_memory(2 * rows * columns, f"A mask of {rows} × {columns} pixels")
            mask = decode_whole(counts, (rows, columns))
            return Found(str(title), (), measured, mask, (rows, columns))
        polygons = [_corners(polygon) for polygon in segmentation]
    except GraysamError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise LabelsError(
            f"The mask of annotation {title} is damaged, or neither polygons nor run lengths."
        ) from error
    polygons = [polygon for polygon in polygons if len(polygon) >= CORNERS]
    if not polygons:
        return None
    return Found(str(title), check_rings([[polygon] for polygon in polygons]), measured)


def _corners(polygon: Sequence[float]) -> list[tuple[float, float]]:
    """Return the corners (x, y) of a list of coordinates by turns."""
    return [(float(x), float(y)) for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
