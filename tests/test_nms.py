from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import drawn

from napari_graysam.propose import Proposals
from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select import Selector
from napari_graysam.select.derived import Derived
from napari_graysam.select.nms import crop_scores
from napari_graysam.select.selection import find_survivors

Box = tuple[int, int, int, int]
ALL = GeneratorOptions(pred_iou_thresh=0, stability_score_thresh=0)


def survivors(proposals: Proposals, generator: GeneratorOptions, **labels: Any) -> list[int]:
    masks = Selector(proposals).survivors(generator, LabelOptions(**labels))
    return [mask.candidates[0] for mask in masks]


def suppress_boxes(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """Select among candidates that have boxes, last row and column included, and one pixel."""
    count = len(boxes)
    small = drawn(np.ones((count, 1, 1), bool), scores)
    ends = {
        "image_size": (10**5, 10**5),
        "crop_box": np.tile(np.int32([0, 0, 10**5, 10**5]), (count, 1)),
    }
    derived = Derived(replace(small, box=boxes, **ends), 2**30)
    generator = ALL.replace(box_nms_thresh=threshold)
    return find_survivors(derived, generator, LabelOptions()).survivors.tolist()


def distinct(boxes: list[Box], scores: list[float], kind: str, threshold: float) -> list[int]:
    """Select among rectangles."""
    images = np.zeros((len(boxes), 220, 220), bool)
    for image, (x0, y0, x1, y1) in zip(images, boxes, strict=True):
        image[y0:y1, x0:x1] = True
    return survivors(drawn(images, scores), ALL, suppression=kind, suppression_thresh=threshold)


@settings(deadline=None, max_examples=60)
@given(
    boxes=st.lists(st.tuples(*[st.integers(0, 12)] * 4), max_size=40),
    threshold=st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.7, 1.0]),
    seed=st.integers(0, 99),
)
def test_boxes_equal_torchvisions_batched_nms(
    boxes: list[tuple[int, int, int, int]], threshold: float, seed: int
) -> None:
    from torchvision.ops import batched_nms

    corners = np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], np.int32).reshape(-1, 4)
    scores = np.random.default_rng(seed).integers(0, 5, len(boxes)).astype(np.float32) / 4
    expected = batched_nms(
        torch.tensor(corners).float(),
        torch.tensor(scores),
        torch.zeros(len(boxes)),
        threshold,
    )
    assert suppress_boxes(corners, scores, threshold) == expected.tolist()


@pytest.mark.parametrize("count", [999, 1000, 1001, 1500])
def test_ties_among_many_boxes_come_in_torchvisions_order(count: int) -> None:
    from torchvision.ops import batched_nms

    rng = np.random.default_rng(count)
    low = rng.integers(0, 4000, (count, 2))
    corners = np.concatenate([low, low + rng.integers(1, 200, (count, 2))], axis=1)
    scores = rng.integers(0, 3, count).astype(np.float32)
    expected = batched_nms(
        torch.tensor(corners).float(), torch.tensor(scores), torch.zeros(count), 0.7
    )
    assert suppress_boxes(corners.astype(np.int32), scores, 0.7) == expected.tolist()


def test_of_two_duplicates_the_better_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.int32)
    assert suppress_boxes(boxes, np.float32([0.8, 0.9, 0.1]), 0.7) == [1, 2]


def test_nothing_in_nothing_out() -> None:
    none = np.empty((0, 4), np.int32)
    assert suppress_boxes(none, np.empty(0, np.float32), 0.7) == []
    assert distinct([], [], "mask_iou", 0.5) == []


def test_mask_iou_is_cut_at_the_threshold() -> None:
    # Intersection 50, union 100.
    masks = [(0, 0, 10, 10), (0, 0, 10, 5)]
    assert distinct(masks, [0.9, 0.8], "mask_iou", 0.5) == [0, 1]
    assert distinct(masks, [0.9, 0.8], "mask_iou", 0.49) == [0]


def test_containment_drops_what_a_better_mask_holds_or_is_held_by() -> None:
    masks = [(0, 0, 100, 100), (10, 10, 20, 20), (200, 0, 210, 10)]
    assert distinct(masks, [0.9, 0.8, 0.7], "containment", 0.7) == [0, 2]
    assert distinct(masks, [0.8, 0.9, 0.7], "containment", 0.7) == [1, 2]
    assert distinct(masks, [0.9, 0.8, 0.7], "mask_iou", 0.7) == [0, 1, 2]


def test_masks_spare_diagonal_neighbours_that_share_a_box() -> None:
    upper = np.triu(np.ones((20, 20), bool), 2)
    neighbours = drawn(np.array([upper, upper.T]), [0.9, 0.8])
    assert survivors(neighbours, ALL, suppression="mask_iou", suppression_thresh=0.1) == [0, 1]
    assert survivors(neighbours, ALL.replace(box_nms_thresh=0.6)) == [0]


def test_smaller_crops_score_higher() -> None:
    scores = crop_scores(np.array([[0, 0, 40, 30], [10, 0, 30, 20], [0, 0, 70_000, 70_000]]))
    assert scores.dtype == np.float32
    assert np.argsort(scores).tolist() == [2, 0, 1]
