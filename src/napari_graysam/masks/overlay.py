"""Label images as colours over a picture: translucent inside, opaque on outlines."""

from __future__ import annotations

import colorsys
from functools import cache

import numpy as np
from numpy.typing import NDArray

PALETTE = 256
"""Number of colours, which repeat with the labels."""
FILL = 0.3
"""Opacity of the colour inside an object."""
LIGHTNESS = (0.35, 0.65)
"""Range of the colours' luminance, so that outlines show on black and on white."""
TURN = 0.6180339887498949
"""Golden ratio: successive labels get hues as far apart as can be."""


def overlay_rgb(
    view: NDArray[np.uint8], labels: NDArray[np.integer], *, width: int = 1
) -> NDArray[np.uint8]:
    """Colour the objects of a view: transparent inside, opaque on their outline.

    Parameters
    ----------
    view
        (H, W, 3) uint8 RGB.
    labels
        (H, W), 0 for background.
    width
        Of the outline, in pixels inside the object.

    Returns
    -------
    ndarray
        (H, W, 3) uint8; background as in the view.

    See Also
    --------
    napari_graysam.files.write_overlay : Writes the picture.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.files import overlay_rgb
    >>> picture = overlay_rgb(np.zeros((8, 8, 3), np.uint8), np.eye(8, dtype=int))
    >>> picture[0, 1].tolist(), bool(picture[0, 0].any())
    ([0, 0, 0], True)
    """
    import cv2

    picture = np.array(view, order="C")
    if labels.size == 0:
        return picture
    outline = outlines(labels)
    for _ in range(width - 1):
        outline |= outlines(np.where(outline, 0, labels))
    inside = (labels > 0) & ~outline
    colours = palette()[labels % PALETTE]
    mixed = cv2.addWeighted(colours, FILL, picture, 1 - FILL, 0)
    cv2.copyTo(mixed, inside.view(np.uint8), picture)
    cv2.copyTo(colours, outline.view(np.uint8), picture)
    return picture


def outlines(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels of objects with a neighbour (4-connected) of another object or background."""
    edge = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge & (labels > 0)


@cache
def palette() -> NDArray[np.uint8]:
    """Return the colours of labels, uint8 (PALETTE, 3): vivid, none near gray, black or white."""
    return np.array([_colour(number) for number in range(PALETTE)], np.uint8)


def _colour(number: int) -> tuple[int, ...]:
    """Vivid colour of middling luminance (ITU-R BT.709)."""
    rgb = np.array(colorsys.hsv_to_rgb(number * TURN % 1, 0.9, 1.0))
    luminance = float(rgb @ (0.2126, 0.7152, 0.0722))
    wanted = float(np.clip(luminance, *LIGHTNESS))
    if luminance > wanted:
        rgb *= wanted / luminance
    else:
        rgb += (1 - rgb) * (wanted - luminance) / (1 - luminance)
    return tuple(round(float(value) * 255) for value in rgb)
