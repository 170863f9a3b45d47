"""Objects as GeoJSON for QuPath, written and read back.

Format: RFC 7946 with the properties that QuPath writes and reads ("Exporting annotations" at
qupath.readthedocs.io): ``objectType``, ``name``, ``measurements``, and a UUID as a feature's id.
Coordinates are pixels with (0, 0) at the upper left corner of the image, as in QuPath; outlines
run along pixel edges, so that the pixels whose centre is inside are exactly those of the mask.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from uuid import NAMESPACE_OID, uuid5

from napari_graysam.atomic import atomic_path
from napari_graysam.errors import LabelsError
from napari_graysam.files.objects import (
    PROGRAM,
    Found,
    Objects,
    about_file,
    collect,
    numbers_by_label,
)
from napari_graysam.files.outlines import Pieces, Ring, trace
from napari_graysam.files.polygons import check_rings
from napari_graysam.limits import read_json, reading
from napari_graysam.masks import Mask

if TYPE_CHECKING:
    import pandas as pd

AREAS = ("Polygon", "MultiPolygon")


def write_geojson(
    path: str | os.PathLike[str],
    masks: Sequence[Mask],
    shape: tuple[int, int],
    recipe: Mapping[str, Any] | None = None,
    *,
    labels: Sequence[int] | None = None,
    table: pd.DataFrame | None = None,
    image_name: str = "",
    object_type: Literal["annotation", "detection"] = "annotation",
) -> None:
    """Write masks as a GeoJSON FeatureCollection that QuPath opens.

    Each mask is a Polygon, with holes, or a MultiPolygon where it has several pieces; pieces
    that touch only at a corner are separate ones. Its name is its label.

    Parameters
    ----------
    path
        The file to write.
    masks
        Masks of one image; empty ones are left out.
    shape
        (H, W) of the image.
    recipe
        Kept, with the image's name and size, under the collection's member ``napari-graysam``,
        which other programs ignore (RFC 7946, 6.1).
    labels
        The label of each mask; 1, 2, … if omitted.
    table
        Object table whose column ``index`` is the label; its finite numbers become
        measurements.
    image_name
        File name of the image.
    object_type
        What QuPath makes of the objects.

    Raises
    ------
    OutputError
        The file cannot be written.

    See Also
    --------
    read_geojson : Reads it back.

    Examples
    --------
    >>> import json, pathlib
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> write_geojson("cells.geojson", [Mask(np.ones((2, 3), bool), (1, 0, 4, 2))], (8, 8))
    >>> file = json.loads(pathlib.Path("cells.geojson").read_text())
    >>> file["features"][0]["geometry"]["coordinates"]
    [[[4, 2], [1, 2], [1, 0], [4, 0], [4, 2]]]
    """
    numbers = range(1, len(masks) + 1) if labels is None else labels
    some = [(numbers, masks, table)]
    stream_geojson(path, some, shape, recipe, image_name=image_name, object_type=object_type)


def stream_geojson(
    path: str | os.PathLike[str],
    objects: Iterable[tuple[Sequence[int], Sequence[Mask], pd.DataFrame | None]],
    shape: tuple[int, int],
    recipe: Mapping[str, Any] | None = None,
    *,
    image_name: str = "",
    object_type: Literal["annotation", "detection"] = "annotation",
) -> None:
    """Do as `write_geojson` for more masks than fit into memory, some after others.

    Parameters
    ----------
    path, shape, recipe, image_name, object_type
        As for `write_geojson`.
    objects
        Labels, masks and object table of some objects, and so on.
    """
    about = _encoded(about_file(shape, recipe, image_name))
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(f'{{"type": "FeatureCollection", "{PROGRAM}": {about}, "features": [')
        before = ""
        for numbers, masks, table in objects:
            rows = numbers_by_label(table)
            traced = trace([mask.bits for mask in masks])
            # Encoded one by one: all coordinates as Python's lists would keep the garbage
            # collector busy.
            for label, mask, pieces in zip(numbers, masks, traced, strict=True):
                if mask.area:
                    feature = _feature(mask, pieces, label, rows.get(label, {}), object_type)
                    file.write(before + _encoded(feature))
                    before = ", "
        file.write("]}")


def read_geojson(path: str | os.PathLike[str], shape: tuple[int, int] | None = None) -> Objects:
    """Read the areas of a GeoJSON file, as `write_geojson` and QuPath write it.

    Parameters
    ----------
    path
        A FeatureCollection, a list of features, or one feature.
    shape
        (H, W) of the image, used where the file does not say it.

    Raises
    ------
    LabelsError
        The file is missing, no JSON, no GeoJSON or damaged, or does not fit into memory.

    See Also
    --------
    write_geojson : Writes such a file.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.files import write_geojson
    >>> from napari_graysam.masks import Mask
    >>> write_geojson("cells.geojson", [Mask(np.ones((2, 3), bool), (1, 0, 4, 2))], (8, 8))
    >>> objects = read_geojson("cells.geojson")
    >>> objects.labels, objects.shape, objects.masks[0].box
    ((1,), (8, 8), (1, 0, 4, 2))
    """
    with reading(path, "a GeoJSON file", LabelsError):
        content = read_json(path)
        about = content.get(PROGRAM, {}) if isinstance(content, dict) else {}
        if not isinstance(about, dict):
            raise LabelsError(f"What {PROGRAM} wrote into it is damaged.")
        return _objects(_features(content), about, shape)


def _encoded(content: Any) -> str:
    return json.dumps(content, allow_nan=False)


def _feature(
    mask: Mask, pieces: Pieces, label: int, measurements: Mapping[str, float], object_type: str
) -> dict[str, Any]:
    closed = [[_closed(ring, mask.box) for ring in rings] for rings in pieces]
    kind, coordinates = ("MultiPolygon", closed) if len(closed) > 1 else ("Polygon", closed[0])
    properties: dict[str, Any] = {"objectType": object_type, "name": str(label)}
    if measurements:
        properties["measurements"] = dict(measurements)
    return {
        "type": "Feature",
        # The same object has the same id in every file, and another object another one.
        "id": str(uuid5(NAMESPACE_OID, f"{PROGRAM} {label} {coordinates}")),
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": properties,
    }


def _closed(ring: Ring, box: tuple[int, int, int, int]) -> list[list[int]]:
    points: list[list[int]] = (ring + box[:2]).tolist()
    return [*points, points[0]]


def _features(content: Any) -> list[Any]:
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content.get("features")
    elif isinstance(content, dict) and content.get("type") == "Feature":
        content = [content]
    if not isinstance(content, list):
        raise LabelsError(
            "This is no GeoJSON of objects: expected a FeatureCollection, a list of features or "
            "one feature, as QuPath exports them."
        )
    return content


def _objects(
    features: Sequence[Any], about: Mapping[str, Any], shape: tuple[int, int] | None
) -> Objects:
    found, other, nuclei, bare = [], set(), 0, 0
    for number, feature in enumerate(features, start=1):
        try:
            geometry = feature.get("geometry")
            if geometry is None:
                bare += 1
                continue
            kind = geometry["type"]
            if kind not in AREAS:
                other.add(str(kind))
                continue
            coordinates = geometry["coordinates"]
            polygons = check_rings(coordinates if kind == "MultiPolygon" else [coordinates])
            properties = feature.get("properties") or {}
            name = str(properties.get("name", ""))
            measurements = _numbers(properties.get("measurements"))
            nuclei += "nucleusGeometry" in feature
            found.append(Found(name, polygons, measurements))
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise LabelsError(
                f"Feature {number} has no geometry of the kind that GeoJSON asks for."
            ) from error
        except LabelsError as error:
            raise LabelsError(f"Feature {number}: {error}") from error
    notes = []
    if bare and bare == len(features):
        raise LabelsError(f"None of its {bare} features has a geometry.")
    if other:
        notes.append(
            f"{', '.join(sorted(other))}: only areas can become labels; the rest was left out."
        )
    if bare:
        notes.append(f"{bare} of {len(features)} features have no geometry and were left out.")
    if nuclei:
        notes.append(f"{nuclei} cells have a nucleus of their own; only whole cells were read.")
    return collect(found, about, shape, notes)


def _numbers(measurements: Any) -> dict[str, float]:
    """Finite measurements; QuPath before 0.4 wrote a list of names and values."""
    if isinstance(measurements, list):
        measurements = {one["name"]: one["value"] for one in measurements}
    return {
        str(name): value
        for name, value in (measurements or {}).items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
