"""Masks: bits inside a box, which mask is which, label images and run lengths."""

from napari_graysam.masks.hierarchy import Level, at_level, nest, subset
from napari_graysam.masks.label_boxes import BoxSum
from napari_graysam.masks.mask import ARMS, Arm, Box, Mask
from napari_graysam.masks.matching import match
from napari_graysam.masks.overlap import (
    Overlaps,
    label_overlaps,
    mask_iou,
    mask_overlaps,
    shared_pixels,
)
from napari_graysam.masks.painting import Overlap, label_masks, paint, separate
from napari_graysam.masks.plane_overlaps import OverlapSum
from napari_graysam.masks.regions import (
    fill_holes,
    remove_islands,
    remove_small_regions,
    touches_border,
)

__all__ = [
    "ARMS",
    "Arm",
    "Box",
    "BoxSum",
    "Level",
    "Mask",
    "Overlap",
    "OverlapSum",
    "Overlaps",
    "at_level",
    "fill_holes",
    "label_masks",
    "label_overlaps",
    "mask_iou",
    "mask_overlaps",
    "match",
    "nest",
    "paint",
    "remove_islands",
    "remove_small_regions",
    "separate",
    "shared_pixels",
    "subset",
    "touches_border",
]
