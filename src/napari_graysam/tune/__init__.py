"""Tuning: thresholds, suppression and preprocessing searched against what a user knows."""

from napari_graysam.tune.choice import Choice, choose
from napari_graysam.tune.grid import default_grid
from napari_graysam.tune.ranking import Rank, ranks
from napari_graysam.tune.study import Study, study_steps
from napari_graysam.tune.truth import METRICS, Metric, Truth, read_truth
from napari_graysam.tune.tuner import Tuning, tune, tune_steps

__all__ = [
    "METRICS",
    "Choice",
    "Metric",
    "Rank",
    "Study",
    "Truth",
    "Tuning",
    "choose",
    "default_grid",
    "ranks",
    "read_truth",
    "study_steps",
    "tune",
    "tune_steps",
]
