"""Objects of the planes of a stack become objects of the stack."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_graysam.errors import LabelsError
from napari_graysam.masks import Mask
from napari_graysam.samples import samples
from napari_graysam.stack import Bridge, Fill, LinkOptions, fill_gaps, link_planes

STACKS = hnp.arrays(np.int32, (4, 6, 7), elements=st.integers(0, 4))
OPTIONS = st.builds(
    LinkOptions,
    gap=st.integers(0, 2),
    min_overlap=st.sampled_from([None, 0.05, 0.25, 0.5, 1.0]),
    neck=st.sampled_from([None, 0.0, 0.9]),
    min_extent=st.integers(1, 3),
    splits=st.booleans(),
    merges=st.booleans(),
)


def discs(*places, shape=(64, 64)):
    """Label image with a disc per (label, y, x, radius); a later one lies on top."""
    y, x = np.indices(shape)
    image = np.zeros(shape, np.uint16)
    for label, row, column, radius in places:
        image[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = label
    return image


def painted(planes, links):
    return [ids[plane] for ids, plane in zip(links.ids, planes, strict=True)]


def test_moving_discs_keep_their_number():
    planes = [discs((3, 20, 10 + 2 * t, 8), (1, 50, 50 - 3 * t, 6)) for t in range(8)]
    links = link_planes(planes, LinkOptions())
    for t, plane in enumerate(painted(planes, links)):
        assert plane[20, 10 + 2 * t] == 1
        assert plane[50, 50 - 3 * t] == 2
    assert links.count == 2
    assert links.bridges == links.lineage == ()


def test_an_object_that_vanishes_for_one_plane_keeps_its_number():
    planes = [discs((1, 20, 20, 8), (2, 45, 45, 8)) for _ in range(5)]
    planes[2][planes[2] == 1] = 0
    links = link_planes(planes, LinkOptions(gap=1))
    assert [plane[20, 20] for plane in painted(planes, links)] == [1, 1, 0, 1, 1]
    assert links.bridges == (Bridge(1, 1, 3),)
    ended = link_planes(planes, LinkOptions(gap=0))
    assert [plane[20, 20] for plane in painted(planes, ended)] == [1, 1, 0, 3, 3]
    assert ended.bridges == ()


def test_planes_of_different_size_are_an_error():
    planes = [np.zeros((4, 6), int), np.zeros((4, 6), int), np.zeros((5, 6), int)]
    with pytest.raises(LabelsError, match=r"plane 2 .* 5 × 6 pixels.* 4 × 6"):
        link_planes(planes, LinkOptions())


@pytest.mark.parametrize("n", [0, 1, 4])
def test_planes_without_objects_have_none(n):
    links = link_planes([np.zeros((8, 9), np.uint8)] * n, LinkOptions())
    assert [ids.tolist() for ids in links.ids] == [[0]] * n
    assert links.count == 0


def test_touching_discs_do_not_exchange_numbers():
    planes = [discs((1, 30, 20 + t, 10), (2, 30, 41 - t, 10)) for t in range(4)]
    for plane in painted(planes, link_planes(planes, LinkOptions())):
        assert plane[30, 14] == 1
        assert plane[30, 46] == 2


def test_the_pole_of_a_sphere_belongs_to_it():
    radii = [4, 10, 13, 10, 4]
    planes = [discs((1, 30, 30, radius)) for radius in radii]
    assert link_planes(planes, LinkOptions()).count == 1


def test_the_best_total_overlap_wins():
    # Alone, the left bar would take the second one; then the right one had no partner.
    first = np.array([[1] * 6 + [2] * 6])
    second = np.array([[1] * 2 + [2] * 7 + [0] * 3])
    links = link_planes([first, second], LinkOptions(min_overlap=0.15))
    assert links.count == 2
    assert links.ids[1].tolist() == [0, 1, 2]


def division():
    """One disc, from the third plane on two halves that move apart."""
    whole = [discs((5, 30, 30, 12)) for _ in range(2)]
    return whole + [
        discs((5, 30 - 6 - t, 30, 7), (6, 30 + 8 + t, 30, 7), shape=(64, 64)) for t in range(3)
    ]


def test_a_division_has_a_parent_and_two_children():
    planes = division()
    links = link_planes(planes, LinkOptions(splits=True))
    assert links.lineage == ((1, 2), (1, 3))
    assert [plane.max() for plane in painted(planes, links)] == [1, 1, 3, 3, 3]
    assert [plane[22, 30] for plane in painted(planes, links)] == [1, 1, 2, 2, 2]
    alone = link_planes(planes, LinkOptions())
    assert alone.lineage == ()
    assert alone.count == 2


def test_two_that_become_one_are_its_parents():
    planes = division()[::-1]
    links = link_planes(planes, LinkOptions(merges=True))
    assert links.lineage == ((1, 3), (2, 3))
    assert [plane[30, 30] for plane in painted(planes, links)][3:] == [3, 3]
    assert link_planes(planes, LinkOptions(splits=True)).lineage == ()


def test_two_that_touch_for_one_plane_are_no_merge():
    planes = [discs((1, 30, 20, 9), (2, 30, 38, 9)) for _ in range(5)]
    planes[2][planes[2] == 2] = 1
    links = link_planes(planes, LinkOptions(splits=True, merges=True))
    assert links.lineage == ()
    assert links.count == 2
    assert [len(np.unique(plane)) - 1 for plane in painted(planes, links)] == [2, 2, 1, 2, 2]


def test_a_speck_is_no_child():
    planes = [discs((1, 30, 30, 12)), discs((1, 30, 30, 12), (2, 30, 38, 2))]
    links = link_planes(planes, LinkOptions(splits=True))
    assert links.lineage == ()
    assert links.count == 2


def test_short_objects_are_removed():
    planes = [discs((1, 20, 20, 8), *([(2, 45, 45, 8)] if t == 1 else [])) for t in range(4)]
    links = link_planes(planes, LinkOptions(min_extent=2))
    assert links.count == 1
    assert links.ids[1].tolist() == [0, 1, 0]


@given(STACKS, OPTIONS, st.permutations(range(1, 5)), st.permutations(range(1, 5)))
def test_the_numbering_does_not_matter(stack, options, one, other):
    tables = [np.array([0, *order]) * 13 for order in (one, other)]
    renumbered = [tables[p % 2][plane] for p, plane in enumerate(stack)]
    links, again = link_planes(stack, options), link_planes(renumbered, options)
    assert np.array_equal(painted(stack, links), painted(renumbered, again))
    assert links.bridges == again.bridges
    assert links.lineage == again.lineage


@given(STACKS, OPTIONS)
def test_no_two_objects_of_a_plane_share_a_number(stack, options):
    links = link_planes(stack, options)
    seen = set()
    for ids, plane in zip(links.ids, stack, strict=True):
        mine = ids[ids > 0].tolist()
        assert len(mine) == len(set(mine))
        assert set(np.flatnonzero(ids)) <= set(np.unique(plane))
        seen.update(mine)
    assert seen == set(range(1, links.count + 1))
    assert {i for pair in links.lineage for i in pair} <= seen


@given(STACKS, OPTIONS, st.integers(1, 4))
def test_a_larger_smallest_extent_only_removes(stack, options, extent):
    few = link_planes(stack, options.replace(min_extent=extent + 1))
    many = link_planes(stack, options.replace(min_extent=extent))
    for kept, before in zip(few.ids, many.ids, strict=True):
        assert not np.any((kept > 0) & (before == 0))


@given(STACKS, OPTIONS)
def test_bridges_are_gaps_of_their_object(stack, options):
    links = link_planes(stack, options)
    for number, before, after in links.bridges:
        assert 2 <= after - before <= options.gap + 1
        has = [number in ids for ids in links.ids[before : after + 1]]
        assert has == [True] + [False] * (after - before - 1) + [True]


def spheres(seed):
    """A z-stack of two layers of spheres, those above over the gaps below: int32 (24, 180, 180)."""
    random = np.random.default_rng(seed)
    z, y, x = np.indices((24, 180, 180), np.float32)
    stack = np.zeros(z.shape, np.int32)
    for number, (row, column) in enumerate(np.ndindex(5, 5), start=1):
        for layer in range(2):
            side = 16 + 16 * layer
            lattice = np.array([layer * 11 + 6, row * 32 + side, column * 32 + side])
            centre = lattice + random.uniform(-1, 1, 3)
            radius = random.uniform(11, 14)
            distance = ((z - centre[0]) * 2.6) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
            stack[distance <= radius**2] = number + 25 * layer
    return stack


def flickering(truth, seed):
    """The same labels with one mask in ten removed at random."""
    random = np.random.default_rng(seed)
    planes = truth.copy()
    for plane in planes:
        labels = np.unique(plane[plane > 0])
        plane[np.isin(plane, labels[random.random(labels.size) < 0.1])] = 0
    return planes


def identities(planes, links):
    """Number of ids of each true object, and number of true objects of each id."""
    seen = planes > 0
    pairs = np.unique([planes[seen], np.array(painted(planes, links))[seen]], axis=1)
    return [np.unique(side, return_counts=True)[1] for side in pairs]


@pytest.mark.parametrize("seed", range(4))
def test_objects_keep_their_number_when_one_mask_in_ten_is_missing(seed):
    planes = flickering(spheres(seed), seed)
    numbers, objects = identities(planes, link_planes(planes, LinkOptions()))
    assert np.mean(numbers == 1) >= 0.98
    assert objects.max() == 1


@pytest.mark.parametrize("name", ["nuclei_stack", "dividing_cells"])
def test_objects_of_the_samples_keep_their_number_and_share_none(name):
    sample = samples()[name]
    truth = sample.truth().astype(int)
    options = sample.recipe().stack.linking
    for seed in range(5):
        planes = flickering(truth, seed)
        numbers, objects = identities(planes, link_planes(planes, options, sample.axis))
        assert np.mean(numbers == 1) >= 0.98
        assert objects.max() == 1


def stacked(*radii):
    return [discs((1, 32, 32, radius)) if radius else discs() for radius in radii]


@pytest.mark.parametrize(
    "radii",
    [
        (14, 15, 14, 12, 8, 8, 12, 14, 15),
        (14, 15, 14, 12, 8, 0, 8, 12, 14, 15),
        (14, 15, 14, 12, 0, 0, 12, 14, 15, 14),
        (14, 15, 14, 0, 8, 0, 8, 12, 14, 15),
    ],
)
def test_objects_above_each_other_are_two(radii):
    planes = stacked(*radii)
    links = link_planes(planes, LinkOptions())
    numbers = [plane.max() for plane in painted(planes, links)]
    half = len(radii) // 2
    assert set(numbers[:half]) - {0} == {1}
    assert set(numbers[half + 1 :]) - {0} == {2}
    assert link_planes(planes, LinkOptions(neck=0)).count == 1
    assert link_planes(planes, LinkOptions(), "t").count == 1


@pytest.mark.parametrize(
    "radii",
    [
        (5, 10, 13, 15, 14, 11, 6),
        (5, 0, 13, 0, 0, 11, 6),
        (12, 12, 11, 11, 11, 12, 12),
        (15, 8, 15, 15, 14),
        (15, 14, 0, 0, 0, 6, 5, 4),
    ],
)
def test_poles_waists_and_single_thin_planes_are_no_necks(radii):
    planes = stacked(*radii)
    assert link_planes(planes, LinkOptions()).count == 1


def test_what_follows_a_neck_finds_its_own_object():
    # The lower one is missing where the upper one begins, and goes on beside it.
    planes = [discs((1, 32, 24, radius)) for radius in (14, 12, 8)]
    planes += [discs((1, 32, 38, 8)), discs((1, 32, 38, 12), (2, 32, 22, 3))]
    planes.append(discs((1, 32, 38, 14)))
    links = link_planes(planes, LinkOptions())
    assert [int(ids[1]) for ids in links.ids] == [1, 1, 1, 2, 2, 2]
    assert links.ids[4][2] == 1


def test_objects_that_move_are_linked_along_time_only():
    planes = [discs((1, 30, 12 + 9 * t, 8)) for t in range(4)]
    assert link_planes(planes, LinkOptions(), "t").count == 1
    assert link_planes(planes, LinkOptions(), "z").count == 4
    assert link_planes(planes, LinkOptions(min_overlap=0.5), "t").count == 4


def test_a_division_is_found_when_a_child_appears_late():
    planes = division()
    planes[2][planes[2] == 6] = 0
    links = link_planes(planes, LinkOptions(splits=True), "t")
    assert links.lineage == ((1, 2), (1, 3))


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (np.zeros((4, 6)), "float64 of shape"),
        (np.zeros((2, 4, 6), int), r"\(H, W\)"),
        (np.full((4, 6), -3), "label -3"),
        (np.full((4, 6), 2**40), "number the objects of each plane from 1"),
    ],
)
def test_what_is_no_label_image_is_an_error(plane, message):
    with pytest.raises(LabelsError, match=message):
        link_planes([np.zeros((4, 6), int), plane], LinkOptions())


def test_planes_are_read_once_and_let_go():
    import weakref

    alive = []

    def planes():
        for _ in range(9):
            plane = discs((1, 30, 30, 9))
            alive.append(weakref.ref(plane))
            yield plane
            del plane
            assert sum(reference() is not None for reference in alive) <= 1

    assert link_planes(planes(), LinkOptions(gap=1)).count == 1


def test_a_missed_plane_gets_the_shape_between_its_neighbours():
    planes = [discs((1, 30, 16 + 4 * t, 12 - t)) for t in range(5)]
    truth = planes[2]
    planes[2] = np.zeros_like(truth)
    links = link_planes(planes, LinkOptions(gap=1))
    filled = list(fill_gaps(planes, links))
    found = filled[2].labels
    assert [(fill.id, fill.source) for fill in filled[2].fills] == [(1, "interpolated")]
    assert filled[2].fills[0].pixels == np.count_nonzero(found)
    assert np.sum((found > 0) & (truth > 0)) / np.sum((found > 0) | (truth > 0)) > 0.9
    assert all(not filled[t].fills for t in (0, 1, 3, 4))


def test_what_else_lies_there_keeps_its_pixels():
    planes = [discs((1, 30, 20, 10), (2, 30, 41, 10)) for _ in range(3)]
    planes[1] = discs((2, 30, 38, 12))
    links = link_planes(planes, LinkOptions(gap=1))
    filled = list(fill_gaps(planes, links))[1]
    assert np.array_equal(filled.labels == 2, planes[1] == 2)
    assert filled.labels[30, 20] == 1
    assert filled.fills[0].pixels == np.count_nonzero(filled.labels == 1) < 317


def test_an_object_that_others_cover_is_not_filled():
    planes = [discs((1, 30, 20, 8), (2, 30, 40, 10)) for _ in range(3)]
    planes[1] = discs((2, 30, 30, 20))
    links = link_planes(planes, LinkOptions(gap=1))
    assert [bridge[1:] for bridge in links.bridges] == [(0, 2)]
    assert [plane.fills for plane in fill_gaps(planes, links)] == [(), (), ()]


def test_a_candidate_of_the_plane_that_fits_comes_first():
    planes = [discs((1, 30, 20, 10)), discs(), discs((1, 30, 20, 10))]
    links = link_planes(planes, LinkOptions(gap=1))
    own = Mask(np.ones((3, 4), bool), (18, 29, 22, 32))
    asked = []

    def candidates(plane, expected, labels):
        asked.append((plane, [mask.box for mask in expected], labels.max()))
        return [own]

    filled = list(fill_gaps(planes, links, candidates))[1]
    assert asked == [(1, [(10, 20, 31, 41)], 0)]
    assert filled.fills == (Fill(1, "candidate", 12, own),)
    assert np.array_equal(filled.labels > 0, own.full((64, 64)))
    refused = list(fill_gaps(planes, links, lambda plane, expected, labels: [None]))[1]
    (fill,) = refused.fills
    assert (fill.id, fill.source, fill.pixels) == (1, "interpolated", np.count_nonzero(planes[0]))


@given(STACKS, OPTIONS)
def test_filling_changes_nothing_but_gaps(stack, options):
    links = link_planes(stack, options)
    missing = {(i, p) for i, before, after in links.bridges for p in range(before + 1, after)}
    filled = list(fill_gaps(stack, links))
    for p, (before, after) in enumerate(zip(painted(stack, links), filled, strict=True)):
        changed = after.labels != before
        assert not np.any(before[changed])
        assert {(i, p) for i in after.labels[changed].tolist()} <= missing
        for fill in after.fills:
            assert fill.pixels == np.count_nonzero(changed & (after.labels == fill.id)) > 0
            assert (fill.id, p) in missing
