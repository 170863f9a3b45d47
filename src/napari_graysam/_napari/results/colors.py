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

    from napari_graysam.results import Arm, Segmentation

SAME = 0.5
"""Objects of both arms that overlap by at least this IoU have one colour."""
SAMPLED = 2**19
"""Pixels from which on only some rows are compared: colours follow a moving slider."""
_SPARE = 50
_ODD = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64
)

Positions = NDArray[np.intp]


def object_colors(results: Mapping[Arm, Segmentation]) -> dict[Arm, Positions]:
    """Choose a place in the palette for every object.

    An object keeps its colour while thresholds around it change: the colour follows from its
    box. One of the preprocessed arm takes the colour of the raw object that it matches.

    Parameters
    ----------
    results
        Of one or both arms of one image.

    Returns
    -------
    dict
        By arm, intp (N,) in ``[0, PALETTE)``, for labels 1 to N.
    """
    from napari_graysam.masks import label_overlaps, match

    colors: dict[Arm, Positions] = {}
    for arm, result in results.items():
        boxes = np.array([mask.box for mask in result.masks], np.uint64).reshape(-1, 4)
        colors[arm] = _scattered(boxes)
    if len(results) == 2 and results["raw"].labels.shape == results["preprocessed"].labels.shape:
        raw_labels, other_labels = results["raw"].labels, results["preprocessed"].labels
        rows = slice(None, None, max(1, raw_labels.size // SAMPLED))
        raw, other, overlaps = label_overlaps(raw_labels[rows], other_labels[rows])
        pairs = match(overlaps, SAME)
        of_raw = colors["raw"][raw[overlaps.a[pairs]] - 1]
        colors["preprocessed"][other[overlaps.b[pairs]] - 1] = of_raw
    return colors


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
