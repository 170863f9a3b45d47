"""Label images from overlapping masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_graysam.masks import Mask, nest, paint, separate

SHAPE = (30, 30)
POLICIES = ("smaller_on_top", "larger_on_top", "higher_score_on_top", "disjoint")


def rectangle(x, y, width, height, iou=0.9, stability=0.9):
    bits = np.ones((height, width), bool)
    return Mask(bits, (x, y, x + width, y + height), predicted_iou=iou, stability=stability)


MASKS = st.lists(
    st.builds(
        rectangle,
        st.integers(0, 15),
        st.integers(0, 15),
        st.integers(1, 15),
        st.integers(1, 15),
        st.sampled_from([0.5, 0.7, 0.9]),
    ),
    max_size=8,
)


def paint_as(policy, masks):
    return paint(masks, SHAPE, policy)


@pytest.mark.parametrize(
    ("policy", "on_top"),
    [
        ("smaller_on_top", 2),
        ("larger_on_top", 1),
        ("higher_score_on_top", 3),
        ("disjoint", 3),
    ],
)
def test_the_policy_decides_who_is_on_top(policy, on_top):
    masks = [
        rectangle(0, 0, 12, 12, 0.5),
        rectangle(4, 4, 4, 4, 0.7),
        rectangle(4, 4, 6, 6, 0.9),
    ]
    assert paint_as(policy, masks)[5, 5] == on_top


def test_a_large_image_painted_in_bands_by_threads_is_that_of_one(monkeypatch):
    shape = (3000, 2100)
    rng = np.random.default_rng(3)
    boxes = rng.integers((0, 0, 1, 900), (1000, 1000, 1000, 1900), (60, 4)).tolist()
    masks = [rectangle(*box, float(rng.random())) for box in boxes]
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    together = paint(masks, shape, "higher_score_on_top")
    monkeypatch.setattr("napari_graysam.masks.painting._BAND", shape[0] * shape[1])
    assert np.array_equal(together, paint(masks, shape, "higher_score_on_top"))
    assert together[1500, 900] == 1 + max(
        (
            i
            for i, m in enumerate(masks)
            if m.box[0] <= 900 < m.box[2] and m.box[1] <= 1500 < m.box[3]
        ),
        key=lambda i: masks[i].predicted_iou,
        default=-1,
    )


def test_labels_go_beyond_sixteen_bits():
    masks = [rectangle(i % 300, i // 300, 1, 1) for i in range(2**16 + 5)]
    labels = paint(masks, (300, 300))
    assert np.array_equal(labels.ravel()[: len(masks)], np.arange(1, len(masks) + 1))


def test_stability_breaks_ties_of_the_score():
    masks = [rectangle(0, 0, 5, 5, 0.9, 0.90), rectangle(2, 2, 5, 5, 0.9, 0.95)]
    assert paint_as("higher_score_on_top", masks)[3, 3] == 2


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_of_equals_is_on_top(policy):
    assert set(np.unique(paint_as(policy, [rectangle(3, 3, 4, 4)] * 3))) == {0, 1}


@pytest.mark.parametrize("policy", POLICIES)
@given(masks=MASKS)
def test_labels_cover_exactly_the_masks(policy, masks):
    labels = paint_as(policy, masks)
    assert labels.dtype == np.uint32
    covered = np.zeros(SHAPE, bool)
    for index, mask in enumerate(masks):
        full = mask.full(SHAPE)
        covered |= full
        assert full[labels == index + 1].all()
    np.testing.assert_array_equal(labels > 0, covered)


@given(MASKS)
def test_separate_masks_share_no_pixel(masks):
    separated = separate(masks)
    assert sum((mask.full(SHAPE).astype(int) for mask in separated), np.zeros(SHAPE)).max() <= 1
    assert len({paint_as(policy, separated).tobytes() for policy in POLICIES}) == 1


@given(MASKS)
def test_separating_again_changes_nothing(masks):
    separated = separate(masks)
    for before, after in zip(separated, separate(separated), strict=True):
        assert after.box == before.box
        np.testing.assert_array_equal(after.bits, before.bits)


def test_a_mask_that_loses_more_than_half_is_dropped():
    best = rectangle(0, 0, 10, 10, 0.9)
    assert [m.area for m in separate([best, rectangle(5, 0, 10, 10, 0.8)])] == [100, 50]
    assert [m.area for m in separate([best, rectangle(4, 0, 10, 10, 0.8)])] == [100]


def test_a_dropped_mask_leaves_its_pixels_to_the_next():
    masks = [
        rectangle(0, 0, 8, 4, 0.5),
        rectangle(0, 0, 4, 4, 0.9),
        rectangle(1, 0, 4, 4, 0.8),
    ]
    # The second-best mask has a quarter left and goes; the worst keeps half of its own.
    assert [(m.area, m.box) for m in separate(masks)] == [(16, (4, 0, 8, 4)), (16, (0, 0, 4, 4))]


def test_separate_masks_keep_their_parents():
    cell, nucleus = rectangle(0, 0, 12, 12, 0.6), rectangle(2, 2, 5, 5, 0.9)
    shadow = rectangle(1, 1, 6, 6, 0.7)
    separated = separate(nest([shadow, cell, nucleus]))
    assert [(m.area, m.parent, m.depth) for m in separated] == [(119, -1, 0), (25, 0, 2)]


def test_nothing_paints_background():
    assert separate([]) == ()
    assert not paint_as("smaller_on_top", []).any()
