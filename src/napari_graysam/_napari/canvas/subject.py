"""What a result is of: an image layer, a plane of it, and the layer that limits the points."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Subject:
    """What is segmented; every result belongs to one.

    Attributes
    ----------
    layer
        Unique id of the image layer.
    plane
        Which part of it, in words; empty for an image of one plane.
    region
        Unique id of the layer that limits the points; None for the whole plane.
    title
        The names of layer, plane and region when it was read.
    """

    layer: Hashable
    plane: str
    region: Hashable | None
    title: str = field(default="", compare=False)
