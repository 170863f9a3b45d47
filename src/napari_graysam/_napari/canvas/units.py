"""Between the units of layers and those of napari's world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pint


def factors(units: Sequence[pint.Unit], into: Sequence[pint.Unit] | None) -> NDArray[np.float64]:
    """Return what coordinates are multiplied with to be in other units.

    Parameters
    ----------
    units
        Of the coordinates, one for each axis.
    into
        The other units, of which the last ones count; None for the same.

    Returns
    -------
    float64 (n,)
        Ones where some axis cannot be converted, such as pixels to micrometres: napari then
        draws the numbers as they are, too.
    """
    from pint import DimensionalityError

    if into is None:
        return np.ones(len(units))
    pairs = zip(units, into[-len(units) :], strict=True)
    try:
        return np.array([float((1 * one).to(f"{other}").magnitude) for one, other in pairs])
    except DimensionalityError:
        return np.ones(len(units))


def unit_text(units: Sequence[pint.Unit]) -> str:
    """Write the units of some axes, once if they are all the same: ``µm``."""
    return " × ".join(dict.fromkeys(f"{unit:~P}" for unit in units))


def pixel_size(
    scale: Sequence[float], units: Sequence[pint.Unit]
) -> tuple[tuple[float, float] | None, str | None]:
    """Return (height, width) of a pixel and their unit, as files hold them.

    Parameters
    ----------
    scale, units
        Of a layer's rows and columns.

    Returns
    -------
    tuple
        Both in the unit of the columns; (None, None) for bare pixels, and unit ``"pixel"`` for
        scaled ones that have no physical size.
    """
    height, width = (float(size) for size in scale)
    rows, columns = units
    if columns.dimensionless or f"{columns}" == "pixel":
        return (None, None) if height == width == 1 else ((height, width), "pixel")
    if rows != columns:
        height *= float(factors([rows], [columns])[0])
    return (height, width), f"{columns:~}"
