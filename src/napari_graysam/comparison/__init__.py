"""Raw against preprocessed, and both against a ground truth."""

from napari_graysam.comparison.arms import Comparison, compare_labels, compare_masks
from napari_graysam.comparison.changes import (
    CHANGES,
    CODES,
    COLORS,
    Change,
    Event,
    find_changes,
)
from napari_graysam.comparison.events import event_table
from napari_graysam.comparison.metrics import IOU_THRESHOLDS, Scores, mean_scores, score
from napari_graysam.comparison.plots import PlotStyle, draw_areas, draw_ious, draw_scores
from napari_graysam.comparison.report import (
    comparison_csv,
    comparison_figure,
    comparison_json,
)
from napari_graysam.comparison.rules import Rules
from napari_graysam.comparison.stacks import StackComparison, compare_volumes
from napari_graysam.comparison.summary import event_box, matched_pairs, score_table
from napari_graysam.comparison.tracking import TrackScores, score_tracks
from napari_graysam.comparison.volumes import VolumeScores, score_volume
from napari_graysam.masks import ARMS, Arm

__all__ = [
    "ARMS",
    "CHANGES",
    "CODES",
    "COLORS",
    "IOU_THRESHOLDS",
    "Arm",
    "Change",
    "Comparison",
    "Event",
    "PlotStyle",
    "Rules",
    "Scores",
    "StackComparison",
    "TrackScores",
    "VolumeScores",
    "compare_labels",
    "compare_masks",
    "compare_volumes",
    "comparison_csv",
    "comparison_figure",
    "comparison_json",
    "draw_areas",
    "draw_ious",
    "draw_scores",
    "event_box",
    "event_table",
    "find_changes",
    "matched_pairs",
    "mean_scores",
    "score",
    "score_table",
    "score_tracks",
    "score_volume",
]
