"""Raw against preprocessed, and both against a ground truth."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_graysam.masks import ARMS, Arm

if TYPE_CHECKING:
    from napari_graysam.comparison.arms import Comparison, compare_labels, compare_masks
    from napari_graysam.comparison.changes import (
        CHANGES,
        CODES,
        COLORS,
        Change,
        Event,
        Rules,
        find_changes,
    )
    from napari_graysam.comparison.metrics import IOU_THRESHOLDS, Scores, mean_scores, score
    from napari_graysam.comparison.plots import PlotStyle, draw_areas, draw_ious, draw_scores
    from napari_graysam.comparison.report import (
        comparison_csv,
        comparison_figure,
        comparison_json,
    )
    from napari_graysam.comparison.summary import event_box, matched_pairs, score_table

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
    "compare_labels",
    "compare_masks",
    "comparison_csv",
    "comparison_figure",
    "comparison_json",
    "draw_areas",
    "draw_ious",
    "draw_scores",
    "event_box",
    "find_changes",
    "matched_pairs",
    "mean_scores",
    "score",
    "score_table",
]

_HOMES = {
    "arms": ("Comparison", "compare_labels", "compare_masks"),
    "changes": (
        "CHANGES",
        "CODES",
        "COLORS",
        "Change",
        "Event",
        "Rules",
        "find_changes",
    ),
    "metrics": ("IOU_THRESHOLDS", "Scores", "mean_scores", "score"),
    "plots": ("PlotStyle", "draw_areas", "draw_ious", "draw_scores"),
    "report": ("comparison_csv", "comparison_figure", "comparison_json"),
    "summary": ("event_box", "matched_pairs", "score_table"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: pictures and tables need large libraries."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
