"""What a file holds, before it becomes gray values."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray


class Stored(NamedTuple):
    """What a file holds.

    ``axes`` are known from its metadata or None; ``pixel_size`` is (height, width) of a pixel in
    ``unit``, or None; ``notes`` tell what was left out; ``palette`` tells that the pixels are
    colours of a palette.
    """

    array: NDArray[Any]
    axes: str | None = None
    pixel_size: tuple[float, float] | None = None
    unit: str | None = None
    notes: tuple[str, ...] = ()
    palette: bool = False
