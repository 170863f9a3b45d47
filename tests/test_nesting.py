"""Parents, depths and nesting levels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_graysam.masks import Mask, at_level, nest, shared_pixels, subset


def square(x: int, y: int, size: int) -> Mask:
    return Mask(np.ones((size, size), bool), (x, y, x + size, y + size))


def disc(x: float, y: float, radius: float) -> Mask:
    left, top = int(x - radius), int(y - radius)
    size = int(2 * radius) + 3
    rows, columns = np.mgrid[top : top + size, left : left + size]
    bits = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return Mask(bits, (left, top, left + size, top + size)).with_bits(bits)


SQUARES = st.lists(
    st.builds(square, st.integers(0, 25), st.integers(0, 25), st.integers(1, 15)), max_size=12
)


def places(masks):
    return [(mask.parent, mask.depth) for mask in masks]


def test_matryoshka():
    cell, nucleus, nucleolus, other = (
        disc(50, 50, 30),
        disc(45, 50, 12),
        disc(45, 50, 4),
        disc(95, 50, 10),
    )
    assert places(nest([nucleolus, cell, other, nucleus])) == [(3, 2), (-1, 0), (-1, 0), (1, 1)]


def test_a_part_may_stick_out_a_little():
    whole = square(0, 0, 20)
    assert places(nest([whole, square(11, 5, 10)]))[1] == (0, 1)
    assert places(nest([whole, square(12, 5, 10)]))[1] == (-1, 0)
    assert places(nest([whole, square(12, 5, 10)], contained=0.8))[1] == (0, 1)


def test_twins_do_not_contain_each_other():
    assert places(nest([square(3, 3, 5), square(3, 3, 5)])) == [(-1, 0), (-1, 0)]


def test_a_box_is_not_enough():
    ring = np.ones((20, 20), bool)
    ring[3:17, 3:17] = False
    assert places(nest([Mask(ring, (0, 0, 20, 20)), square(6, 6, 8)])) == [(-1, 0), (-1, 0)]


@given(SQUARES)
def test_every_parent_is_the_smallest_container(masks):
    full = np.array([mask.full((45, 45)) for mask in masks]).reshape(len(masks), 45 * 45)
    areas = full.sum(axis=1)
    for index, mask in enumerate(nest(masks)):
        shared = (full & full[index]).sum(axis=1)
        containers = [
            i
            for i in range(len(masks))
            if areas[i] > areas[index] and shared[i] >= 0.9 * areas[index]
        ]
        smallest = min(containers, key=lambda i: (areas[i], i), default=-1)
        assert mask.parent == smallest


@given(SQUARES)
def test_depth_counts_parents(masks):
    nested = nest(masks)
    for mask in nested:
        assert mask.depth == (nested[mask.parent].depth + 1 if mask.parent >= 0 else 0)


@given(SQUARES)
def test_order_and_everything_else_are_kept(masks):
    scored = [mask.replace(predicted_iou=i / 20) for i, mask in enumerate(masks)]
    for before, after in zip(scored, nest(scored), strict=True):
        assert (after.box, after.predicted_iou) == (before.box, before.predicted_iou)
        np.testing.assert_array_equal(after.bits, before.bits)


@given(SQUARES, SQUARES)
def test_shared_pixels(some, others):
    for one, other in zip(some, others, strict=False):
        expected = (one.full((45, 45)) & other.full((45, 45))).sum()
        assert shared_pixels(one, other) == expected


def test_levels():
    nested = nest([disc(50, 50, 30), disc(45, 50, 12), disc(45, 50, 4), disc(95, 50, 10)])
    assert at_level(nested, "all") == nested
    assert [m.box for m in at_level(nested, "whole")] == [nested[0].box, nested[3].box]
    parts = at_level(nested, "parts")
    assert [m.box for m in parts] == [nested[2].box, nested[3].box]
    assert places(parts) == [(-1, 2), (-1, 0)]


@given(SQUARES)
def test_wholes_and_parts_stand_alone(masks):
    nested = nest(masks)
    for level in ("whole", "parts"):
        chosen = at_level(nested, level)
        assert all(mask.parent == -1 for mask in chosen)
        assert bool(chosen) == bool(masks)


def test_a_kept_mask_finds_its_nearest_kept_ancestor():
    nested = nest([disc(45, 50, 4), disc(45, 50, 12), disc(50, 50, 30)])
    assert [mask.parent for mask in subset(nested, [0, 2])] == [1, -1]
    assert [mask.parent for mask in subset(nested, [2, 0])] == [-1, 0]
    assert [mask.parent for mask in subset(nested, [0, 1])] == [1, -1]


def test_nothing_nests_nothing():
    assert nest([]) == ()
    assert at_level([], "parts") == ()


@pytest.mark.slow
def test_three_thousand_masks_nest():
    rng = np.random.default_rng(0)
    masks = [
        disc(x, y, radius)
        for x, y, radius in zip(
            rng.uniform(100, 1900, 3000),
            rng.uniform(100, 1900, 3000),
            rng.choice([5, 10, 40], 3000),
            strict=True,
        )
    ]
    nested = nest(masks)
    assert max(mask.depth for mask in nested) >= 2
