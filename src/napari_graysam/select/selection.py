"""One selection with all its steps: who passed, who was dropped, by which filter, by whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import Mask
from napari_graysam.propose import Proposals
from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select.overlaps import OverlapTable
from napari_graysam.select.shapes import Indices, Shapes

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Selection:
    """What became of every candidate.

    Attributes
    ----------
    generator, labels
        What was asked for.
    scored
        The proposals, measured at the wanted cut.
    cut, compared, cleaned
        Shapes: as cut; with small regions removed, as compared with each other; as objects.
    pinned, passed_iou, passed_stability, cut_off
        bool (N,): kept by the recipe; past the thresholds; dropped at a crop's edge.
    pairs
        Overlaps as duplicates are recognised by.
    duplicate_of
        intp (2, N), who dropped a candidate within its crop and between crops; -1 for nobody.
    survivors
        Candidates that are no duplicates, best first.
    sized
        Those of them that cleaning, size and border leave.
    nested
        Their masks, with parent and depth.
    level
        Positions in `sized` that the nesting level leaves.
    selected
        The candidates that are objects; label ``i`` is ``selected[i - 1]``.
    masks
        Their masks.
    """

    generator: GeneratorOptions
    labels: LabelOptions
    scored: Proposals
    cut: Shapes
    compared: Shapes
    cleaned: Shapes
    pinned: Flags
    passed_iou: Flags
    passed_stability: Flags
    cut_off: Flags
    pairs: OverlapTable
    duplicate_of: Indices
    survivors: Indices
    sized: Indices
    nested: tuple[Mask, ...]
    level: list[int]
    selected: Indices
    masks: tuple[Mask, ...]


def threshold_of(generator: GeneratorOptions, labels: LabelOptions, between: bool) -> float:
    """Return the overlap beyond which candidates are duplicates."""
    if labels.suppression != "box":
        return labels.suppression_thresh
    return generator.crop_nms_thresh if between else generator.box_nms_thresh
