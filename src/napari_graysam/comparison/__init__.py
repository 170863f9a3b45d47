"""Raw against preprocessed, and both against a ground truth."""

from napari_graysam.comparison.arms import (
    ARMS,
    CODES,
    Arm,
    Comparison,
    compare_labels,
    compare_masks,
)
from napari_graysam.comparison.changes import CHANGES, Change, Event, Rules, find_changes
from napari_graysam.comparison.matching import Overlaps, label_overlaps, mask_overlaps, match
from napari_graysam.comparison.metrics import IOU_THRESHOLDS, Scores, mean_scores, score
from napari_graysam.comparison.report import comparison_csv, comparison_figure, comparison_json

__all__ = [
    "ARMS",
    "CHANGES",
    "CODES",
    "IOU_THRESHOLDS",
    "Arm",
    "Change",
    "Comparison",
    "Event",
    "Overlaps",
    "Rules",
    "Scores",
    "compare_labels",
    "compare_masks",
    "comparison_csv",
    "comparison_figure",
    "comparison_json",
    "find_changes",
    "label_overlaps",
    "mask_overlaps",
    "match",
    "mean_scores",
    "score",
]
