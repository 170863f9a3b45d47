"""The size of a pixel, from every place where a file can tell it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

from napari_graysam.errors import ImageError
from napari_graysam.source.stored import Stored

if TYPE_CHECKING:
    from tifffile import TiffFile

MICROMETRES = {
    "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1.0, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4,
    "km": 1e9, "in": 25_400.0, "ft": 304_800.0, "pt": 25_400 / 72,
}  # fmt: skip
SPELLINGS = {
    "um": "µm", "micron": "µm", "microns": "µm", "micrometer": "µm", "micrometre": "µm",
    "micrometers": "µm", "micrometres": "µm", "nanometer": "nm", "nanometre": "nm",
    "nanometers": "nm", "millimeter": "mm", "millimetre": "mm", "millimeters": "mm",
    "centimeter": "cm", "meter": "m", "metre": "m", "inch": "in", "inches": "in",
    "angstrom": "Å", "\u212b": "Å",
}  # fmt: skip
PER_INCH, PER_CENTIMETRE = 2, 3
"""Values of TIFF's tag ResolutionUnit."""
PRINT = (1, 72, 75, 90, 96, 100, 120, 144, 150, 180, 192, 200, 240, 300, 350, 400, 600, 1200, 2400)
"""Dots per inch that programs write without having measured anything."""


class PixelSize(NamedTuple):
    """(height, width) of a pixel in a unit, both None where unknown, and notes about it."""

    size: tuple[float, float] | None = None
    unit: str | None = None
    notes: tuple[str, ...] = ()


def tiff_pixel_size(file: TiffFile, image: int) -> PixelSize:
    """Return the size of a pixel of one of a TIFF file's images, counted from 0."""
    if file.is_ome and file.ome_metadata:
        return _of_ome(file, image)
    tags = file.pages.first.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return PixelSize()
    x, y = (_ratio(tags[name].value) for name in ("XResolution", "YResolution"))
    about = file.imagej_metadata or {}
    if unit := about.get("unit"):
        return combined(_inverse(y), about.get("yunit", unit), _inverse(x), unit)
    which = tags["ResolutionUnit"].value if "ResolutionUnit" in tags else PER_INCH
    per_inch = {PER_INCH: 1.0, PER_CENTIMETRE: 2.54}.get(int(which))
    return PixelSize() if per_inch is None else of_dpi(y * per_inch, x * per_inch)


def of_dpi(y: float, x: float) -> PixelSize:
    """Return the size of a pixel from dots per inch, unless it is one of print or of screens.

    Examples
    --------
    >>> of_dpi(25400, 50800)
    PixelSize(size=(1.0, 0.5), unit='µm', notes=())
    >>> of_dpi(72, 72).size is None
    True
    """
    if not all(0 < value < math.inf for value in (x, y)):
        return PixelSize()
    if any(abs(value - dpi) < 0.5 for value in (x, y) for dpi in PRINT):
        note = (
            f"The file says {x:.4g} dots per inch, as programs write for print and screens; the "
            "size of a pixel is taken as unknown."
        )
        return PixelSize(notes=(note,))
    return PixelSize((MICROMETRES["in"] / y, MICROMETRES["in"] / x), "µm")


def combined(height: Any, height_unit: str, width: Any, width_unit: str) -> PixelSize:
    r"""Return height and width of a pixel in the unit of the width.

    A size that is no positive number, or is given in no unit of length, is unknown.

    Examples
    --------
    >>> combined("0.0005", "mm", "0.5", r"\u00B5m")
    PixelSize(size=(0.5, 0.5), unit='µm', notes=())
    >>> combined("0,5", "µm", "0,5", "µm").notes
    ("The file's pixel size is no positive number (0,5 × 0,5); taken as unknown.",)
    """
    units = unit_of(height_unit), unit_of(width_unit)
    sizes = _number(height), _number(width)
    if any(unit.startswith("pixel") or not unit for unit in units):
        return PixelSize()
    if not all(0 < size < math.inf for size in sizes):
        shown = " × ".join(f"{value:.60}" for value in map(str, (height, width)))
        note = f"The file's pixel size is no positive number ({shown}); taken as unknown."
        return PixelSize(notes=(note,))
    if units[0] == units[1]:
        return PixelSize(sizes, units[1])
    if not set(units) <= set(MICROMETRES):
        note = f"The units of the file's pixel size do not fit ({units[0]:.60}, {units[1]:.60})."
        return PixelSize(notes=(note + " It is taken as unknown.",))
    factor = MICROMETRES[units[0]] / MICROMETRES[units[1]]
    return PixelSize((float(f"{sizes[0] * factor:.12g}"), sizes[1]), units[1])


def checked_size(given: float | Sequence[float]) -> tuple[float, float]:
    """Return (height, width) of a pixel as someone gives it: both, or one for both.

    Raises
    ------
    ImageError
        A side is no positive number.

    Examples
    --------
    >>> checked_size(0.5), checked_size((0.5, 0.25))
    ((0.5, 0.5), (0.5, 0.25))
    """
    sides = (given, given) if isinstance(given, int | float) else tuple(given)
    numbers = tuple(map(_number, sides))
    if len(numbers) != 2 or not all(0 < side < math.inf for side in numbers):
        raise ImageError(
            f"A pixel size of {given} came; expected positive micrometres: one number, or height "
            "and width."
        )
    return numbers[0], numbers[1]


def given_size(size: tuple[float, float], stored: Stored) -> Stored:
    """Put a size in micrometres in the place of what a file says, with a note where they differ.

    Examples
    --------
    >>> import numpy as np
    >>> given_size((0.5, 0.5), Stored(np.eye(2), pixel_size=(2.0, 2.0), unit="µm")).size_notes
    ('The size of a pixel was given, 0.5 × 0.5 µm; the file says 2 × 2 µm.',)
    """
    notes: tuple[str, ...] = ()
    if stored.pixel_size is not None and (stored.pixel_size, stored.unit) != (size, "µm"):
        said = " × ".join(f"{side:g}" for side in stored.pixel_size)
        shown = " × ".join(f"{side:g}" for side in size)
        notes = (f"The size of a pixel was given, {shown} µm; the file says {said} {stored.unit}.",)
    return stored._replace(pixel_size=size, unit="µm", size_notes=notes)


def unit_of(text: str) -> str:
    r"""Return the usual sign of a unit: ``µm`` for ``um``, ``micron`` or ``\u00B5m``."""
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), str(text)).strip()
    plain = plain.replace("\u03bc", "µ").rstrip("\0")
    return SPELLINGS.get(plain.lower(), plain)


def _of_ome(file: TiffFile, image: int) -> PixelSize:
    """Return what OME says of one image, and of no other."""
    nodes = list(_pixels_nodes(file.ome_metadata or ""))
    if image >= len(nodes) or (len(nodes) != len(file.series) and len(nodes) > 1):
        return PixelSize()
    said = nodes[image]
    width, height = said.get("PhysicalSizeX"), said.get("PhysicalSizeY")
    if width is None and height is None:
        return PixelSize()
    units = said.get("PhysicalSizeYUnit", "µm"), said.get("PhysicalSizeXUnit", "µm")
    if width is None or height is None:
        one, unit = (height, units[0]) if width is None else (width, units[1])
        found = combined(one, unit, one, unit)
        note = "The file gives one side of a pixel only; taken as square."
        return found._replace(notes=(*found.notes, note)) if found.size else found
    return combined(height, units[0], width, units[1])


def tiff_spacing(file: TiffFile, image: int) -> dict[str, float]:
    """Return the distance of planes as a TIFF file tells it: ``z`` in µm, ``t`` in seconds."""
    found: dict[str, float] = {}
    if file.is_ome and file.ome_metadata:
        nodes = list(_pixels_nodes(file.ome_metadata))
        said = nodes[image] if image < len(nodes) else {}
        depth, unit = said.get("PhysicalSizeZ"), said.get("PhysicalSizeZUnit", "µm")
        interval, seconds = said.get("TimeIncrement"), said.get("TimeIncrementUnit", "s")
    else:
        about = file.imagej_metadata or {}
        depth, unit = about.get("spacing"), about.get("zunit", about.get("unit", ""))
        interval, seconds = about.get("finterval"), "s"
    steps = {
        "z": _number(depth) * MICROMETRES.get(unit_of(unit), math.nan),
        "t": _number(interval) * {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}.get(seconds, 0),
    }
    for axis, step in steps.items():
        if 0 < step < math.inf:
            found[axis] = step
    return found


def _pixels_nodes(text: str) -> Iterable[dict[str, str]]:
    for node in ElementTree.fromstring(text):
        if node.tag.endswith("Image"):
            yield from (part.attrib for part in node if part.tag.endswith("Pixels"))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _ratio(value: Any) -> float:
    """Return a rational number of TIFF, NaN where it is none."""
    try:
        over, under = value
        return float(over) / float(under)
    except (TypeError, ValueError, ZeroDivisionError):
        return math.nan


def _inverse(value: float) -> float:
    return 1 / value if value else math.nan
