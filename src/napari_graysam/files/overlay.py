"""Pictures of an image with its objects in colour."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.masks.overlay import overlay_rgb

SMALLEST, LARGEST = 512, 2048
"""Longer side of a picture in pixels."""
COMPRESSION = 3
"""Of the PNG, of 9: twice as fast as the usual 6, and photographs become no larger."""


def write_overlay(
    path: str | os.PathLike[str], view: NDArray[np.uint8], labels: NDArray[np.integer]
) -> None:
    """Write a PNG of the view with filled, outlined objects.

    Pictures smaller than 512 pixels are enlarged by a whole number, each pixel to a square; those
    larger than 2048 pixels are reduced by a whole number.

    Parameters
    ----------
    path
        The PNG file to write.
    view
        (H, W, 3) uint8 RGB.
    labels
        (H, W), 0 for background.

    Raises
    ------
    OutputError
        The file cannot be written.

    See Also
    --------
    overlay_rgb : The picture as an array.

    Examples
    --------
    >>> import numpy as np
    >>> from PIL import Image
    >>> write_overlay("cells.png", np.zeros((8, 8, 3), np.uint8), np.eye(8, dtype=int))
    >>> with Image.open("cells.png") as picture:
    ...     picture.size
    (512, 512)
    """
    from PIL import Image

    times = -(-SMALLEST // max(labels.shape))
    view, labels = _reduced(view, labels)
    enlarged = view.repeat(times, axis=0).repeat(times, axis=1)
    picture = overlay_rgb(
        enlarged, labels.repeat(times, axis=0).repeat(times, axis=1), width=min(times, 2)
    )
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", compress_level=COMPRESSION)


def _reduced(
    view: NDArray[np.uint8], labels: NDArray[np.integer]
) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """Return means of the view's blocks, and the label in the middle of each block."""
    import cv2

    step = -(-max(labels.shape) // LARGEST)
    if step < 2:
        return view, labels
    rows, columns = (
        np.minimum(np.arange(step // 2, side + step // 2, step), side - 1) for side in labels.shape
    )
    means = cv2.resize(view, (columns.size, rows.size), interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.uint8), labels[np.ix_(rows, columns)]
