"""One colour for each object, the same for the same object in both arms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks.overlay import PALETTE

if TYPE_CHECKING:
    from napari.utils.colormaps import CyclicLabelColormap

    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.results import Segmentation

SAME = 0.5
"""Objects of both arms that overlap by at least this IoU have one colour."""
SAMPLED = 2**19
"""Pixels from which on only some rows are compared: colours follow a moving slider."""
_SPARE = 50
_ODD = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64
)

_FOLLOWING: tuple[tuple[Shown, Shown], ...] = (
    ("raw", "preprocessed"),
    ("preprocessed", "combined"),
    ("raw", "combined"),
)

Positions = NDArray[np.intp]


def object_colors(results: Mapping[Shown, Segmentation]) -> dict[Shown, Positions]:
    """Choose a place in the palette for every object.

    An object keeps its colour while thresholds around it change: the colour follows from its
    box. One of the preprocessed arm takes the colour of the raw object that it matches, and one
    of both arms together that of the arm which it matches.

    Parameters
    ----------
    results
        Of one or both arms of one image, and of both together.

    Returns
    -------
    dict
        By arm, intp (N,) in ``[0, PALETTE)``, for labels 1 to N.
    """
    colors: dict[Shown, Positions] = {}
    for arm, result in results.items():
        boxes = np.array([mask.box for mask in result.masks], np.uint64).reshape(-1, 4)
        colors[arm] = _scattered(boxes)
    for one, other in _FOLLOWING:
        if one in results and other in results:
            _follow(colors, one, other, results[one].labels, results[other].labels)
    return colors


def _follow(
    colors: dict[Shown, Positions],
    one: Shown,
    other: Shown,
    labels: NDArray[np.uint32],
    other_labels: NDArray[np.uint32],
) -> None:
    """Give the objects of one result the colours of those of another that they match."""
    from napari_graysam.masks import label_overlaps, match

    if labels.shape != other_labels.shape:
        return
    rows = slice(None, None, max(1, labels.size // SAMPLED))
    first, second, overlaps = label_overlaps(labels[rows], other_labels[rows])
    pairs = match(overlaps, SAME)
    colors[other][second[overlaps.b[pairs]] - 1] = colors[one][first[overlaps.a[pairs]] - 1]


def _scattered(boxes: NDArray[np.uint64]) -> Positions:
    """Hash boxes to places: products with odd numbers, of which the high bits are well mixed."""
    mixed = np.sum(boxes * _ODD, axis=1, dtype=np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * _ODD[0]
    return np.asarray((mixed >> np.uint64(40)) % np.uint64(PALETTE), np.intp)


def colormap(positions: Positions) -> CyclicLabelColormap:
    """Return a colormap in which label i has the colour at ``positions[i - 1]``.

    A cycle as long as there are objects needs no lookup by label, as a direct colormap does.
    Labels painted later have spare colours.
    """
    from napari.utils.colormaps import CyclicLabelColormap

    spare = np.arange(_SPARE) % PALETTE
    chosen = np.concatenate([positions, spare])[: 2**16 - 1]
    return CyclicLabelColormap(
        colors=np.concatenate([np.zeros((1, 4), np.float32), palette()[chosen]]),
        background_value=0,
    )


@cache
def palette() -> NDArray[np.float32]:
    """Colours of the overlay pictures, opaque, float32 (PALETTE, 4).

    Some of napari's own are near gray or black, and look unmasked on a gray image.
    """
    from napari_graysam.masks import overlay

    return np.pad(overlay.palette() / np.float32(255), ((0, 0), (0, 1)), constant_values=1)
