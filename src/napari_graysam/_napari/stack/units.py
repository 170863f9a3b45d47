"""How far apart the planes of a layer are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.placement import Placement


def plane_spacing(placement: Placement, along: int, axis: str) -> float | None:
    """Return the distance of planes in µm (z) or seconds (t); None where the layer has none."""
    from pint import DimensionalityError

    units = placement.options.get("units")
    if units is None:
        return None
    try:
        factor = (1 * units[along]).to("second" if axis == "t" else "micrometer").magnitude
    except DimensionalityError:
        return None
    spacing = float(placement.options["scale"][along]) * float(factor)
    return spacing if spacing > 0 else None
