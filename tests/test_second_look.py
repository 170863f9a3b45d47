import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_graysam import Recipe, run, segment
from napari_graysam.fingerprint import outdated_from
from napari_graysam.masks import Mask, paint
from napari_graysam.pipeline import fingerprint_of, live_steps, retune
from napari_graysam.prompt import removal
from napari_graysam.recipe import SecondLookOptions
from napari_graysam.second_look import join

RNG = np.random.default_rng(3)
SHAPE = (256, 256)


def discs():
    """Four discs."""
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    truth = np.zeros(SHAPE, int)
    for index, (row, col) in enumerate([(64, 64), (60, 160), (190, 60), (180, 190)]):
        truth[(y - row) ** 2 + (x - col) ** 2 < 12**2] = index + 1
    return (truth > 0) * 90 + 60 + RNG.normal(0, 5, SHAPE), truth


@pytest.fixture(scope="module")
def image():
    return discs()


@pytest.fixture(scope="module")
def sparse():
    """One point, on one of the discs."""
    return Recipe.preset("raw").with_values(
        {"generator.points_per_side": None, "generator.point_grids": [[[0.25, 0.25]]]}
    )


@pytest.fixture(scope="module")
def both(image, sparse):
    first = segment(image[0], sparse)
    again = segment(
        image[0], sparse.with_values({"second_look.rounds": 1, "second_look.points_per_side": 12})
    )
    return first, again


def test_what_the_first_pass_missed_is_found(both, image):
    first, again = both
    truth = image[1]

    def objects(result):
        return {int(truth[result.labels == k].max()) for k in range(1, len(result.masks) + 1)}

    assert len(objects(first)) < 4
    assert objects(again) >= {1, 2, 3, 4}
    assert again.unmasked < first.unmasked


def test_what_is_there_stays_as_it_is(both):
    first, again = both
    assert len(again.masks) > len(first.masks)
    for one, other in zip(first.masks, again.masks[: len(first.masks)], strict=True):
        assert one.box == other.box
        assert np.array_equal(one.bits, other.bits)
    assert np.array_equal(again.labels[first.labels > 0], first.labels[first.labels > 0])


def test_new_masks_say_where_they_come_from_and_so_does_the_result(both):
    first, again = both
    new = again.masks[len(first.masks) :]
    assert {mask.source for mask in new} == {"second look, round 1"}
    (entry,) = again.provenance["second_look"]
    assert entry["masks"] == len(new)
    assert 0 < entry["filled"] <= 1
    assert entry["points"] > 0
    assert any("second look" in note for note in again.notes)
    assert set(again.table["source"]) >= {"second look, round 1"}


def test_without_rounds_nothing_changes(image, sparse, both):
    other = sparse.with_values({"second_look.points_per_side": 7, "second_look.max_overlap": 0.9})
    assert fingerprint_of(image[0], other) == fingerprint_of(image[0], sparse)
    assert both[0].provenance["second_look"] == []
    looking = fingerprint_of(image[0], sparse.with_values({"second_look.rounds": 1}))
    assert outdated_from(looking, fingerprint_of(image[0], sparse)) == "decode"


def test_selecting_again_keeps_what_the_second_look_found(image, sparse):
    recipe = sparse.with_values({"second_look.rounds": 1, "second_look.points_per_side": 12})
    live = run(live_steps(image[0], recipe))
    again = retune(live, recipe)
    assert np.array_equal(again.labels, live.result.labels)
    strict = retune(live, recipe.with_values({"generator.pred_iou_thresh": 1.0}))
    assert {mask.source for mask in strict.masks} == {"second look, round 1"}


@pytest.fixture(scope="module")
def looked(image, sparse):
    recipe = sparse.with_values({"second_look.rounds": 1, "second_look.points_per_side": 12})
    return recipe, run(live_steps(image[0], recipe))


@pytest.mark.parametrize(
    "changes",
    [
        {"labels.max_area": 450},
        {"labels.filters": [{"column": "area", "minimum": 475}]},
        {"labels.filters": [{"column": "intensity_mean", "maximum": 100}]},
    ],
    ids=["largest area", "area", "gray values"],
)
def test_sizes_and_filters_count_for_new_masks_in_a_run_and_without_the_model(
    image, looked, changes
):
    recipe, live = looked
    narrow = recipe.with_values(changes)
    again = retune(live, narrow)
    assert len(again.masks) < len(live.result.masks)
    other = run(live_steps(image[0], narrow))
    assert len(other.result.masks) == len(again.masks)
    back = retune(other, recipe)
    assert len(back.masks) == len(live.result.masks)


def test_new_masks_at_the_border_go_where_none_may_lie_there(looked):
    recipe, live = looked
    labels = recipe.labels.replace(exclude_border=True)
    inside = live.again[0]
    outside = inside.replace(
        box=(0, 0, inside.box[2] - inside.box[0], inside.box[3] - inside.box[1])
    )
    (left,) = live.selector.wanted([inside, outside], labels)
    assert left.box == inside.box


def test_what_a_second_look_found_can_be_removed(looked):
    recipe, live = looked
    before = live.result.masks
    number = next(i for i, mask in enumerate(before) if mask.source.startswith("second look"))
    pin = removal(before[number], live.selector.image, SHAPE)
    without = retune(live, recipe.with_values({"labels.pinned": [pin.model_dump(mode="json")]}))
    assert [mask.box for mask in without.masks] == [
        mask.box for i, mask in enumerate(before) if i != number
    ]


def test_a_region_and_a_budget_of_points_are_kept(image, sparse):
    region = np.zeros(SHAPE, bool)
    region[:128, :128] = True
    recipe = sparse.with_values({"second_look.rounds": 2, "second_look.points_per_side": 12})
    inside = segment(image[0], recipe, region=region)
    assert all(region[int(m.point[1]), int(m.point[0])] for m in inside.masks)
    few = segment(image[0], recipe.with_values({"second_look.points": 1}))
    assert sum(one["windows"] for one in few.provenance["second_look"]) == 1


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_images_without_anything_and_without_anything_unmasked(sparse, value):
    recipe = sparse.with_values({"second_look.rounds": 1})
    empty = segment(np.full((64, 64), value), recipe)
    assert empty.labels.shape == (64, 64)


def test_nothing_is_asked_where_everything_is_masked():
    full = Mask(np.ones((64, 64), bool), (0, 0, 64, 64))
    from napari_graysam.model import load_model
    from napari_graysam.second_look import look_again

    recipe = Recipe.preset("raw").with_values({"second_look.rounds": 2})
    found = run(
        look_again(np.zeros((64, 64), np.float32), [full], recipe, load_model(recipe.model))
    )
    assert found.found == ()
    assert found.rounds[0]["windows"] == 0


def test_closing_in_the_middle_cancels(image, sparse):
    recipe = sparse.with_values({"second_look.rounds": 1})
    steps = live_steps(image[0], recipe)
    for progress in steps:
        if progress.stage.startswith("second look"):
            break
    steps.close()
    assert next(steps, None) is None


boxes = st.tuples(*[st.integers(0, 24)] * 2, *[st.integers(1, 8)] * 2)


def squares(values):
    return [
        Mask(np.ones((h, w), bool), (x, y, x + w, y + h), predicted_iou=1 - i / 100)
        for i, (x, y, w, h) in enumerate(values)
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, max_size=6), st.lists(boxes, max_size=8), st.floats(0, 1))
def test_joining_adds_only_what_overlaps_little(there, new, overlap):
    options = SecondLookOptions(max_overlap=overlap, like_others=False)
    old, found = squares(there), squares(new)
    joined = join(old, found, (32, 32), options)
    assert list(joined[: len(old)]) == old
    taken = paint(old, (32, 32)) > 0
    for mask in joined[len(old) :]:
        full = mask.full((32, 32))
        assert (taken & full).sum() <= overlap * mask.area
        taken |= full
    again = join(joined, found, (32, 32), options.replace(max_overlap=0))
    assert len(again) == len(joined)


def test_masks_of_unlike_size_are_dropped_where_asked():
    old = squares([(4 * i, 0, 3, 3) for i in range(6)])
    speck, like, huge = squares([(0, 20, 1, 1), (8, 20, 3, 3), (16, 10, 14, 14)])
    strict = join(old, [speck, like, huge], (32, 32), SecondLookOptions())
    assert strict[6:] == (like,)
    free = join(old, [speck, like, huge], (32, 32), SecondLookOptions(like_others=False))
    assert len(free) == 9


def test_masks_less_sure_than_the_first_pass_are_dropped_where_it_found_enough():
    old = squares([(4 * i, 0, 3, 3) for i in range(6)])
    (sure,) = squares([(8, 20, 3, 3)])
    doubtful = sure.replace(predicted_iou=0.6)
    options = SecondLookOptions()
    assert join(old, [sure], (32, 32), options)[6:] == (sure,)
    assert join(old, [doubtful], (32, 32), options)[6:] == ()
    assert join(old[:4], [doubtful], (32, 32), options)[4:] == (doubtful,)
    assert len(join(old, [doubtful], (32, 32), options.replace(like_others=False))) == 7
