"""What a file holds, before it becomes gray values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TURNED = {
    2: "mirrored left to right",
    3: "turned by 180°",
    4: "mirrored top to bottom",
    5: "mirrored along its diagonal",
    6: "turned by 90° clockwise",
    7: "mirrored along its other diagonal",
    8: "turned by 90° counter-clockwise",
}
"""What the values of the orientation tag of TIFF and EXIF ask for; 1 is upright."""


class Stored(NamedTuple):
    """What a file holds.

    ``axes`` are known from its metadata or None; ``pixel_size`` is (height, width) of a pixel in
    ``unit``, or None; ``notes`` tell what was left out or changed, ``size_notes`` what is wrong
    with the pixel size; ``palette`` tells that the
    pixels are colours of a palette; ``orientation`` is the file's tag, which ``array`` follows.
    """

    array: NDArray[Any]
    axes: str | None = None
    pixel_size: tuple[float, float] | None = None
    unit: str | None = None
    notes: tuple[str, ...] = ()
    palette: bool = False
    orientation: int = 1
    size_notes: tuple[str, ...] = ()

    def upright(self, orientation: int) -> Stored:
        """Return this as an orientation tag asks for: rows, columns and pixel size exchanged.

        Examples
        --------
        >>> import numpy as np
        >>> Stored(np.array([[1, 2, 3]]), "YX").upright(6).array.tolist()
        [[1], [2], [3]]
        """
        if orientation not in TURNED:
            return self
        axes = self.axes or "YX"
        array, y, x = self.array, axes.index("Y"), axes.index("X")
        size = self.pixel_size
        if orientation >= 5:
            array = array.swapaxes(y, x)
            size = size and size[::-1]
        flipped = [
            axis for axis, tags in ((y, (3, 4, 7, 8)), (x, (2, 3, 6, 7))) if orientation in tags
        ]
        note = f"The image was {TURNED[orientation]}, as its orientation tag asks."
        return self._replace(
            array=np.flip(array, tuple(flipped)),
            pixel_size=size,
            notes=(*self.notes, note),
            orientation=orientation,
        )
