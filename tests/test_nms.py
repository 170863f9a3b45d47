from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_graysam.masks import Mask
from napari_graysam.select.nms import (
    crop_scores,
    mask_overlap,
    suppress,
    suppress_boxes,
)


def masks_of(*boxes: tuple[int, int, int, int]) -> list[Mask]:
    return [Mask(np.ones((y1 - y0, x1 - x0), bool), (x0, y0, x1, y1)) for x0, y0, x1, y1 in boxes]


def distinct(masks: list[Mask], scores: list[float], kind: str, threshold: float) -> list[int]:
    overlap = mask_overlap(masks, kind)
    return suppress(np.float32(scores), overlap, threshold).tolist()


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
    assert suppress_boxes(corners, scores, threshold).tolist() == expected.tolist()


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
    assert suppress_boxes(corners.astype(np.int32), scores, 0.7).tolist() == expected.tolist()


def test_of_two_duplicates_the_better_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.int32)
    assert suppress_boxes(boxes, np.float32([0.8, 0.9, 0.1]), 0.7).tolist() == [1, 2]


def test_nothing_in_nothing_out() -> None:
    none = np.empty((0, 4), np.int32)
    assert suppress_boxes(none, np.empty(0, np.float32), 0.7).size == 0
    assert distinct([], [], "mask_iou", 0.5) == []


def test_mask_iou_is_cut_at_the_threshold() -> None:
    # Intersection 50, union 100.
    masks = masks_of((0, 0, 10, 10), (0, 0, 10, 5))
    assert distinct(masks, [0.9, 0.8], "mask_iou", 0.5) == [0, 1]
    assert distinct(masks, [0.9, 0.8], "mask_iou", 0.49) == [0]


def test_containment_drops_what_a_better_mask_holds_or_is_held_by() -> None:
    masks = masks_of((0, 0, 100, 100), (10, 10, 20, 20), (200, 0, 210, 10))
    assert distinct(masks, [0.9, 0.8, 0.7], "containment", 0.7) == [0, 2]
    assert distinct(masks, [0.8, 0.9, 0.7], "containment", 0.7) == [1, 2]
    assert distinct(masks, [0.9, 0.8, 0.7], "mask_iou", 0.7) == [0, 1, 2]


def test_masks_spare_diagonal_neighbours_that_share_a_box() -> None:
    upper = np.triu(np.ones((20, 20), bool), 2)
    masks = [Mask(upper, (0, 0, 20, 20)), Mask(upper.T, (0, 0, 20, 20))]
    assert distinct(masks, [0.9, 0.8], "mask_iou", 0.1) == [0, 1]
    boxes = np.array([mask.box for mask in masks], np.int32)
    assert suppress_boxes(boxes, np.float32([0.9, 0.8]), 0.7).tolist() == [0]


def test_smaller_crops_score_higher() -> None:
    scores = crop_scores(np.array([[0, 0, 40, 30], [10, 0, 30, 20], [0, 0, 70_000, 70_000]]))
    assert scores.dtype == np.float32
    assert np.argsort(scores).tolist() == [2, 0, 1]
