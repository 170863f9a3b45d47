"""Comparing label images block by block: the result is that of the images in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_graysam.comparison import CHANGES, CODES, compare_labels, score
from napari_graysam.comparison.blocks import compare_sums, sum_blocks
from napari_graysam.comparison.coarse import coarse_figure
from napari_graysam.comparison.painted import ChangePainter
from napari_graysam.errors import ImageError, TruthError
from napari_graysam.masks import BoxSum, label_masks
from napari_graysam.progress import run

SHAPE = (120, 150)


class Guarded:
    """A label image that refuses to be read in parts larger than a block."""

    def __init__(self, labels: np.ndarray, most: int) -> None:
        self._labels, self._most = labels, most
        self.shape, self.dtype, self.ndim = labels.shape, labels.dtype, 2

    def __getitem__(self, index):
        part = self._labels[index]
        assert part.size <= self._most, f"{part.shape} read at once"
        return part


def objects() -> tuple[np.ndarray, np.ndarray]:
    """Return labels of both arms in which each class occurs, most over borders of blocks."""
    raw, preprocessed = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.int64)
    raw[10:40, 10:40] = preprocessed[10:40, 10:40] = 70_000  # kept
    raw[10:40, 60:90], preprocessed[10:40, 60:80] = 3, 9  # changed
    raw[50:70, 5:145] = 5  # split into two
    preprocessed[50:70, 5:75], preprocessed[50:70, 75:145] = 1, 2
    raw[80:110, 10:30], raw[80:110, 30:52], preprocessed[80:110, 10:52] = 6, 7, 11  # merged
    raw[80:90, 70:90] = 8  # lost
    preprocessed[100:115, 100:149] = 12  # gained
    return raw, preprocessed


def scattered(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint16)
    for label in rng.permutation(90)[:60] + 1:
        y, x = rng.integers(0, 110), rng.integers(0, 140)
        labels[y : y + rng.integers(2, 20), x : x + rng.integers(2, 25)] = label
    return labels


def table(labels: np.ndarray) -> pd.DataFrame:
    ids = np.unique(labels)[1:]
    return pd.DataFrame({"index": ids, "predicted_iou": ids / 1000, "stability_score": 0.9})


def test_every_class_is_found_over_the_borders_of_blocks() -> None:
    raw, preprocessed = objects()
    comparison = compare_sums(run(sum_blocks(raw, preprocessed, block=16)))
    assert comparison.counts == dict.fromkeys(CHANGES, 1)
    kept = comparison.objects.iloc[-1]
    assert kept["index"] == 70_000
    assert kept[["bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "area"]].tolist() == [
        10, 10, 40, 40, 900,
    ]  # fmt: skip


@pytest.mark.parametrize("block", [7, 64, 1000])
@pytest.mark.parametrize("pair", [objects(), (scattered(1), scattered(2))], ids=["few", "many"])
def test_blocks_give_what_whole_images_give(pair, block: int) -> None:
    raw, preprocessed = pair
    tables = (table(raw), table(preprocessed))
    expected = compare_labels(raw, preprocessed, tables=tables, pixel_size=(0.5, 0.25))
    sums = run(sum_blocks(raw, preprocessed, truth=raw, block=block))
    found = compare_sums(sums, tables, pixel_size=(0.5, 0.25))
    assert found.events == expected.events
    pd.testing.assert_frame_equal(found.objects, expected.objects)
    assert sums.scores == {"raw": score(raw, raw), "preprocessed": score(preprocessed, raw)}


def test_images_without_objects_are_compared() -> None:
    empty = np.zeros((5, 5), np.uint8)
    comparison = compare_sums(run(sum_blocks(empty, empty, truth=empty)))
    assert comparison.objects.empty
    assert set(comparison.counts.values()) == {0}
    assert not ChangePainter(comparison.events, comparison.objects).paint(empty, empty).any()


def test_no_more_than_a_block_is_read_and_each_is_announced() -> None:
    raw, preprocessed = objects()
    planes = [Guarded(one, 32 * 32) for one in (raw, preprocessed, preprocessed)]
    steps = sum_blocks(*planes, block=32)
    progress = list(steps)
    assert [(one.stage, one.done, one.total) for one in progress] == [
        ("compare", number, 20) for number in range(20)
    ]


def test_what_does_not_fit_is_refused() -> None:
    raw, _ = objects()
    with pytest.raises(ImageError, match=r"\(120, 150\), \(120, 149\)"):
        run(sum_blocks(raw, raw[:, 1:]))
    with pytest.raises(TruthError, match="negative numbers"):
        run(sum_blocks(raw, raw, truth=np.full(SHAPE, -1)))


def test_boxes_are_those_of_the_masks() -> None:
    labels = scattered(3)
    boxes = BoxSum()
    for top in range(0, SHAPE[0], 50):
        for left in range(0, SHAPE[1], 40):
            boxes.add(labels[top : top + 50, left : left + 40], left, top)
    masks, ids = label_masks(labels)
    found_ids, found = boxes.total()
    assert tuple(found_ids.tolist()) == ids
    assert [tuple(box) for box in found.tolist()] == [mask.box for mask in masks]


@pytest.mark.parametrize("more", [0, 2**40])
def test_parts_are_painted_as_the_whole_image_is(more: int) -> None:
    raw, preprocessed = (np.where(one, one.astype(np.int64) + more, 0) for one in objects())
    expected = compare_labels(raw, preprocessed)
    found = compare_sums(run(sum_blocks(raw, preprocessed)))
    painter = ChangePainter(found.events, found.objects)
    assert np.array_equal(painter.paint(raw, preprocessed), expected.difference)
    part = (slice(50, 90), slice(60, 100))
    painted = painter.paint(raw[part], preprocessed[part])
    assert np.array_equal(painted, expected.difference[part])
    assert set(np.unique(painted)) >= {0, CODES["split"], CODES["lost"]}
    strange = np.array([[999, 10**9, -4]])
    assert painter.paint(strange, np.zeros_like(strange)).tolist() == [[0, 0, 0]]


def test_the_picture_is_drawn_from_the_finest_level_that_is_small_enough(monkeypatch) -> None:
    monkeypatch.setattr("napari_graysam.comparison.coarse.LARGEST", 80)
    raw, preprocessed = objects()
    comparison = compare_sums(run(sum_blocks(raw, preprocessed)))
    levels = [
        {
            "raw": Guarded(raw[::step, ::step], 80 * 80),
            "preprocessed": Guarded(preprocessed[::step, ::step], 80 * 80),
        }
        for step in (1, 2, 4)
    ]
    asked = []

    def view(shape):
        asked.append(shape)
        return np.zeros(shape, np.uint8)

    coarse_figure(comparison, levels, view)
    coarse_figure(comparison, levels[:1], view)
    assert asked == [(60, 75), (60, 75)]
