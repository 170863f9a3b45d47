"""One object, one mask: fragments are merged and joined objects split, by evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic import drawn

from napari_graysam.comparison import compare_masks, comparison_csv, event_table
from napari_graysam.errors import ProposalsError
from napari_graysam.masks import Mask
from napari_graysam.prompt import removal, taking_back
from napari_graysam.recipe import GeneratorOptions, LabelOptions, MergingOptions, Recipe
from napari_graysam.select import Selector
from napari_graysam.select.pins import pins_holding

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 96
Y, X = np.mgrid[:SIDE, :SIDE]
GENERATOR = GeneratorOptions(pred_iou_thresh=0.5, stability_score_thresh=0.5, box_nms_thresh=0.9)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    bits: np.ndarray = (X - x) ** 2 + (Y - y) ** 2 <= radius**2
    return bits


DISC = disc(48, 48, 20)
HALVES = DISC & (X < 48), DISC & (X >= 48)
PAIR = disc(34, 48, 14), disc(63, 48, 14)


def picture(objects: np.ndarray, lines: np.ndarray | None = None, bright: float = 180) -> Any:
    """Draw objects on a dark ground, with dark lines, and a little noise."""
    image = np.where(objects, bright, 40.0)
    if lines is not None:
        image[lines] = 40
    return (image + np.random.default_rng(0).normal(0, 3, image.shape)).astype(np.float32)


def select(
    masks: list[np.ndarray],
    scores: list[float],
    image: np.ndarray,
    merge: float = 0.0,
    split: float = 0.0,
    **labels: Any,
) -> Any:
    selector = Selector(drawn(np.stack(masks), scores), raw=image, views=[_view(image)])
    options = LabelOptions(merging=MergingOptions(merge=merge, split=split), **labels)
    return selector.selection(GENERATOR, options)


def _view(image: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def same(mask: Mask, bits: np.ndarray, most: int = 0) -> bool:
    return int(np.count_nonzero(mask.full(bits.shape) ^ bits)) <= most


def test_two_halves_of_a_disc_become_one() -> None:
    found = select([*HALVES], [0.7, 0.7], picture(DISC), merge=0.9)
    (mask,) = found.masks
    assert same(mask, DISC)
    assert mask.candidates == (1, 0)  # The larger half first.
    (one,) = found.regroupings
    assert one.kind == "merged"
    assert [part.area for part in one.before] == [HALVES[1].sum(), HALVES[0].sum()]
    assert one.after[0].bits is mask.bits
    assert one.labels(found.masks) == (1,)


def test_without_merging_or_with_too_little_evidence_they_stay() -> None:
    assert len(select([*HALVES], [0.7, 0.7], picture(DISC)).masks) == 2
    assert len(select([*HALVES], [0.7, 0.7], picture(DISC), merge=0.1).masks) == 2


def test_touching_discs_with_a_dark_line_between_them_stay() -> None:
    one, other = PAIR
    line = (X == 48) | (X == 49)
    image = picture(one | other, line)
    for merge in (0.5, 0.8, 0.95):
        assert len(select([one, other], [0.7, 0.7], image, merge=merge).masks) == 2


def test_halves_with_a_dark_line_between_them_speak_less_for_one() -> None:
    def evidence(image: np.ndarray) -> float:
        (one,) = select([*HALVES], [0.7, 0.7], image, merge=1).regroupings
        return float(one.reasons.evidence)

    line = (X >= 47) & (X <= 48)
    plain, divided = picture(DISC), picture(DISC, line)
    assert evidence(plain) > 2 * evidence(divided)
    steps = picture(DISC)
    steps[HALVES[0]] -= 90
    assert evidence(plain) > 2 * evidence(steps)


def test_the_image_that_speaks_against_counts() -> None:
    line = (X >= 47) & (X <= 48)
    proposals = drawn(np.stack(HALVES), [0.7, 0.7])
    labels = LabelOptions(merging=MergingOptions(merge=1))

    def edge(raw: np.ndarray, view: np.ndarray) -> float:
        selector = Selector(proposals, raw=raw, views=[_view(view)])
        (one,) = selector.selection(GENERATOR, labels).regroupings
        return float(one.reasons.edge)

    plain, divided = picture(DISC), picture(DISC, line)
    both = edge(divided, divided)
    assert edge(plain, divided) == pytest.approx(both, rel=0.05)
    assert edge(divided, plain) == pytest.approx(both, rel=0.05)
    assert edge(plain, plain) < both / 2


def test_a_dropped_candidate_that_covers_the_fragments_speaks_for_one_and_is_the_mask() -> None:
    left, right = DISC & (X < 47), DISC & (X > 48)
    generator = GENERATOR.replace(pred_iou_thresh=0.6)
    masks = np.stack([left, right, DISC])
    image = picture(DISC)

    def found(score: float) -> Any:
        selector = Selector(drawn(masks, [0.7, 0.7, score]), raw=image)
        labels = LabelOptions(merging=MergingOptions(merge=1))
        return selector.selection(generator, labels)

    low, high = found(0.2), found(0.58)
    assert np.isnan(low.regroupings[0].reasons.whole)
    reasons = high.regroupings[0].reasons
    assert reasons.whole == pytest.approx(0.58 - 0.7, abs=1e-6)
    assert reasons.covered == pytest.approx((left | right).sum() / DISC.sum(), abs=1e-6)
    assert reasons.evidence > low.regroupings[0].reasons.evidence
    assert same(high.masks[0], DISC)
    assert sorted(high.masks[0].candidates) == [0, 1]


def test_gaps_of_a_few_pixels_are_closed_and_larger_ones_part() -> None:
    def fragments(gap: int) -> Any:
        halves = [DISC & (X < 48), DISC & (X - gap >= 48)]
        return select(halves, [0.7, 0.7], picture(DISC), merge=1).masks

    (mask,) = fragments(2)
    assert same(mask, DISC, most=4)
    assert len(fragments(8)) == 2


def test_three_fragments_become_one_whatever_their_order() -> None:
    thirds = [DISC & (X < 42), DISC & (X >= 42) & (X < 54), DISC & (X >= 54)]
    found = []
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        (mask,) = select([thirds[i] for i in order], [0.7] * 3, picture(DISC), merge=0.9).masks
        found.append(mask)
        assert len(mask.candidates) == 3
    assert all(same(mask, DISC) for mask in found)


def test_a_merge_takes_in_the_whole_that_is_there() -> None:
    found = select([DISC, *HALVES], [0.9, 0.7, 0.7], picture(DISC), merge=0.9)
    (mask,) = found.masks
    assert same(mask, DISC)
    assert sorted(mask.candidates) == [0, 1, 2]


def test_fragments_below_the_smallest_area_count_once_merged() -> None:
    smallest = int(HALVES[0].sum()) + 50
    assert not select([*HALVES], [0.7, 0.7], picture(DISC), min_area=smallest).masks
    kept = select([*HALVES], [0.7, 0.7], picture(DISC), merge=0.9, min_area=smallest).masks
    assert len(kept) == 1


def test_a_mask_over_two_discs_is_split_into_them() -> None:
    one, other = PAIR
    image = picture(one | other, (X == 48) | (X == 49))
    joined = one | other
    masks, scores = [joined, one, other], [0.8, 0.75, 0.75]
    containment = {"suppression": "containment", "suppression_thresh": 0.5}
    (whole,) = select(masks, scores, image, **containment).masks
    assert same(whole, joined)
    found = select(masks, scores, image, split=0.9, **containment)
    assert [mask.candidates for mask in found.masks] == [(1,), (2,)]
    (record,) = found.regroupings
    assert (record.kind, record.before[0].candidates) == ("split", (0,))
    assert record.labels(found.masks) == (1, 2)
    again = select(masks, scores, image, merge=1, split=0.9, **containment)
    assert len(again.masks) == 2  # What was split is not merged again.


def test_one_disc_is_not_split_into_its_halves() -> None:
    masks, scores = [DISC, *HALVES], [0.9, 0.75, 0.75]
    containment = {"suppression": "containment", "suppression_thresh": 0.5}
    found = select(masks, scores, picture(DISC), split=0.5, **containment)
    assert [mask.candidates for mask in found.masks] == [(0,)]


def test_kept_masks_stay_as_they_are() -> None:
    proposals = drawn(np.stack(HALVES), [0.7, 0.7])
    selector = Selector(proposals, raw=picture(DISC))
    labels = LabelOptions(merging=MergingOptions(merge=1), keep=(selector.pinned_mask(0),))
    assert len(selector.select(GENERATOR, labels)) == 2


@pytest.mark.parametrize("masks", [[], [DISC]])
def test_none_or_one_mask_is_left_alone(masks: list[np.ndarray]) -> None:
    images = np.array(masks, bool).reshape(-1, SIDE, SIDE)
    selector = Selector(drawn(images, [0.7] * len(masks)), raw=picture(DISC))
    found = selector.selection(GENERATOR, LabelOptions(merging=MergingOptions(merge=1, split=1)))
    assert len(found.masks) == len(masks)
    assert not found.regroupings


def test_a_constant_image_and_one_without_numbers_give_an_answer() -> None:
    for value in (0.0, np.nan):
        image = np.full((SIDE, SIDE), value, np.float32)
        selector = Selector(drawn(np.stack(HALVES), [0.7, 0.7]), raw=image)
        labels = LabelOptions(merging=MergingOptions(merge=1))
        (one,) = selector.selection(GENERATOR, labels).regroupings
        assert one.reasons.edge == 0


def test_why_a_fragment_is_no_object() -> None:
    selector = Selector(drawn(np.stack(HALVES), [0.7, 0.7]), raw=picture(DISC))
    labels = LabelOptions(merging=MergingOptions(merge=0.9))
    (fragment,) = selector.explain(40, 48, GENERATOR, labels)
    assert fragment.reason == "merged"
    assert fragment.by == 1
    assert fragment.text.startswith("merged into object 1 (evidence 0.")
    (object_,) = selector.explain(56, 48, GENERATOR, labels)
    assert object_.text == "object 1, merged from 2 masks"


def test_proposals_alone_or_with_higher_floors_are_refused() -> None:
    proposals = drawn(np.stack(HALVES), [0.7, 0.7])
    labels = LabelOptions(merging=MergingOptions(merge=0.5))
    with pytest.raises(ProposalsError, match=r"labels.merging .*give the gray values"):
        Selector(proposals).select(GENERATOR, labels)
    floored = replace(proposals, record={**proposals.record, "iou_floor": 0.5})
    with pytest.raises(ProposalsError, match=r"labels.merging .*predicted IoU of 0.3"):
        Selector(floored, raw=picture(DISC)).select(GENERATOR, labels)


def test_selecting_again_gives_the_same() -> None:
    selector = Selector(drawn(np.stack(HALVES), [0.7, 0.7]), raw=picture(DISC))
    counts = [
        len(selector.select(GENERATOR, LabelOptions(merging=MergingOptions(merge=merge))))
        for merge in (0, 0.9, 0, 0.9, 0.05)
    ]
    assert counts == [2, 1, 2, 1, 2]


def test_a_comparison_says_what_was_merged_on_what_evidence() -> None:
    plain = select([*HALVES], [0.7, 0.7], picture(DISC))
    merged = select([*HALVES], [0.7, 0.7], picture(DISC), merge=0.9)
    comparison = compare_masks(plain.masks, merged.masks, (SIDE, SIDE))
    (evidence,) = (one.reasons.evidence for one in merged.regroupings)
    rows = comparison.objects.set_index(["arm", "index"])
    assert rows.loc[("preprocessed", 1), "regrouped"] == "merged"
    assert rows.loc[("preprocessed", 1), "evidence"] == evidence
    assert rows.loc["raw", "regrouped"].tolist() == ["", ""]
    assert event_table(comparison)["regrouped"].tolist() == [f"merged {evidence:.2f}"]
    header = comparison_csv(comparison).splitlines()[0]
    assert header.endswith(",regrouped,evidence")
    without = compare_masks(plain.masks, plain.masks, (SIDE, SIDE))
    assert "regrouped" not in without.objects
    assert event_table(without)["regrouped"].tolist() == ["", ""]


@pytest.mark.parametrize("kind", ["merged", "split"])
def test_a_merge_or_a_split_is_taken_back_singly(kind: str) -> None:
    one, other = PAIR
    far = [bits.copy() for bits in HALVES]
    image = picture(one | other, (X == 48) | (X == 49))
    options: dict[str, Any] = {"merge": 1.0}
    masks, scores = far, [0.7, 0.7]
    if kind == "split":
        options = {"split": 0.9}
        masks, scores = [one | other, one, other], [0.8, 0.75, 0.75]
    containment = {"suppression": "containment", "suppression_thresh": 0.5}
    selector = Selector(drawn(np.stack(masks), scores), raw=image, image="1f")
    labels = LabelOptions(merging=MergingOptions(**options), **containment)
    off = selector.select(GENERATOR, labels.replace(merging=MergingOptions()))
    (done,) = selector.selection(GENERATOR, labels).regroupings
    assert done.kind == kind
    pin = taking_back(done, "1f", (SIDE, SIDE))
    back = selector.selection(GENERATOR, labels.replace(pinned=(pin,)))
    assert back.regroupings == ()
    assert [mask.candidates for mask in back.masks] == [mask.candidates for mask in off]
    held = "apart" if kind == "merged" else "whole"
    marked = [mask for mask in back.masks if mask.regrouped]
    assert {mask.regrouped for mask in marked} == {held}
    assert len(marked) == len(done.before)
    table = event_table(compare_masks(off, back.masks, (SIDE, SIDE)))
    assert table["regrouped"].tolist().count(f"pinned {held}") == len(marked)
    of_image = labels.replace(pinned=(pin,))
    assert pins_holding(marked[0], of_image, (SIDE, SIDE), "1f") == (pin,)
    assert pins_holding(marked[0], of_image, (SIDE, SIDE), "2f") == ()
    foreign = pin.replace(image="2f")
    assert selector.selection(GENERATOR, labels.replace(pinned=(foreign,))).regroupings
    recipe = Recipe().replace(labels=labels.replace(pinned=(pin,)))
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


def test_taking_back_one_merge_leaves_the_others() -> None:
    small = disc(20, 20, 12)
    quarters = [small & (X < 20), small & (X >= 20), *HALVES]
    selector = Selector(drawn(np.stack(quarters), [0.7] * 4), raw=picture(small | DISC))
    labels = LabelOptions(merging=MergingOptions(merge=0.9))
    found = selector.selection(GENERATOR, labels)
    assert len(found.masks) == len(found.regroupings) == 2
    one = next(done for done in found.regroupings if 0 in done.after[0].candidates)
    pinned = labels.replace(pinned=(taking_back(one, "1f", (SIDE, SIDE)),))
    after = selector.selection(GENERATOR, pinned)
    assert sorted(sorted(mask.candidates) for mask in after.masks) == [[0], [1], [2, 3]]


def test_an_object_that_merging_made_is_removed_by_a_pin_and_comes_back_without_it() -> None:
    other = disc(14, 14, 9)
    thirds = [DISC & (X < 42), DISC & (X >= 42) & (X < 54), DISC & (X >= 54), other]
    image = picture(DISC | other)
    plain = select(thirds, [0.7] * 4, image, merge=0.9)
    merged = next(mask for mask in plain.masks if same(mask, DISC))
    pin = removal(merged, "1f", (SIDE, SIDE))
    (left,) = select(thirds, [0.7] * 4, image, merge=0.9, pinned=(pin,)).masks
    assert same(left, other)
    apart = select(thirds, [0.7] * 4, image, pinned=(pin,)).masks
    assert len(apart) == 4  # Without merging, no fragment is the object that was removed.
    again = select(thirds, [0.7] * 4, image, merge=0.9)
    assert [mask.candidates for mask in again.masks] == [mask.candidates for mask in plain.masks]


def test_a_run_and_selecting_again_merge_alike_and_say_so() -> None:
    from napari_graysam import run
    from napari_graysam.pipeline import live_steps, retune, segment

    image = picture(disc(30, 30, 14) | disc(64, 60, 18), (X > 61) & (X < 67))
    off = (
        Recipe()
        .with_values({"generator.points_per_side": 8, "generator.pred_iou_thresh": 0.3})
        .with_values({"generator.stability_score_thresh": 0.2})
    )
    on = off.with_values({"labels.merging.merge": 1.0})
    live = run(live_steps(image, off))
    assert live.result.regroupings == ()
    assert "regroupings" not in live.result.provenance["selection"]
    again, whole = retune(live, on), segment(image, on)
    np.testing.assert_array_equal(again.labels, whole.labels)
    assert 0 < len(whole.masks) < len(live.result.masks)
    records = whole.provenance["selection"]["regroupings"]
    assert [one["kind"] for one in records] == ["merged"] * len(whole.regroupings)
    assert records[0]["evidence"] == round(whole.regroupings[0].reasons.evidence, 3)
    (note,) = [note for note in whole.notes if note.startswith("one object, one mask: ")]
    assert f"merged into {len(records)}" in note
