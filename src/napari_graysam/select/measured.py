"""Filters on what is measured of objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ProposalsError
from napari_graysam.masks import Mask
from napari_graysam.recipe.filters import ColumnFilter
from napari_graysam.select.table import column_values


def values_of(masks: Sequence[Mask], column: str, raw: NDArray[Any] | None) -> NDArray[np.float64]:
    """Measure one column of the object table, float64 (N,).

    Parameters
    ----------
    masks
        Of one image.
    column
        A name that `ColumnFilter` knows.
    raw
        The original image (H, W); None where it is not known.

    Raises
    ------
    ProposalsError
        If intensities are asked for and the image is not known.
    """
    if raw is None and column.startswith("intensity"):
        raise ProposalsError(
            f"labels.filters asks for {column}, but only proposals came: give the gray values "
            "they were made from, too (raw)"
        )
    return column_values(masks, column, raw)


def in_ranges(
    masks: Sequence[Mask], filters: Sequence[ColumnFilter], raw: NDArray[Any] | None
) -> NDArray[np.bool_]:
    """Tell which masks lie in the range of every filter, bool (N,).

    Both limits belong to the range. What cannot be measured (NaN) lies in no range with a limit.
    Pinned masks always pass. Parameters and errors are those of `values_of`.
    """
    inside = np.ones(len(masks), bool)
    for one in filters:
        values = values_of(masks, one.column, raw)
        if one.minimum is not None:
            inside &= values >= one.minimum
        if one.maximum is not None:
            inside &= values <= one.maximum
    inside |= np.array([mask.pinned for mask in masks], bool)
    return inside
