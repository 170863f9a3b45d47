"""What OME-Zarr says of labels: a colour and a row of measurements for each."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MOST_DESCRIBED = 500_000
"""Labels that the metadata describe, all or none: every reader loads these as a whole."""
GOLDEN = (5**0.5 - 1) / 2


def image_label(
    values: Sequence[int],
    source: str,
    table: pd.DataFrame | None = None,
    *,
    version: str | None = None,
) -> dict[str, Any]:
    """Return ``image-label`` of OME-Zarr.

    Parameters
    ----------
    values
        The labels that occur, from 1 on.
    source
        Relative path of the image.
    table
        Measurements; its column ``index`` is the label.
    version
        Of OME-Zarr, where the labels themselves state it (0.4).

    Returns
    -------
    dict
        Colours and properties of all labels, the background among them: napari takes the row
        of a label from its number, so row 0 must be there, and every number up to the last.
        Of more than `MOST_DESCRIBED` labels there are neither.

    Examples
    --------
    >>> about = image_label([1, 2], "../../")
    >>> [one["label-value"] for one in about["colors"]], about["properties"][2]
    ([0, 1, 2], {'label-value': 2})
    """
    about: dict[str, Any] = {"source": {"image": source}}
    if version is not None:
        about["version"] = version
    last = max(values, default=0)
    if last > MOST_DESCRIBED:
        return about
    rows = _rows(table)
    about["colors"] = [{"label-value": n, "rgba": colour(n)} for n in range(last + 1)]
    about["properties"] = [{"label-value": n, **rows.get(n, {})} for n in range(last + 1)]
    return about


def colour(label: int) -> list[int]:
    """Return red, green, blue and opacity of a label, 0 to 255; neighbours in number differ.

    Examples
    --------
    >>> colour(0), colour(1) != colour(2)
    ([0, 0, 0, 0], True)
    """
    if label == 0:
        return [0, 0, 0, 0]
    hue = label * GOLDEN % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.6 + 0.4 * (label % 2), 1 - 0.15 * (label % 3))
    return [round(255 * red), round(255 * green), round(255 * blue), 255]


def _rows(table: pd.DataFrame | None) -> dict[int, dict[str, Any]]:
    """Return the measurements of every label in JSON's types; None where there is none.

    There is no column ``index``: one reader of napari adds it, and cannot take a second one.
    """
    if table is None or "index" not in table:
        return {}
    labels = table["index"].tolist()
    columns = {
        str(name): [_plain(value) for value in table[name].tolist()]
        for name in table.columns
        if name != "index"
    }
    return {
        int(label): {name: column[row] for name, column in columns.items()}
        for row, label in enumerate(labels)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
