"""Scores against a ground truth."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_graysam.comparison.metrics import IOU_THRESHOLDS, mean_scores, score
from napari_graysam.errors import TruthError
from napari_graysam.masks import label_overlaps, match

LABELS = hnp.arrays(np.int32, (7, 8), elements=st.integers(0, 5))


def bars(*bounds, width=100):
    """One row per object: label i fills columns from start to stop of its row."""
    image = np.zeros((len(bounds), width), np.uint16)
    for row, (start, stop) in enumerate(bounds):
        image[row, start:stop] = row + 1
    return image


@given(LABELS)
def test_a_perfect_prediction_scores_one(labels):
    scores = score(labels, labels)
    assert scores.average_precision == (1.0,) * 10
    assert scores.panoptic_quality == scores.f1 == scores.mean_matched_iou == 1


@given(LABELS, LABELS, st.permutations(range(1, 6)))
def test_the_numbering_does_not_matter(predicted, truth, order):
    renumbered = np.array([0, *(1000 * i for i in order)], np.uint64)[predicted]
    one, other = score(renumbered, truth), score(predicted, truth)
    assert one.average_precision == other.average_precision
    # Sums over pairs are taken in another order.
    assert one.panoptic_quality == pytest.approx(other.panoptic_quality)
    assert one.mean_matched_iou == pytest.approx(other.mean_matched_iou)


@given(LABELS, LABELS)
def test_exchanging_the_images_exchanges_precision_and_recall(a, b):
    one, other = score(a, b), score(b, a)
    assert (one.precision, one.recall) == (other.recall, other.precision)
    assert one.average_precision == other.average_precision
    assert one.panoptic_quality == pytest.approx(other.panoptic_quality)


@given(LABELS, LABELS)
def test_average_precision_falls_with_the_threshold(a, b):
    precision = score(a, b).average_precision
    assert list(precision) == sorted(precision, reverse=True)
    assert all(0 <= value <= 1 for value in precision)


def test_known_scores():
    truth = bars((0, 80), (0, 100), (0, 50), (0, 40))
    predicted = bars((0, 100), (0, 100), (50, 100), (0, 0))
    # IoU 0.8 and 1; one prediction and two true objects stay alone.
    scores = score(predicted, truth)
    assert (scores.n_true, scores.n_predicted, scores.n_matched) == (4, 3, 2)
    assert scores.average_precision == (0.4,) * 7 + (1 / 6,) * 3
    assert scores.mean_average_precision == pytest.approx((0.4 * 7 + 3 / 6) / 10)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == 0.5
    assert scores.f1 == pytest.approx(4 / 7)
    assert scores.mean_matched_iou == pytest.approx(0.9)
    assert scores.panoptic_quality == pytest.approx(1.8 / 3.5)


@pytest.mark.parametrize("threshold", IOU_THRESHOLDS)
def test_a_pair_counts_from_its_threshold_on(threshold):
    columns = round(threshold * 100)
    scores = score(bars((0, columns)), bars((0, 100)))
    position = IOU_THRESHOLDS.index(threshold)
    assert scores.average_precision == (1.0,) * (position + 1) + (0.0,) * (9 - position)


def test_halves_of_an_object_match_it_once():
    truth = np.ones((4, 4), int)
    predicted = np.repeat([[1, 1, 2, 2]], 4, axis=0)
    scores = score(predicted, truth)
    assert (scores.n_matched, scores.average_precision[0]) == (1, 0.5)


def test_empty_images():
    empty, full = np.zeros((5, 5), int), np.ones((5, 5), int)
    both = score(empty, empty)
    assert both.average_precision == (1.0,) * 10
    assert both.f1 == both.precision == both.panoptic_quality == both.mean_matched_iou == 1
    for scores in (score(empty, full), score(full, empty)):
        assert scores.average_precision == (0.0,) * 10
        assert scores.f1 == scores.precision == scores.recall == scores.panoptic_quality == 0


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 4, 5)])
def test_any_shape_is_scored(shape):
    assert score(np.ones(shape, np.uint8), np.ones(shape, np.int64)).f1 == 1


def test_shapes_must_agree():
    with pytest.raises(TruthError, match=r"\(4, 5\).*\(5, 4\)"):
        score(np.zeros((4, 5), int), np.zeros((5, 4), int))


@pytest.mark.parametrize("dtype", [bool, np.float32])
def test_only_integers_are_labels(dtype):
    with pytest.raises(TruthError, match=f"ground truth have dtype {np.dtype(dtype)}"):
        score(np.zeros((4, 4), int), np.zeros((4, 4), dtype))


def test_negative_labels_are_refused():
    with pytest.raises(TruthError, match="predicted labels hold the negative value -1"):
        score(np.full((4, 4), -1), np.zeros((4, 4), int))


@given(LABELS, LABELS)
def test_overlaps_count_pixels(a, b):
    ids_a, ids_b, overlaps = label_overlaps(a, b)
    assert ids_a.tolist() == [i for i in range(1, 6) if (a == i).any()]
    assert overlaps.areas_b.tolist() == [(b == i).sum() for i in ids_b]
    found = dict(zip(zip(overlaps.a, overlaps.b, strict=True), overlaps.pixels, strict=True))
    for i, one in enumerate(ids_a):
        for j, other in enumerate(ids_b):
            assert found.get((i, j), 0) == ((a == one) & (b == other)).sum()


@given(LABELS, LABELS, st.sampled_from([0.01, 0.2, 0.5, 0.7]))
def test_matching_is_one_to_one_above_its_threshold(a, b, threshold):
    _, _, overlaps = label_overlaps(a, b)
    pairs = match(overlaps, threshold)
    assert (overlaps.iou[pairs] >= threshold).all()
    assert len(set(overlaps.a[pairs])) == len(set(overlaps.b[pairs])) == len(pairs)
    left_a, left_b = (
        set(overlaps.a) - set(overlaps.a[pairs]),
        set(overlaps.b) - set(overlaps.b[pairs]),
    )
    alone = [i in left_a and j in left_b for i, j in zip(overlaps.a, overlaps.b, strict=True)]
    assert not (np.array(alone, bool) & (overlaps.iou >= threshold)).any()


def test_matching_maximises_the_sum():
    # IoU 0.43 in the middle against 0.4 and 0.29 around it.
    predicted = np.repeat([1, 2, 0], [4, 10, 6])
    truth = np.repeat([1, 2, 0], [10, 8, 2])
    _, _, overlaps = label_overlaps(predicted, truth)
    pairs = match(overlaps, 0.2)
    assert list(zip(overlaps.a[pairs], overlaps.b[pairs], strict=True)) == [(0, 0), (1, 1)]


def test_scores_are_plain_json():
    scores = score(bars((0, 80)), bars((0, 100)))
    values = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert values["average_precision"]["0.80"] == 1
    assert values["average_precision"]["0.85"] == 0
    assert (values["n_true"], values["f1"]) == (1, 1)


def test_the_mean_counts_every_image_once():
    good = score(bars((0, 9)), bars((0, 9)))
    bad = score(bars((0, 9), (0, 0)), bars((9, 90), (0, 1)))
    mean = mean_scores([good, bad])
    assert mean.average_precision == (0.5,) * 10
    assert (mean.f1, mean.mean_average_precision) == (0.5, 0.5)
    assert (mean.n_true, mean.n_predicted, mean.n_matched) == (3, 2, 1)
    assert mean_scores([good]) == good
    with pytest.raises(TruthError, match="at least one image"):
        mean_scores([])


def test_three_thousand_objects_are_scored():
    rng = np.random.default_rng(0)
    labels = np.kron(rng.permutation(3136).reshape(56, 56) + 1, np.ones((18, 18), np.int32))
    shifted = np.roll(labels, 3, axis=(0, 1))
    assert score(labels, shifted).n_matched == 3136
