"""A selector gives what a plain selection gives, whatever it remembers."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import reference_selection
from cachetools import LRUCache
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import blobs, drawn, riddled

from napari_graysam.errors import ProposalsError
from napari_graysam.masks import Mask, paint
from napari_graysam.progress import run
from napari_graysam.propose import Proposals
from napari_graysam.recipe import ColumnFilter, GeneratorOptions, LabelOptions, PinnedMask
from napari_graysam.recipe.filters import Column
from napari_graysam.select import Selector, object_table, select
from napari_graysam.select.shapes import remember, size_in_bytes

FIELDS = (
    *("box", "area", "predicted_iou", "stability", "point", "crop_box", "parent", "depth"),
    *("source", "pinned", "candidates"),
)
CROPPED, PLAIN, TIED, RIDDLED = range(4)


pytestmark = pytest.mark.usefixtures("one_thread")


PROPOSALS = [
    blobs(60, (150, 210), crops=True, seed=1),
    blobs(60, (128, 128), seed=2),
    blobs(60, (90, 110), steps=0.5, seed=3),
    riddled(60, seed=4),
]
SELECTOR = Selector(PROPOSALS[PLAIN])

generators = st.builds(
    GeneratorOptions,
    pred_iou_thresh=st.sampled_from([0, 0.3, 0.5, 0.8]),
    stability_score_thresh=st.sampled_from([0, 0.6, 0.8]),
    stability_score_offset=st.sampled_from([1.0, 1.0, 2.0, 3.0]),
    mask_threshold=st.sampled_from([0.0, 0.0, 0.0, 0.5, -1.0]),
    box_nms_thresh=st.sampled_from([0.3, 0.7, 1.0]),
    crop_nms_thresh=st.sampled_from([0.3, 0.7, 1.0]),
    min_mask_region_area=st.sampled_from([0, 0, 6, 25]),
)
label_options = st.builds(
    LabelOptions,
    suppression=st.sampled_from(["box", "mask_iou", "containment"]),
    suppression_thresh=st.sampled_from([0.2, 0.5, 0.8, 1.0]),
    overlap=st.sampled_from(["smaller_on_top", "higher_score_on_top", "disjoint"]),
    level=st.sampled_from(["all", "whole", "parts"]),
    min_area=st.sampled_from([0, 30, 100]),
    max_area=st.sampled_from([None, 400, 2000]),
    fill_holes=st.sampled_from([0, 3, 30]),
    min_island=st.sampled_from([0, 4, 30]),
    exclude_border=st.booleans(),
)
pins = st.lists(st.integers(0, 59), max_size=2)
questions = st.lists(st.tuples(generators, label_options, pins), min_size=1, max_size=4)


def same(ours: tuple[Mask, ...], plain: tuple[Mask, ...]) -> None:
    assert [mask.candidates for mask in ours] == [mask.candidates for mask in plain]
    for one, other in zip(ours, plain, strict=True):
        assert [getattr(one, name) for name in FIELDS] == [getattr(other, name) for name in FIELDS]
        assert one.area == np.count_nonzero(one.bits)
        np.testing.assert_array_equal(one.bits, other.bits)


@pytest.mark.parametrize("budget", [2**30, 20_000])
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(which=st.integers(0, 3), asked=questions)
def test_selecting_again_gives_what_a_plain_selection_gives(
    budget: int, which: int, asked: list[tuple[GeneratorOptions, LabelOptions, list[int]]]
) -> None:
    proposals = PROPOSALS[which]
    selector = Selector(proposals, budget)
    for generator, labels, keep in asked:
        generator = generator.replace(crop_n_layers=int(which == CROPPED))
        labels = labels.replace(keep=tuple(selector.pinned_mask(candidate) for candidate in keep))
        same(
            selector.select(generator, labels, "preprocessed"),
            reference_selection.select(proposals, generator, labels, "preprocessed"),
        )
        assert selector.nbytes <= budget


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 3), generators, label_options)
def test_survivors_are_those_of_a_plain_selection(
    which: int, generator: GeneratorOptions, labels: LabelOptions
) -> None:
    generator = generator.replace(crop_n_layers=int(which == CROPPED))
    plain = reference_selection.survivors(PROPOSALS[which], generator, labels)
    same(Selector(PROPOSALS[which]).survivors(generator, labels), tuple(plain))


ALL = GeneratorOptions(pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=1)


def test_each_size_of_hole_and_island_is_an_answer_of_its_own() -> None:
    image = np.zeros((1, 40, 40), bool)
    image[0, 5:25, 5:25] = True
    image[0, 10:12, 10:12] = image[0, 15:17, 15:18] = False
    image[0, 30:32, 30:32] = image[0, 30:33, 34:37] = True
    selector = Selector(drawn(image, [0.9]))

    def area(generator: GeneratorOptions = ALL, **options: int) -> int:
        (mask,) = selector.select(generator, LabelOptions(**options))
        return mask.area

    full = 400 - 4 - 6 + 4 + 9
    for _ in range(2):
        assert area() == full
        assert area(fill_holes=4) == full + 4
        assert area(fill_holes=6) == full + 10
        assert area(min_island=5) == full - 4
        assert area(min_island=10) == full - 13
        assert area(fill_holes=4, min_island=10) == full + 4 - 13
        assert area(ALL.replace(min_mask_region_area=5)) == full
        assert area(ALL.replace(min_mask_region_area=10), fill_holes=3) == full + 10 - 13


def test_a_part_lies_inside_from_nine_tenths_on_and_twins_do_not() -> None:
    images = np.zeros((4, 40, 40), bool)
    images[0, 0:20, 0:20] = True
    images[1, 5:15, 11:21] = images[2, 5:15, 12:22] = True  # 90 and 80 of 100 pixels inside.
    images[3] = images[0]
    masks = Selector(drawn(images, [0.9, 0.8, 0.7, 0.6])).select(ALL, LabelOptions())
    assert [mask.candidates for mask in masks] == [(0,), (1,), (2,), (3,)]
    assert [(mask.parent, mask.depth) for mask in masks] == [(-1, 0), (0, 1), (-1, 0), (-1, 0)]


def test_a_mask_knows_its_source_and_its_candidate() -> None:
    proposals = PROPOSALS[PLAIN]
    for mask in select(proposals, ALL, LabelOptions(overlap="disjoint"), "preprocessed"):
        (candidate,) = mask.candidates
        assert mask.source == "preprocessed"
        assert mask.predicted_iou == proposals.predicted_iou[candidate]
        assert mask.point == tuple(proposals.point[candidate].tolist())


def test_the_floor_is_respected() -> None:
    record = {**PROPOSALS[PLAIN].record, "stability_floor": 0.5}
    selector = Selector(_with_record(PROPOSALS[PLAIN], record))
    with pytest.raises(ProposalsError, match="floor"):
        selector.select(GeneratorOptions(stability_score_thresh=0.4), LabelOptions())
    with pytest.raises(ProposalsError, match="stability_floor=0"):
        selector.select(GeneratorOptions(mask_threshold=1), LabelOptions())


def test_preparing_changes_nothing_and_can_be_cancelled() -> None:
    proposals = blobs(70, (80, 96), seed=5)
    selector = Selector(proposals)
    generator, labels = GeneratorOptions(pred_iou_thresh=0.5), LabelOptions(suppression="mask_iou")
    steps = selector.prepare(generator, labels)
    assert next(steps) == ("prepare", 0, 70)
    steps.close()
    run(selector.prepare(generator, labels))
    assert selector.nbytes > 0
    same(
        selector.select(generator, labels),
        reference_selection.select(proposals, generator, labels),
    )


def test_what_was_used_longest_ago_is_forgotten() -> None:
    one, two, three = (np.zeros(100, np.uint8) for _ in range(3))
    cache: LRUCache[Any, Any] = LRUCache(2 * size_in_bytes(one), getsizeof=size_in_bytes)
    remember(cache, "a", one)
    remember(cache, "b", two)
    assert cache.get("a") is one
    remember(cache, "c", three)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (one, None, three)
    remember(cache, "huge", np.zeros(10_000, np.uint8))
    assert set(cache) == {"a", "c"}


# --- pinned masks


def suppressed(proposals: Proposals, generator: GeneratorOptions) -> int:
    chosen = {mask.point for mask in select(proposals, generator)}
    points = [tuple(point) for point in proposals.point.tolist()]
    return next(i for i, p in enumerate(points) if p not in chosen and proposals.area[i] > 0)


@pytest.mark.parametrize("suppression", ["box", "mask_iou", "containment"])
def test_a_kept_mask_passes_every_filter(suppression: Any) -> None:
    proposals, selector = PROPOSALS[PLAIN], SELECTOR
    generator = GeneratorOptions(pred_iou_thresh=0.95, stability_score_thresh=1)
    candidate = suppressed(proposals, generator)
    labels = LabelOptions(
        keep=(selector.pinned_mask(candidate),),
        suppression=suppression,
        min_area=10**5,
        exclude_border=True,
        level="whole",
    )
    (mask,) = select(proposals, generator, labels)
    assert mask.pinned
    assert mask.point == tuple(proposals.point[candidate].tolist())
    assert mask.area == proposals.area[candidate]


def test_a_kept_mask_drives_out_its_duplicates() -> None:
    proposals, selector = PROPOSALS[PLAIN], SELECTOR
    generator = GeneratorOptions(pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=0.3)
    explanations = [
        explanation
        for y in range(0, 128, 8)
        for x in range(0, 128, 8)
        for explanation in selector.explain(x, y, generator, LabelOptions())
    ]
    dropped = next(v for v in explanations if v.reason == "duplicate" and v.by)
    assert dropped.by_candidate is not None
    labels = LabelOptions(keep=(selector.pinned_mask(dropped.candidate),))
    points = [tuple(mask.point) for mask in selector.select(generator, labels)]
    assert selector.select(generator, labels)[0].predicted_iou == dropped.predicted_iou
    assert tuple(proposals.point[dropped.by_candidate].tolist()) not in points
    assert selector.pinned_mask(dropped.by_candidate) not in labels.keep


def test_masks_that_are_not_there_are_listed_and_change_nothing() -> None:
    proposals, selector = PROPOSALS[PLAIN], SELECTOR
    generator = GeneratorOptions(pred_iou_thresh=0.5)
    elsewhere = PinnedMask(point=(1.5, 2.5))
    labels = LabelOptions(keep=(elsewhere, selector.pinned_mask(4)))
    assert selector.missing_pinned(labels) == (elsewhere,)
    same(
        selector.select(generator, labels),
        reference_selection.select(proposals, generator, labels.replace(keep=labels.keep[1:])),
    )


def test_kept_masks_need_every_candidate() -> None:
    record = {**PROPOSALS[PLAIN].record, "iou_floor": 0.5}
    proposals = _with_record(PROPOSALS[PLAIN], record)
    with pytest.raises(ProposalsError, match=r"floors of 0"):
        select(proposals, GeneratorOptions(), LabelOptions(keep=(PinnedMask(point=(1, 2)),)))


def test_names_tell_all_candidates_apart() -> None:
    names = [Selector(PROPOSALS[CROPPED]).pinned_mask(index) for index in range(60)]
    assert len(set(names)) == 60
    assert {name.mask for name in names} == {0, 1, 2}


def _with_record(proposals: Proposals, record: dict[str, Any]) -> Proposals:
    from dataclasses import replace

    return replace(proposals, record=record)


def test_what_was_prepared_is_not_cut_again(monkeypatch: pytest.MonkeyPatch) -> None:
    proposals = blobs(300, (256, 256), radius=(0.02, 0.1))
    selector = Selector(proposals)
    base = GeneratorOptions(pred_iou_thresh=0.5, stability_score_thresh=0.5)
    labels = LabelOptions()
    run(selector.prepare(base, labels))
    cut: list[int] = []
    whole = Proposals.bits

    def counted(self: Proposals, index: int, *rest: Any) -> Any:
        cut.append(index)
        return whole(self, index, *rest)

    monkeypatch.setattr(Proposals, "bits", counted)
    for threshold in (0.9, 0.8, 0.85, 0.75, 0.7, 0.65):
        assert selector.select(base.replace(pred_iou_thresh=threshold), labels)
    assert not cut
    Selector(proposals).select(base, labels)
    assert cut


def test_the_surest_candidates_are_prepared_first(monkeypatch: pytest.MonkeyPatch) -> None:
    proposals = blobs(100, (64, 64), side=32, seed=2)
    selector = Selector(proposals)
    prepared: list[int] = []
    monkeypatch.setattr(
        selector, "_prepare", lambda candidates, *_: prepared.extend(candidates.tolist())
    )
    generator, labels = GeneratorOptions(), LabelOptions()
    list(selector.prepare(generator, labels))
    assert sorted(prepared) == list(range(len(proposals)))
    assert (np.diff(proposals.predicted_iou[prepared]) <= 0).all()


@pytest.mark.parametrize("column", get_args(Column))
def test_a_filter_keeps_the_rows_of_the_table_in_its_range(column):
    proposals = PROPOSALS[PLAIN]
    shape = proposals.image_size
    raw = np.random.default_rng(1).normal(100, 30, shape)
    selector, generator = Selector(proposals, raw=raw), GeneratorOptions(pred_iou_thresh=0.3)
    every = selector.select(generator, LabelOptions())
    values = object_table(every, paint(every, shape), raw)[column].astype(float)
    assert selector.column_range(column, generator, LabelOptions()) == (values.min(), values.max())
    low, high = values.quantile([0.2, 0.7], interpolation="nearest")
    one = ColumnFilter(column=column, minimum=low, maximum=high)
    kept = selector.select(generator, LabelOptions(filters=(one,)))
    wanted = [mask for mask, value in zip(every, values, strict=True) if low <= value <= high]
    assert [mask.candidates for mask in kept] == [mask.candidates for mask in wanted]
    assert all(mask.parent < len(kept) for mask in kept)
    nothing = LabelOptions(filters=(ColumnFilter(column=column),))
    assert [mask.candidates for mask in selector.select(generator, nothing)] == [
        mask.candidates for mask in every
    ]


def test_intensities_need_the_image_and_pinned_masks_pass():
    dark = (ColumnFilter(column="intensity_mean", maximum=-1),)
    with pytest.raises(ProposalsError, match=r"intensity_mean.*gray values"):
        SELECTOR.select(GeneratorOptions(), LabelOptions(filters=dark))
    selector = Selector(PROPOSALS[PLAIN], raw=np.ones(PROPOSALS[PLAIN].image_size))
    keep = (selector.pinned_mask(3),)
    (kept,) = selector.select(GeneratorOptions(), LabelOptions(filters=dark, keep=keep))
    assert kept.candidates == (3,)
