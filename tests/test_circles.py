"""What a run no longer needs is freed at once: candidates of an image take up to gigabytes."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_graysam import Recipe, read_image, segment

SAMPLE = Path(__file__).parents[1] / "sample_data" / "nuclei_uneven.tif"
LOOSE = {
    "generator.points_per_side": 6,
    "generator.pred_iou_thresh": 0.4,
    "generator.stability_score_thresh": 0.4,
}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"labels.fill_holes": 20, "labels.min_island": 5, "labels.level": "whole"},
        {"labels.merging.merge": 0.5, "labels.merging.split": 0.5, "labels.merging.ask": True},
        {"refine": True},
        {"second_look.rounds": 1},
        {"arms": "union", "preprocess": [{"kind": "gamma", "gamma": 0.7}]},
    ],
    ids=lambda more: next(iter(more), "plain"),
)
def test_nothing_of_a_run_is_left_for_the_collector(more: Mapping[str, Any]) -> None:
    image = read_image(SAMPLE).raw[:128, :128]
    recipe = Recipe().with_values(LOOSE | more)
    assert segment(image, recipe).masks  # What is imported on the way makes circles, too.
    gc.collect()
    gc.disable()
    try:
        segment(image, recipe)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = Counter(type(one).__qualname__ for one in gc.garbage if _is_ours(one))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left


def _is_ours(one: object) -> bool:
    ours = type(one).__module__.startswith("napari_graysam")
    return ours or (isinstance(one, np.ndarray) and one.nbytes > 1000)
