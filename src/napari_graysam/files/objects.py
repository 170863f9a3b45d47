"""What files of outlines and the GUI exchange: masks, their labels and their measurements."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import LabelsError
from napari_graysam.files.polygons import FILL_BYTES, FURTHEST, extent, fill
from napari_graysam.limits import check_memory
from napari_graysam.masks import ARMS, Mask, paint

if TYPE_CHECKING:
    import pandas as pd

PROGRAM = "napari-graysam"
"""Key under which a file keeps what its format has no place for."""
LARGEST_LABEL = 2**32 - 1
NUMBER = re.compile(r"[0-9]{1,10}")


class Objects(NamedTuple):
    """Objects that were read from a file.

    Attributes
    ----------
    masks
        In the order of the file; scores are those of the file, else 1.
    labels
        The label of each mask.
    measurements
        For each mask values by name, as far as the file has some.
    shape
        (H, W) of the image; the smallest that holds every object where it is not known.
    recipe
        The recipe that the file carries, as plain data; None without one.
    notes
        Sentences for the user about what was assumed or left out.
    """

    masks: tuple[Mask, ...]
    labels: tuple[int, ...]
    measurements: tuple[dict[str, Any], ...]
    shape: tuple[int, int]
    recipe: dict[str, Any] | None
    notes: tuple[str, ...]


class Found(NamedTuple):
    """One object of a file.

    Its name, its outline as `check_rings` returns it, and its numbers; or, in place of the
    outline, a mask and the (H, W) of its image.
    """

    name: str
    polygons: Sequence[Sequence[NDArray[np.float64]]]
    measurements: dict[str, Any]
    mask: Mask | None = None
    size: tuple[int, int] | None = None


def collect(
    found: Sequence[Found],
    about: Mapping[str, Any],
    shape: tuple[int, int] | None,
    notes: Iterable[str] = (),
) -> Objects:
    """Put a file's objects together: number them, fit them into the image, set their scores.

    Parameters
    ----------
    found
        What the file holds.
    about
        What `about_file` put into it; empty for a file of another program.
    shape
        (H, W) of the image that the file belongs to, used where the file does not say.
    notes
        What the reader of the file has to tell.

    Raises
    ------
    LabelsError
        The image's size or the recipe is damaged.
    ImageError
        The masks do not fit into memory.
    """
    notes = list(notes)
    numbers, named = _numbered([one.name for one in found])
    if found and not named:
        notes.append("The objects' names are no labels, or not their own; numbered from 1.")
    size = _stored_shape(about) or shape
    if size is None:
        boxes = [(0, 0, 1, 1), *(extent(one.polygons) for one in found)]
        size = max(box[3] for box in boxes), max(box[2] for box in boxes)
        notes.append(
            f"The file does not say how large its image is; {size[0]} × {size[1]} pixels hold "
            "every object."
        )
    if (other := next((one for one in found if one.size not in (None, size)), None)) is not None:
        raise LabelsError(f"Object {other.name} is of an image of {other.size}, not of {size}.")
    boxes = [one.mask.box if one.mask else extent(one.polygons, size) for one in found]
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]
    largest = max(areas, default=0)
    what = f"Filling {len(found)} outlines, the largest in {largest:,} pixels,"
    check_memory(sum(areas) + FILL_BYTES * largest, what)
    kept = []
    for number, one in zip(numbers, found, strict=True):
        mask = one.mask or fill(one.polygons, size)
        if mask is not None:
            kept.append((number, mask, one.measurements))
    if len(kept) < len(found):
        notes.append(
            f"{len(found) - len(kept)} of {len(found)} objects have no pixel inside the image of "
            f"{size[0]} × {size[1]} and were left out."
        )
    labels = tuple(number for number, _, _ in kept)
    places = {label: place for place, label in enumerate(labels)}
    masks = tuple(with_scores(mask, values, places) for _, mask, values in kept)
    return Objects(
        masks,
        labels,
        tuple(measurements for _, _, measurements in kept),
        size,
        _recipe(about),
        tuple(notes),
    )


def about_file(
    shape: tuple[int, int], recipe: Mapping[str, Any] | None, image_name: str
) -> dict[str, Any]:
    """Put together what a file keeps under `PROGRAM`, in JSON's types."""
    image = {"file_name": image_name, "height": int(shape[0]), "width": int(shape[1])}
    return {"image": image, **({} if recipe is None else {"recipe": dict(recipe)})}


def paint_objects(objects: Objects) -> NDArray[np.uint32]:
    """Label image (H, W) of objects, smaller ones on top of larger ones.

    Raises
    ------
    ImageError
        It does not fit into memory.
    """
    height, width = objects.shape
    check_memory(8 * height * width, f"A label image of {height} × {width} pixels")
    numbers = np.array((0, *objects.labels), np.uint32)
    return numbers[paint(objects.masks, objects.shape)]


def with_scores(mask: Mask, numbers: Mapping[str, Any], places: Mapping[int, int]) -> Mask:
    """Give a mask the scores and the place that a row of the object table tells.

    Parameters
    ----------
    mask
        The mask.
    numbers
        Values by column of the object table; what is missing stays as it is.
    places
        Position of every mask by its label, to find the parent.
    """
    changes: dict[str, Any] = {}
    for field, column in (("predicted_iou", "predicted_iou"), ("stability", "stability_score")):
        if column in numbers:
            changes[field] = float(numbers[column])
    if {"point_x", "point_y"} <= numbers.keys():
        changes["point"] = (float(numbers["point_x"]), float(numbers["point_y"]))
    crop = [f"crop_{side}" for side in ("x0", "y0", "x1", "y1")]
    if set(crop) <= numbers.keys():
        changes["crop_box"] = tuple(int(numbers[side]) for side in crop)
    if "parent" in numbers and int(numbers["parent"]) in places:
        changes["parent"] = places[int(numbers["parent"])]
        changes["depth"] = int(numbers.get("depth", 1))
    if numbers.get("source") in ARMS:
        changes["source"] = numbers["source"]
    return mask.replace(**changes)


def rows_by_label(table: pd.DataFrame | None) -> dict[int, dict[str, Any]]:
    """Finite numbers and texts of an object table, by label: its column ``index``."""
    if table is None or "index" not in table:
        return {}
    names = [name for name in table if name != "index"]
    columns = (table[name].tolist() for name in names)
    rows = zip(table["index"], *columns, strict=True)
    return {
        int(label): {
            str(name): value
            for name, value in zip(names, values, strict=True)
            if isinstance(value, str) or _is_number(value)
        }
        for label, *values in rows
    }


def numbers_by_label(table: pd.DataFrame | None) -> dict[int, dict[str, float]]:
    """Finite numbers of an object table, by label: its column ``index``."""
    if table is None or "index" not in table:
        return {}
    names = [str(name) for name in table if name != "index"]
    values = np.empty((len(table), len(names)))
    for place, name in enumerate(name for name in table if name != "index"):
        column = table[name]
        if column.dtype.kind not in "iufb":
            column = column.map(lambda value: float(value) if _is_number(value) else math.nan)
        values[:, place] = column.to_numpy(np.float64, na_value=math.nan)
    rows = zip(table["index"].tolist(), values.tolist(), strict=True)
    return {
        int(label): {
            name: value for name, value in zip(names, row, strict=True) if math.isfinite(value)
        }
        for label, row in rows
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float) and math.isfinite(value)


def _numbered(names: Sequence[str]) -> tuple[tuple[int, ...], bool]:
    """Labels of the objects, and whether they are the names that came: numbers, none twice."""
    if all(NUMBER.fullmatch(name) and 0 < int(name) <= LARGEST_LABEL for name in names):
        numbers = tuple(int(name) for name in names)
        if len(set(numbers)) == len(numbers):
            return numbers, True
    return tuple(range(1, len(names) + 1)), False


def _stored_shape(about: Mapping[str, Any]) -> tuple[int, int] | None:
    image = about.get("image")
    return None if image is None else image_shape(image)


def image_shape(image: Mapping[str, Any]) -> tuple[int, int]:
    """Return (H, W) as a file describes an image: ``height`` and ``width``, at least 1.

    Raises
    ------
    LabelsError
        They are no sides of an image.

    Examples
    --------
    >>> image_shape({"height": 3, "width": 4})
    (3, 4)
    """
    try:
        height, width = int(image["height"]), int(image["width"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise LabelsError(f"Its image's size is damaged: {str(image)[:200]}.") from None
    if not (1 <= height <= FURTHEST and 1 <= width <= FURTHEST):
        raise LabelsError(
            f"Its image's size is damaged: {height} × {width} pixels; a side has 1 to {FURTHEST}."
        )
    return height, width


def _recipe(about: Mapping[str, Any]) -> dict[str, Any] | None:
    recipe = about.get("recipe")
    if recipe is not None and not isinstance(recipe, dict):
        raise LabelsError(f"Its recipe is damaged: {type(recipe).__name__} instead of a mapping.")
    return recipe
