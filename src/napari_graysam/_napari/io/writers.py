"""File ▸ Save Selected Layer(s): Labels layers as CSV, COCO JSON, TIFF, GeoJSON, ImageJ ROIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.layers import KEY
from napari_graysam._napari.canvas.units import pixel_size
from napari_graysam._napari.io.placing import stored_placement
from napari_graysam._napari.results.features import whole_table
from napari_graysam.errors import OutputError
from napari_graysam.units import in_micrometres

if TYPE_CHECKING:
    import pandas as pd

Attributes = Mapping[str, Any]


class Saved(NamedTuple):
    """What is written of a Labels layer.

    ``labels`` are (H, W); ``table`` holds the features with the label as column ``index``;
    ``recipe``, as plain data, and ``source``, the image's name, are known of results only;
    ``shape`` is the layer's own, also of one plane in a stack.
    """

    labels: NDArray[np.integer]
    table: pd.DataFrame
    recipe: dict[str, Any] | None
    source: str
    pixel_size: tuple[float, float] | None
    unit: str | None
    shape: tuple[int, ...]

    @property
    def outlined(self) -> dict[str, Any]:
        """The labels as masks, and what files of outlines say of them."""
        from napari_graysam.masks import label_masks

        masks, labels = label_masks(self.labels)
        return {
            "masks": masks,
            "shape": (self.labels.shape[0], self.labels.shape[1]),
            "recipe": self.recipe,
            "labels": labels,
            "table": self.table,
            "image_name": self.source,
        }


def write_coco_json(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Write a Labels layer as COCO JSON: run-length encoded masks with their scores.

    Parameters
    ----------
    path
        Ends in ``.json``; ``.coco.json`` is added where it has no ending.
    data, attributes
        Of the layer, as napari hands them to writers.

    Returns
    -------
    list of str
        The path that was written.

    Raises
    ------
    OutputError
        The path ends otherwise, the layer holds more than one plane, or the file cannot be
        written.
    """
    from napari_graysam.files import write_coco
    from napari_graysam.files.objects import rows_by_label, with_scores
    from napari_graysam.masks import label_masks

    path = ending(path, (".coco.json", ".json"), "COCO")
    saved = read_layer(data, attributes)
    masks, labels = label_masks(saved.labels)
    places = {label: place for place, label in enumerate(labels)}
    rows = rows_by_label(saved.table)
    scored = [
        with_scores(mask, rows.get(label, {}), places)
        for label, mask in zip(labels, masks, strict=True)
    ]
    shape = (saved.labels.shape[0], saved.labels.shape[1])
    write_coco(path, scored, saved.source, shape, saved.recipe or {}, labels=labels)
    return [path]


def write_label_tiff(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Write a Labels layer as a TIFF of label numbers with pixel size and recipe.

    Parameters
    ----------
    path
        Ends in ``.tif`` or ``.tiff``; ``.labels.tif`` is added where it has no ending.
    data, attributes, Returns, Raises
        As for `write_coco_json`.
    """
    from napari_graysam.documents import dump_yaml
    from napari_graysam.files import write_labels

    path = ending(path, (".labels.tif", ".tif", ".tiff"), "label image")
    saved = read_layer(data, attributes)
    write_labels(
        path,
        saved.labels,
        recipe=dump_yaml(saved.recipe) if saved.recipe else "",
        pixel_size=saved.pixel_size,
        unit=saved.unit,
        table=saved.table,
        placement=stored_placement(saved.shape, attributes),
    )
    return [path]


def write_csv(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Write a Labels layer's table of objects: a row each, areas in px² and, if known, µm².

    Objects that the layer's features do not tell, or that were edited since, are measured.

    Parameters
    ----------
    path
        Ends in ``.csv``, which is added where it has no ending.
    data, attributes, Returns, Raises
        As for `write_coco_json`.
    """
    from napari_graysam.files import write_table
    from napari_graysam.select.label_table import label_table

    path = ending(path, (".csv",), "table")
    saved = read_layer(data, attributes)
    size = in_micrometres(saved.pixel_size, saved.unit)
    write_table(path, label_table(saved.labels, saved.table, size), pixel_size=size)
    return [path]


def write_outlines(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Write a Labels layer as GeoJSON for QuPath.

    Parameters
    ----------
    path
        Ends in ``.geojson`` or ``.json``; ``.geojson`` is added where it has no ending.
    data, attributes, Returns, Raises
        As for `write_coco_json`.
    """
    from napari_graysam.files import write_geojson

    path = ending(path, (".geojson", ".json"), "GeoJSON")
    write_geojson(path, **read_layer(data, attributes).outlined)
    return [path]


def write_roi_zip(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Write a Labels layer as a ZIP file of ImageJ ROIs.

    Parameters
    ----------
    path
        Ends in ``.zip``, which is added where it has no ending.
    data, attributes, Returns, Raises
        As for `write_coco_json`.
    """
    from napari_graysam.files import write_rois

    path = ending(path, (".zip",), "ImageJ ROI")
    saved = read_layer(data, attributes)
    image = (saved.recipe or {}).get("image", {})
    plane = image.get("plane") if isinstance(image, dict) else None
    write_rois(path, **saved.outlined, position=0 if plane is None else plane + 1)
    return [path]


def ending(path: str, endings: Sequence[str], kind: str) -> str:
    """Return the path, with the first ending where it has none; refuse any other ending."""
    if path.lower().endswith(tuple(endings)):
        return path
    if not Path(path).suffix:
        return path + endings[0]
    raise OutputError(
        f"{path}: a {kind} file ends in {' or '.join(dict.fromkeys(endings))}; choose such a "
        f"name, or another file type."
    )


def read_layer(data: Any, attributes: Attributes) -> Saved:
    """Collect what is written of a Labels layer.

    Parameters
    ----------
    data, attributes
        Of the layer; a stack of one plane counts as that plane.

    Raises
    ------
    OutputError
        The layer holds more than one plane, or negative or too large labels.
    """
    from napari_graysam.select.label_table import label_table

    name = str(attributes.get("name", "Labels"))
    labels = _plane(data[0] if attributes.get("multiscale") else data, name)
    about = attributes.get("metadata", {}).get(KEY, {})
    recipe, source = about.get("recipe"), about.get("source_layer", "")
    table = attributes["features"].copy()
    if "index" not in table:
        # napari's own rule: row i of a table without labels belongs to label i.
        table["index"] = range(len(table))
    size, unit = pixel_size(attributes["scale"][-2:], attributes["units"][-2:])
    table = whole_table(table, about)
    if "visible_area" in table:
        table = label_table(labels, table, in_micrometres(size, unit))
    return Saved(
        labels,
        table,
        recipe if isinstance(recipe, dict) else None,
        source if isinstance(source, str) and source else name,
        size,
        unit,
        tuple((data[0] if attributes.get("multiscale") else data).shape),
    )


def _plane(data: Any, name: str) -> NDArray[np.integer]:
    shape = tuple(data.shape)
    if len(shape) > 2 and sum(size > 1 for size in shape) <= 2:
        keep = sorted(range(len(shape)), key=lambda axis: (shape[axis] > 1, axis))[-2:]
        shape = tuple(shape[axis] for axis in sorted(keep))
    elif len(shape) != 2:
        raise OutputError(
            f"“{name}” is a stack of shape {shape}; this file type holds one plane. Save the stack "
            "with napari's own TIFF writer, or make a layer of one plane and save that."
        )
    labels = np.asarray(data).reshape(shape)
    if labels.size and (labels.min() < 0 or labels.max() >= 2**32):
        raise OutputError(
            f"“{name}” has labels from {labels.min()} to {labels.max()}; files hold those from 0 "
            f"to {2**32 - 1}. Renumber them first."
        )
    return labels
