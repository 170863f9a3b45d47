"""The object table of a label image, which may have been edited since its table was made."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_graysam.masks import Mask, label_masks
from napari_graysam.select.table import object_table, physical

MEASURED = (
    "index", "area", "visible_area", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "centroid_x",
    "centroid_y", "eccentricity", "solidity", "perimeter", "equivalent_diameter", "touching_border",
)  # fmt: skip
"""Columns that labels alone tell."""


def label_table(
    labels: NDArray[np.integer],
    table: pd.DataFrame | None = None,
    pixel_size: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Return what is known of the objects in a label image, measured where it is not.

    Parameters
    ----------
    labels
        (H, W) integers, 0 is background.
    table
        What is known already, with the label as column ``index``. Rows of an object table whose
        ``visible_area`` is still that of the labels stay as they are; other objects are
        measured anew, without what labels do not tell, and those that were erased are left out.
        Of any other table, all columns are kept beside the measured ones.
    pixel_size
        (height, width) of a pixel in micrometres; None where it is not known.

    Returns
    -------
    pandas.DataFrame
        A row for each object, by label; columns as of `object_table`.

    Examples
    --------
    >>> import numpy as np
    >>> label_table(np.array([[0, 7, 7]]), pixel_size=(2, 2))[["index", "area", "area_um2"]]
       index  area  area_um2
    0      7     2       8.0
    """
    if table is None or "visible_area" not in table:
        measured = _measured(labels, *label_masks(labels))
        if table is not None and len(table.columns.drop("index")):
            kept = table.drop(columns=[*measured.columns.drop("index")], errors="ignore")
            measured = measured.merge(kept, how="left", on="index")
        return physical(measured, pixel_size)
    numbers, counts = np.unique(labels[labels != 0], return_counts=True)
    seen = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    rows = zip(table["index"].tolist(), table["visible_area"].tolist(), strict=True)
    kept = table[[seen.get(label, 0) == area for label, area in rows]]
    known = set(kept["index"].tolist())
    if not seen.keys() <= known:
        masks, found = label_masks(np.where(np.isin(labels, list(known)), 0, labels))
        new = _measured(labels, masks, found)
        whole = [name for name in kept if kept[name].dtype.kind in "iu" and name not in new]
        kept = kept.astype(dict.fromkeys(whole, "Int64"))
        kept = pd.concat([kept, new[[name for name in kept if name in new]]], ignore_index=True)
    kept = kept.sort_values("index", kind="stable", ignore_index=True)
    return physical(kept, pixel_size)


def _measured(
    labels: NDArray[np.integer], masks: tuple[Mask, ...], found: tuple[int, ...]
) -> pd.DataFrame:
    numbered = np.zeros(labels.shape, np.uint8)
    table = object_table(masks, numbered, numbered)[list(MEASURED)]
    return table.assign(index=np.array(found, np.int64), visible_area=table["area"])
