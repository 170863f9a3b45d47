"""Physical lengths: from the units that files and layers name to micrometres."""

from __future__ import annotations

MICROMETRES = {
    "m": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "µm": 1.0,
    "nm": 1e-3,
    "Å": 1e-4,
    "pm": 1e-6,
    "in": 25_400.0,
}
"""Micrometres in a unit."""
_NAMES = {
    "um": "µm",
    "\u03bcm": "µm",
    "\\u00b5m": "µm",
    "micron": "µm",
    "microns": "µm",
    "micrometer": "µm",
    "micrometre": "µm",
    "nanometer": "nm",
    "nanometre": "nm",
    "millimeter": "mm",
    "millimetre": "mm",
    "centimeter": "cm",
    "centimetre": "cm",
    "meter": "m",
    "metre": "m",
    "angstrom": "Å",
    "\u212b": "Å",
    "picometer": "pm",
    "picometre": "pm",
    "inch": "in",
}


def in_micrometres(
    pixel_size: tuple[float, float] | None, unit: str | None
) -> tuple[float, float] | None:
    """Return (height, width) of a pixel in micrometres.

    Parameters
    ----------
    pixel_size
        (height, width) of a pixel in ``unit``; None where it is not known.
    unit
        As a file or a layer names it; None for micrometres, the default of OME.

    Returns
    -------
    tuple or None
        None where the size or the unit is no physical one.

    Examples
    --------
    >>> in_micrometres((250, 500), "nm")
    (0.25, 0.5)
    >>> in_micrometres((2, 2), "pixel") is None
    True
    """
    if pixel_size is None:
        return None
    factor = 1.0 if unit is None else MICROMETRES.get(_NAMES.get(unit, unit))
    height, width = pixel_size
    if factor is None or not (0 < height < float("inf") and 0 < width < float("inf")):
        return None
    return height * factor, width * factor
