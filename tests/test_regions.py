"""Cleaning of masks in image pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from synthetic import drawn

from napari_graysam.masks import (
    Mask,
    fill_holes,
    remove_islands,
    remove_small_regions,
    touches_border,
)
from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select import select
from napari_graysam.select.clean import cleaned

IMAGES = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)).filter(
    np.any
)


def mask_of(image: np.ndarray) -> Mask:
    height, width = image.shape
    return Mask(np.zeros((height, width), bool), (0, 0, width, height)).with_bits(image)


def ring(size: int = 9, hole: int = 3) -> np.ndarray:
    image = np.zeros((size + 4, size + 4), bool)
    image[2:-2, 2:-2] = True
    start = 2 + (size - hole) // 2
    image[start : start + hole, start : start + hole] = False
    return image


def on_whole_image(image: np.ndarray, area: int) -> np.ndarray:
    """Fill, then remove, with every piece of the whole image in view."""
    for background in (True, False):
        pieces, n = ndimage.label(image ^ background, np.ones((3, 3)))
        sizes = ndimage.sum_labels(np.ones(image.shape), pieces, range(1, n + 1))
        small = [i for i, size in enumerate(sizes, start=1) if size < area]
        if not background and len(small) == n:
            small.remove(1 + int(np.argmax(sizes)))
        image = image ^ np.isin(pieces, small)
    return image


@given(IMAGES, st.integers(0, 40))
def test_small_regions_are_those_of_the_whole_image(image, area):
    cleaned = remove_small_regions(mask_of(image), image.shape, area)
    np.testing.assert_array_equal(cleaned.full(image.shape), on_whole_image(image, area))


@given(IMAGES, st.integers(0, 20), st.integers(0, 20))
def test_the_box_stays_tight(image, hole, island):
    cleaned = remove_islands(fill_holes(mask_of(image), image.shape, hole), island)
    assert cleaned.box == mask_of(cleaned.full(image.shape)).box


@pytest.mark.parametrize(("max_hole", "area"), [(8, 72), (9, 81)])
def test_a_hole_is_filled_up_to_its_area(max_hole, area):
    image = ring()
    assert fill_holes(mask_of(image), image.shape, max_hole).area == area


def test_a_diagonal_gap_opens_a_hole():
    image = np.ones((9, 9), bool)
    image[[0, 1, 2, 3], [0, 1, 2, 3]] = False
    image = np.pad(image, 5)
    assert fill_holes(mask_of(image), image.shape, 30).area == image.sum()


def test_the_outside_is_filled_only_where_it_is_small():
    image = np.ones((20, 20), bool)
    image[:2] = False
    assert fill_holes(mask_of(image), image.shape, 39).area == 360
    filled = fill_holes(mask_of(image), image.shape, 40)
    assert filled.box == (0, 0, 20, 20)
    assert filled.area == 400


@pytest.mark.parametrize(("min_island", "area"), [(4, 29), (5, 25), (100, 25)])
def test_small_islands_go_and_the_largest_stays(min_island, area):
    image = np.zeros((20, 20), bool)
    image[2:7, 2:7] = True
    image[12:14, 12:14] = True
    cleaned = remove_islands(mask_of(image), min_island)
    assert cleaned.area == area
    assert cleaned.box[:2] == (2, 2)


def test_what_needs_no_cleaning_is_the_same_object():
    image = ring()
    mask = mask_of(image)
    assert remove_small_regions(mask, image.shape, 9) is mask
    assert cleaned(mask, image.shape, LabelOptions(fill_holes=8, min_island=72)) is mask


def test_scores_survive_cleaning():
    image = ring()
    mask = mask_of(image).replace(predicted_iou=0.7, stability=0.9, point=(3.0, 4.0))
    filled = fill_holes(mask, image.shape, 9)
    assert (filled.predicted_iou, filled.stability, filled.point) == (0.7, 0.9, (3.0, 4.0))


@pytest.mark.parametrize(
    ("low", "high", "inside"), [(0, None, True), (72, 72, True), (73, None, False), (0, 71, False)]
)
def test_the_area_range_includes_its_ends(low, high, inside):
    options = LabelOptions(min_area=low, max_area=high)
    assert areas([ring()], options) == [72] * inside


@given(IMAGES)
def test_touching_the_border(image):
    frame = np.ones(image.shape, bool)
    frame[1:-1, 1:-1] = False
    assert touches_border(mask_of(image), image.shape) == bool((image & frame).any())


def areas(images, labels=None, **generator):
    """Select among all of some masks of one image."""
    everything = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
    options = GeneratorOptions(**everything, **generator)
    masks = select(drawn(np.array(images), [0.9] * len(images)), options, labels)
    return [mask.area for mask in masks]


def test_a_selection_applies_every_option():
    corner = np.zeros((13, 13), bool)
    corner[:3, :3] = True
    images = (ring(), corner)
    assert areas(images, LabelOptions(fill_holes=9)) == [81, 9]
    assert areas(images, min_mask_region_area=10) == [81, 9]
    assert areas(images, LabelOptions(exclude_border=True)) == [72]
    assert areas(images, LabelOptions(min_area=10)) == [72]
    assert areas(images, LabelOptions(max_area=10)) == [9]
    # The size is judged after cleaning.
    assert areas(images, LabelOptions(fill_holes=9, min_area=81)) == [81]


def test_empty_masks_are_dropped():
    assert areas([np.zeros((13, 13), bool)], LabelOptions(fill_holes=5, min_island=5)) == []
