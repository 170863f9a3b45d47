"""Synthetic micrographs with exact instance labels, made to train the bundled model.

Every image is drawn from a random generator alone: the same seed gives the same image. numpy and
OpenCV only; a 256 × 256 image takes some milliseconds of one core.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cells
import grains
import numpy as np
import walls
from fields import Floats
from optics import annotate, degrade
from shapes import Labels, Shape, renumber

Painter = Callable[[np.random.Generator, Shape], tuple[Floats, Labels]]


class Kind(NamedTuple):
    """A modality: who paints it, how often, and how often it bears a scale bar or a letter."""

    paint: Painter
    share: float
    annotated: float = 0.04


def micrograph(
    rng: np.random.Generator, shape: Shape = (256, 256), kind: str | None = None
) -> tuple[Floats, Labels]:
    """Draw one synthetic micrograph.

    Parameters
    ----------
    rng
        The only source of randomness.
    shape
        (H, W), each at least 32.
    kind
        One of `KINDS`; None chooses one at random.

    Returns
    -------
    image
        float32 (H, W) in [0, 1].
    labels
        int32 (H, W), 0 is background, objects are numbered from 1 and have at least 12 pixels.

    Raises
    ------
    ValueError
        If ``kind`` is unknown.
    """
    if kind is None:
        kind = str(rng.choice(KINDS, p=[k.share for k in _KINDS.values()]))
    if kind not in _KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
    image, labels = _KINDS[kind].paint(rng, shape)
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    image = degrade(rng, np.ascontiguousarray(image))
    if rng.random() < _KINDS[kind].annotated:
        image, labels = annotate(rng, image, labels)
    return image, np.ascontiguousarray(renumber(labels)[0])


def nested_micrograph(rng: np.random.Generator, shape: Shape = (256, 256)) -> tuple[Floats, Labels]:
    """Draw a synthetic micrograph of objects with parts: nuclei in cells, cores in particles.

    Parameters
    ----------
    rng
        The only source of randomness.
    shape
        (H, W), each at least 32.

    Returns
    -------
    image
        float32 (H, W) in [0, 1].
    labels
        int32 (2, H, W): whole objects and their parts; 0 is background.
    """
    image, wholes, parts = cells.cells_with_nuclei(rng, shape)
    return degrade(rng, image), np.stack([renumber(wholes)[0], renumber(parts)[0]])


_KINDS = {
    "nuclei": Kind(cells.nuclei, 0.10),
    "dark_blobs": Kind(grains.dark_blobs, 0.07, 0.4),
    "rings": Kind(cells.rings, 0.05),
    "phase_cells": Kind(cells.phase_cells, 0.10),
    "relief": Kind(cells.relief, 0.06),
    "membranes": Kind(cells.membranes, 0.10),
    "particles": Kind(grains.particles, 0.10, 0.35),
    "electron_tissue": Kind(grains.electron_tissue, 0.12, 0.15),
    "stained": Kind(cells.stained, 0.09),
    "faint": Kind(grains.faint, 0.03),
    "empty": Kind(grains.empty, 0.01),
    "walls": Kind(walls.walls, 0.06),
    "rubble": Kind(walls.rubble, 0.07),
    "slabs": Kind(walls.slabs, 0.04),
}

KINDS = tuple(_KINDS)
"""Names of the modalities that `micrograph` imitates."""
