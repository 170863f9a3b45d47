"""The object table: one row per mask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_graysam.masks import Mask, touches_border
from napari_graysam.select.geometry import GEOMETRY, measure_geometry

COLUMNS = {
    "index": "int64",
    "area": "int64",
    "visible_area": "int64",
    "bbox_x0": "int64",
    "bbox_y0": "int64",
    "bbox_x1": "int64",
    "bbox_y1": "int64",
    "centroid_x": "float64",
    "centroid_y": "float64",
    "predicted_iou": "float64",
    "stability_score": "float64",
    "point_x": "float64",
    "point_y": "float64",
    "crop_x0": "int64",
    "crop_y0": "int64",
    "crop_x1": "int64",
    "crop_y1": "int64",
    "parent": "int64",
    "depth": "int64",
    "source": "str",
    "intensity_mean": "float64",
    "intensity_min": "float64",
    "intensity_max": "float64",
    "intensity_std": "float64",
    "eccentricity": "float64",
    "solidity": "float64",
    "perimeter": "float64",
    "equivalent_diameter": "float64",
    "touching_border": "bool",
}
PHYSICAL = {
    "area_um2": "area",
    "visible_area_um2": "visible_area",
    "equivalent_diameter_um": "equivalent_diameter",
    "perimeter_um": "perimeter",
    "delta_area_um2": "delta_area",
}
"""Columns in micrometres, and those in pixels that they are made of."""
SQUARE = 1e-3
"""Pixels whose sides differ by less are square."""


def object_table(
    masks: Sequence[Mask],
    labels: NDArray[np.integer],
    raw: NDArray[np.generic],
    pixel_size: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Measure every mask.

    Positions are in image pixels with the centre of the first pixel at (0, 0); boxes are
    half-open. Shapes are those of `skimage.measure.regionprops`, measured on the whole mask,
    also where another one covers it; ``visible_area`` counts the pixels it has in ``labels``.

    Parameters
    ----------
    masks
        Masks of one image, none empty; the label of a mask is its index plus 1.
    labels
        Label image (H, W) painted from them.
    raw
        Original image (H, W), of any real dtype. Intensities leave out what is not finite and
        are NaN where nothing else is left.
    pixel_size
        (height, width) of a pixel in micrometres; None where it is not known.

    Returns
    -------
    pandas.DataFrame
        The columns and dtypes of `COLUMNS`, also without any mask. ``index`` is the label,
        ``parent`` the label of the mask around it, or 0. Areas are in px², lengths in px; with
        a pixel size, those of `physical` follow.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask, paint
    >>> from napari_graysam.select import object_table
    >>> masks = [Mask(np.ones((3, 3), bool), (1, 1, 4, 4))]
    >>> table = object_table(masks, paint(masks, (6, 6)), np.eye(6))
    >>> table[["index", "area", "centroid_x", "intensity_max"]].iloc[0].tolist()
    [1.0, 9.0, 2.0, 1.0]
    """
    shape = (raw.shape[0], raw.shape[1])
    columns: dict[str, Any] = {
        "index": range(1, len(masks) + 1),
        "area": [mask.area for mask in masks],
        "visible_area": np.bincount(labels.ravel(), minlength=len(masks) + 1)[1:],
        "touching_border": [touches_border(mask, shape) for mask in masks],
        **measure_geometry(masks, list(GEOMETRY)),
        **_transposed([_model(mask) for mask in masks]),
        **_transposed([_intensity(raw[mask.slices][mask.bits]) for mask in masks]),
    }
    table = pd.DataFrame(
        {name: pd.Series(columns.get(name, ()), dtype=kind) for name, kind in COLUMNS.items()}
    )
    return physical(table, pixel_size)


def physical(table: pd.DataFrame, pixel_size: tuple[float, float] | None) -> pd.DataFrame:
    """Return a table with areas in µm² and lengths in µm as its last columns.

    Parameters
    ----------
    table
        Object table of an image or a comparison, or some of its columns.
    pixel_size
        (height, width) of a pixel in micrometres; None leaves the columns out.

    Returns
    -------
    pandas.DataFrame
        ``area_um2``, ``visible_area_um2`` and ``delta_area_um2``, ``equivalent_diameter_um``
        (of the disc with that area), and ``perimeter_um`` where pixels are square: one in pixels
        says nothing of others. What such columns held before is replaced.

    Examples
    --------
    >>> import pandas as pd
    >>> physical(pd.DataFrame({"area": [4]}), (0.5, 0.5)).iloc[0].to_dict()
    {'area': 4.0, 'area_um2': 1.0}
    """
    table = table.drop(columns=PHYSICAL, errors="ignore")
    if pixel_size is None:
        return table
    height, width = pixel_size
    factors = {
        "area": height * width,
        "visible_area": height * width,
        "delta_area": height * width,
        "equivalent_diameter": math.sqrt(height * width),
    }
    if math.isclose(height, width, rel_tol=SQUARE):
        factors["perimeter"] = width
    measured = {
        name: table[name].astype(np.float64) * factors[name]
        for name in PHYSICAL.values()
        if name in factors and name in table
    }
    return table.assign(**{new: measured[n] for new, n in PHYSICAL.items() if n in measured})


def column_values(
    masks: Sequence[Mask], column: str, raw: NDArray[np.generic] | None
) -> NDArray[np.float64]:
    """Measure one column of numbers of `object_table`, without the others.

    Parameters
    ----------
    masks
        Masks of one image, none empty.
    column
        Any but ``index``, ``visible_area``, ``source`` and ``touching_border``.
    raw
        Original image (H, W), for intensities; None where none is asked for.

    Returns
    -------
    float64 (N,)

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.masks import Mask
    >>> column_values([Mask(np.ones((1, 3), bool), (1, 0, 4, 1))], "intensity_max", np.eye(4))
    array([0.])
    """
    if column == "area":
        values: list[float] = [mask.area for mask in masks]
    elif column.startswith("intensity"):
        assert raw is not None
        values = [_intensity(raw[mask.slices][mask.bits])[column] for mask in masks]
    elif column in GEOMETRY:
        return measure_geometry(masks, [column])[column]
    else:
        values = [_model(mask)[column] for mask in masks]
    return np.array(values, np.float64)


def _model(mask: Mask) -> dict[str, Any]:
    """Collect what the generator says about a mask."""
    return {
        **dict(zip(("bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1"), mask.box, strict=True)),
        **dict(zip(("crop_x0", "crop_y0", "crop_x1", "crop_y1"), mask.crop_box, strict=True)),
        "predicted_iou": mask.predicted_iou,
        "stability_score": mask.stability,
        "point_x": mask.point[0],
        "point_y": mask.point[1],
        "parent": mask.parent + 1,
        "depth": mask.depth,
        "source": mask.source,
    }


def _intensity(values: NDArray[Any]) -> dict[str, float]:
    """Summarise the finite values inside a mask in float64."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    known = values.astype(np.float64)
    names = ("intensity_mean", "intensity_min", "intensity_max", "intensity_std")
    if known.size == 0:
        return dict.fromkeys(names, float("nan"))
    mean = float(known.sum()) / known.size
    spread = known - mean
    measured = (mean, known.min(), known.max(), np.sqrt(float(spread @ spread) / known.size))
    return dict(zip(names, map(float, measured), strict=True))


def _transposed(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
