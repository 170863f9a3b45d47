"""The diameter of an object, from its area or its outline."""

from __future__ import annotations

import math
from collections.abc import Sequence


def disc_diameter(area: float) -> float:
    """Return the diameter of the disc with an area, both in pixels.

    Examples
    --------
    >>> round(disc_diameter(math.pi * 100), 6)
    20.0
    """
    return 2 * math.sqrt(area / math.pi)


def polygon_area(corners: Sequence[tuple[float, float]]) -> float:
    """Return the area inside a polygon that does not cross itself.

    Parameters
    ----------
    corners
        ``(x, y)``, in pixels, at least three.

    Examples
    --------
    >>> polygon_area([(0, 0), (4, 0), (4, 3), (0, 3)])
    12.0
    """
    following = [*corners[1:], corners[0]]
    twice = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(corners, following, strict=True))
    return abs(twice) / 2
