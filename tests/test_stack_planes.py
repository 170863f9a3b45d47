"""Planes of a stack one after the other, kept with their candidates, and put into one volume."""

from functools import partial

import numpy as np
import pytest
import stub_run

from napari_graysam import pipeline
from napari_graysam.errors import ImageError, ProposalsError
from napari_graysam.masks import label_masks
from napari_graysam.pipeline import ScoreFloors
from napari_graysam.pipeline.kept import KeptPlanes, size_of
from napari_graysam.pipeline.planes import PlaneDone, PlaneLacking, plane_order, plane_steps
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe
from napari_graysam.source.gray import to_gray
from napari_graysam.source.stack import Stack
from napari_graysam.stack.volume import LabelVolume, spans

RECIPE = stub_run.START.with_values({"stack.axis": "z", "preprocess": "[{kind: gamma}]"})
FLOORS = ScoreFloors(0.25, 0)


@pytest.fixture(autouse=True)
def model(monkeypatch):
    return stub_run.install(monkeypatch)


def planes():
    return np.stack([stub_run.squares(*[1, 0.9, 0.6][: n + 1]) for n in range(3)])


def raw_of(positions):
    return {position: ["raw"] for position in positions}


def segmented(array, wanted, recipe=RECIPE, **options):
    return list(plane_steps(Stack(array, recipe), recipe, wanted, score_floors=FLOORS, **options))


def done(events):
    return {(e.position, e.arm): e.live for e in events if isinstance(e, PlaneDone)}


def kept(budget=2**40, folder=None, array=None, **options):
    stack = Stack(planes() if array is None else array, RECIPE)
    store = KeptPlanes(stack.plane, folder, budget=budget, **options)
    for key, live in done(segmented(stack._stored.array, {0: ["raw"], 1: ["raw"]})).items():
        store.put(key, live)
    return store


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("budget", [0, 2**40])
def test_what_is_discarded_or_run_again_while_it_is_selected_stays_so(
    monkeypatch, tmp_path, budget, again
):
    store = kept(budget, tmp_path)
    new = done(segmented(planes(), {0: ["raw"]}))[0, "raw"]

    def meanwhile(live, recipe):
        store.discard((0, "raw"))
        if again:
            store.put((0, "raw"), new)
        return pipeline.retune(live, recipe)

    monkeypatch.setattr("napari_graysam.pipeline.kept.retune", meanwhile)
    store.retune((0, "raw"), RECIPE.raw_arm())
    assert ((0, "raw") in store) == again
    if again:
        assert store.result((0, "raw")) is new.result


def test_the_plane_in_view_comes_first_and_its_neighbours_next():
    assert plane_order(range(5), 0) == [0, 1, 2, 3, 4]
    assert plane_order(range(5), 4) == [4, 3, 2, 1, 0]
    assert sorted(plane_order(range(3, 30, 4), 9)) == list(range(3, 30, 4))


def test_a_plane_of_a_stack_gives_what_it_gives_alone():
    array = planes()
    found = done(segmented(array, {2: ["raw", "preprocessed"], 0: ["raw"]}))
    assert list(found) == [(2, "raw"), (2, "preprocessed"), (0, "raw")]
    alone = RECIPE.with_values({"image.axes": "ZYX", "image.plane": 2, "stack.axis": "none"})
    gray = to_gray(array, alone.image)
    for arm, recipe in (("raw", alone.raw_arm()), ("preprocessed", alone)):
        live = stub_run.segmented(
            gray, recipe, source=arm, cache=None, region=None, score_floors=FLOORS
        )
        result = found[2, arm].result
        np.testing.assert_array_equal(result.labels, live.result.labels)
        assert result.fingerprint == live.result.fingerprint


def test_both_arms_are_combined_plane_by_plane_also_with_one_of_before():
    union = RECIPE.with_values({"arms": "union"})
    array = planes()
    found = done(segmented(array, {1: ["raw", "preprocessed"]}, union))
    assert list(found) == [(1, "raw"), (1, "preprocessed"), (1, "combined")]
    earlier = partial(lambda position, arm: found[position, arm])
    again = done(segmented(array, {1: ["preprocessed"]}, union, known=earlier))
    np.testing.assert_array_equal(
        again[1, "combined"].result.labels, found[1, "combined"].result.labels
    )


def test_a_plane_that_cannot_be_used_stops_no_other():
    array = planes().astype(float)
    array[1] = np.nan

    def nowhere():
        raise ImageError("no area here")

    everywhere = partial(np.ones, (64, 64), bool)
    regions = {0: everywhere, 1: everywhere, 2: nowhere}
    events = segmented(array, raw_of((2, 1, 0)), regions=regions)
    lacking = {e.position: e.why for e in events if isinstance(e, PlaneLacking)}
    assert set(lacking) == {1, 2}
    assert "NaN" in lacking[1]
    assert lacking[2] == "no area here"
    assert set(done(events)) == {(0, "raw")}


def test_closing_between_planes_keeps_what_came(model):
    stack = Stack(planes(), RECIPE)
    steps = plane_steps(stack, RECIPE, raw_of(range(3)), score_floors=FLOORS)
    first = next(event for event in steps if isinstance(event, PlaneDone))
    steps.close()
    assert first.position == 0
    assert len(model.calls) == 1


def test_what_memory_does_not_hold_comes_back_from_disk_and_is_the_same(tmp_path, model):
    all_here, strict = kept(), RECIPE.with_values({"generator.pred_iou_thresh": 0.95}).raw_arm()
    away = kept(1, tmp_path)
    assert away.in_memory == ((1, "raw"),)
    assert len(list(tmp_path.iterdir())) == 1
    calls = len(model.calls)
    for position in (0, 1):
        key = (position, "raw")
        one, other = all_here.retune(key, strict), away.retune(key, strict)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.fingerprint == other.fingerprint
        assert all_here.table(key).equals(away.table(key))
    assert len(model.calls) == calls


def test_the_limit_counts_candidates_and_holds(tmp_path):
    live = kept().get((0, "raw"))
    assert size_of(live) >= live.selector.proposals.nbytes
    roomy = kept(3 * size_of(live), tmp_path)
    assert len(roomy.in_memory) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"folder_budget": 10}, {"folder": "gone"}])
def test_without_room_on_disk_a_plane_keeps_its_result_and_says_what_to_do(tmp_path, options):
    folder = tmp_path / options.pop("folder", ".")
    store = kept(1, folder, **options)
    assert len(store.table((0, "raw"))) == 1
    with pytest.raises(ProposalsError, match="segment it again"):
        store.retune((0, "raw"), RECIPE.raw_arm())
    assert (0, "raw") in store


def test_a_volume_is_filled_in_any_order_and_no_number_is_in_two_planes():
    array = planes()
    volume = LabelVolume(3, (64, 64))
    for (position, _), live in done(segmented(array, raw_of((1, 2, 0)))).items():
        volume.put(position, live.result.labels)
        np.testing.assert_array_equal(volume[position], live.result.labels)
        np.testing.assert_array_equal(volume.ids[position] > 0, live.result.labels > 0)
    numbers = [set(np.unique(plane)) - {0} for plane in volume.ids]
    assert [len(some) for some in numbers] == [1, 2, 3]
    assert len(set.union(*numbers)) == 6


def test_an_object_that_comes_again_keeps_its_number():
    volume = LabelVolume(2, (1, 12))
    volume.put(0, np.array([[1, 1, 1, 0, 2, 2, 2, 0, 0, 0, 0, 0]], np.uint32))
    volume.put(1, np.array([[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]], np.uint32))
    before = volume.ids[0].copy()
    volume.put(0, np.array([[0, 0, 0, 0, 1, 1, 0, 0, 2, 2, 0, 0]], np.uint32))
    after = volume.ids[0]
    assert after[0, 4] == before[0, 4]
    assert after[0, 8] not in np.unique(volume.ids[1])
    assert after[0, 8] not in np.unique(before)


def test_large_volumes_are_files(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_graysam.stack.volume.LARGEST", 10)
    volume = LabelVolume(2, (4, 4), tmp_path / "volume.npy")
    volume.put(1, np.eye(4, dtype=np.uint32))
    assert isinstance(volume.ids, np.memmap)
    np.testing.assert_array_equal(np.load(tmp_path / "volume-0.npy")[1], np.eye(4))
    volume.discard(1)
    assert volume.positions == ()
    assert not volume.ids.any()


def test_an_array_that_is_left_to_others_changes_no_more(tmp_path):
    volume = LabelVolume(2, (1, 4))
    volume.put(0, np.array([[0, 1, 1, 2]], np.uint32))
    shown = volume.ids
    volume.part()
    volume.put(0, np.array([[1, 1, 1, 1]], np.uint32))
    assert shown[0].tolist() == [[0, 1, 1, 2]]
    assert (volume.ids[0] > 0).all()
    assert volume[0].tolist() == [[1, 1, 1, 1]]


def test_planes_that_are_missing_cut_a_stack_into_spans():
    assert spans([], [1]) == []
    assert [span.positions for span in spans(range(6), [0, 1, 3, 5])] == [(0, 1), (3,), (5,)]


def numbered_apart(labels):
    """Return planes whose labels are shuffled, as models number them."""
    return [np.where(plane, plane.max() + 1 - plane, 0) for plane in labels]


def moving(count=5):
    """Two squares that move through t; the second is missing in plane 2."""
    labels = np.zeros((count, 40, 40), np.uint32)
    for t in range(count):
        labels[t, 4 + t : 14 + t, 4:14] = 1
        if t != 2:
            labels[t, 20:30, 20 + t : 30 + t] = 2
    return labels


def linked(there, link="overlap", **linking):
    from napari_graysam.batch.volume import link_volume_steps
    from napari_graysam.select import object_table

    truth = moving()
    values = {"stack.axis": "t", "stack.link": link, "image.axes": "TYX"}
    values |= {f"stack.linking.{name}": value for name, value in linking.items()}
    recipe = Recipe().with_values(values)
    stack = Stack(truth.astype(np.uint8) * 50, recipe, pixel_size=0.5)
    volume = LabelVolume(len(truth), (40, 40))
    apart = numbered_apart(truth)
    for position in there:
        volume.put(position, apart[position])

    def table(position):
        masks, _ = label_masks(apart[position])
        scored = [mask.replace(predicted_iou=0.9, stability=0.9) for mask in masks]
        return object_table(scored, apart[position], stack.plane(position).raw)

    return volume, run(link_volume_steps(volume, stack, recipe, table))


def test_a_whole_volume_gets_one_number_an_object_and_gaps_are_filled():
    volume, tables = linked(range(5))
    truth = moving()
    truth[2, 20:30, 22:32] = 2
    np.testing.assert_array_equal(volume.ids, truth)
    assert tables.objects["id"].tolist() == [1, 2]
    assert tables.objects["planes"].tolist() == [5, 5]
    assert tables.objects["filled"].tolist() == [0, 1]
    assert tables.objects["displacement_um"].tolist() == pytest.approx([2, 2])
    assert len(tables.tracks) == 10


def test_objects_are_not_linked_across_planes_that_are_missing():
    volume, tables = linked((0, 1, 3, 4))
    first, second = set(np.unique(volume.ids[:2])) - {0}, set(np.unique(volume.ids[3:])) - {0}
    assert len(first) == len(second) == 2
    assert not first & second
    assert not volume.ids[2].any()
    assert sorted(tables.objects["id"]) == sorted(first | second) == [1, 2, 3, 4]
    for number, part in tables.planes.groupby("id"):
        for t, area in zip(part["t"], part["visible_area"], strict=True):
            assert (volume.ids[t] == number).sum() == area == 100


def test_laptrack_s_distance_is_told_of_every_stretch_of_planes():
    apart = linked((0, 1, 3, 4), "laptrack")[1].max_distance
    assert apart == pytest.approx([2 * np.sqrt(100 / np.pi)] * 2)
    assert linked(range(5))[1].max_distance == ()


def test_without_linking_every_object_of_every_plane_is_one():
    volume, tables = linked(range(5), "none")
    assert len(np.unique(volume.ids)) - 1 == len(tables.objects) == 9
    assert tables.planes.groupby("id").size().max() == 1


def test_nothing_there_gives_empty_tables():
    volume, tables = linked(())
    assert not volume.ids.any()
    assert len(tables.objects) == len(tables.planes) == len(tables.tracks) == 0


def test_removed_objects_come_back_when_less_is_asked_of_them():
    volume, tables = linked(range(5), min_extent=6)
    assert not volume.ids.any()
    assert len(tables.objects) == 0
    assert volume[0].any()


def test_a_pass_over_all_planes_writes_nothing_anew_and_keeps_what_is_in_memory(tmp_path):
    store = kept(1, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    here = store.in_memory
    for threshold in (0.95, 0.5):
        recipe = RECIPE.with_values({"generator.pred_iou_thresh": threshold}).raw_arm()
        for position in (0, 1):
            store.retune((position, "raw"), recipe)
        assert store.in_memory == here
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    store.discard((0, "raw"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arms", ["raw", "preprocessed", "union", "consensus"])
def test_what_comes_back_from_disk_was_seen_by_the_arms_of_its_recipe(tmp_path, arms):
    recipe = RECIPE.with_values({"arms": arms, "stack.axis": "none", "labels.merging.merge": 0.5})
    array = planes()
    store = KeptPlanes(lambda position: to_gray(array[position]), tmp_path, budget=1)
    options = {"source": None, "region": None, "score_floors": FLOORS, "cache": None}
    lives = [run(pipeline.live_steps(plane, recipe, **options)) for plane in array[:2]]
    for position, live in enumerate(lives):
        store.put((position, "raw"), live)
    assert store.in_memory == ((1, "raw"),)
    back = store.get((0, "raw"))
    np.testing.assert_array_equal(back.result.view, lives[0].result.view)
    np.testing.assert_array_equal(back.result.labels, lives[0].result.labels)
    np.testing.assert_array_equal(back.selector._levels.smooth, lives[0].selector._levels.smooth)
