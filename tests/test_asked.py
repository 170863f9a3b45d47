"""Evidence from the model itself, and masks that came after the selection, in merging."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import drawn

from napari_graysam.ask import ask_together
from napari_graysam.masks import Mask, nest
from napari_graysam.pipeline.kept import KeptPlanes
from napari_graysam.progress import Progress, run
from napari_graysam.prompt import taking_back
from napari_graysam.recipe import GeneratorOptions, LabelOptions, MergingOptions, Recipe
from napari_graysam.select import Selector
from napari_graysam.select.regrouping.asked import answered
from napari_graysam.source.gray import to_gray

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 96
Y, X = np.mgrid[:SIDE, :SIDE]
GENERATOR = GeneratorOptions(pred_iou_thresh=0.5, stability_score_thresh=0.5, box_nms_thresh=0.9)
DISC = (X - 48) ** 2 + (Y - 48) ** 2 <= 20**2
LEFT, RIGHT = DISC & (X < 48), DISC & (X >= 48)
BELOW = (X > 30) & (X < 60) & (Y > 70) & (Y < 90)
ASKED = MergingOptions(merge=0.5, ask=True)


def picture(objects: np.ndarray) -> Any:
    """Draw objects on a dark ground, with a little noise."""
    image = np.where(objects, 180.0, 40.0)
    return (image + np.random.default_rng(0).normal(0, 3, image.shape)).astype(np.float32)


def mask(bits: np.ndarray, **scores: Any) -> Mask:
    values = {"predicted_iou": 0.75, "crop_box": (0, 0, SIDE, SIDE), **scores}
    return Mask(np.ones((SIDE, SIDE), bool), (0, 0, SIDE, SIDE), **values).with_bits(bits)


def selector_of(*objects: np.ndarray) -> Selector:
    """Select among these objects, in a picture of a disc and another object."""
    proposals = drawn(np.stack(objects), [0.7] * len(objects))
    return Selector(proposals, raw=picture(DISC | BELOW), image="1f")


def neighbours(selector: Selector, labels: LabelOptions) -> list[tuple[Mask, Mask]]:
    return selector.with_regrouper(lambda one: one.neighbours(), GENERATOR, labels)


def evidence(answer: Mask | None, *others: np.ndarray) -> float:
    selector = selector_of(LEFT, RIGHT, *others)
    labels = LabelOptions(merging=MergingOptions(merge=1))
    (pair,) = [
        pair
        for pair in neighbours(selector, LabelOptions(merging=ASKED))
        if {one.candidates for one in pair} == {(0,), (1,)}
    ]
    selector.learn(answered([pair], [answer]))
    found = selector.selection(GENERATOR, labels).regroupings
    return next(one.reasons for one in found if len(one.before) == 2).evidence


def test_an_answer_that_shows_both_as_one_speaks_for_it() -> None:
    assert evidence(mask(DISC)) > evidence(None) + 0.1


@pytest.mark.parametrize(
    "answer",
    [mask(DISC, predicted_iou=0.6), mask(LEFT), mask(DISC | BELOW)],
    ids=["less sure", "only one of them", "with another object"],
)
def test_other_answers_say_nothing(answer: Mask) -> None:
    assert evidence(answer, BELOW) == evidence(None, BELOW)


def test_the_merged_object_is_what_the_model_drew_and_the_result_says_so() -> None:
    selector, labels = selector_of(LEFT, RIGHT), LabelOptions(merging=ASKED.replace(merge=0.9))
    (pair,) = neighbours(selector, labels)
    larger = (X - 48) ** 2 + (Y - 48) ** 2 <= 21**2
    selector.learn(answered([pair], [mask(larger, predicted_iou=0.9)]))
    assert neighbours(selector, labels) == []
    found = selector.selection(GENERATOR, labels)
    (merged,) = found.masks
    assert np.array_equal(merged.full((SIDE, SIDE)), larger)
    assert set(merged.candidates) == {0, 1}
    (one,) = found.regroupings
    assert one.to_dict(found.masks)["asked"] == pytest.approx(0.2, abs=0.001)
    assert "drawn as one when asked, predicted IoU +0.20" in one.reasons.words
    pin = taking_back(one, "1f", (SIDE, SIDE))
    assert len(selector.select(GENERATOR, labels.replace(pinned=(pin,)))) == 2


def test_answers_do_not_change_which_arm_an_explanation_names() -> None:
    selector, labels = selector_of(LEFT, RIGHT), LabelOptions()
    selector.select(GENERATOR, labels, "preprocessed")
    selector.learn(answered([], []))
    (left, *_) = selector.explain(40, 48, GENERATOR, labels)
    assert left.mask.source == "preprocessed"


class Answering:
    """Stands for a predictor: remembers the prompts, and draws nothing."""

    view = np.zeros((SIDE, SIDE, 3), np.uint8)

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def ask_each(self, prompts: Any, box: Any) -> Any:
        self.asked += [(prompt, box) for prompt in prompts]
        yield Progress("decode", len(prompts), len(prompts))
        return [None] * len(prompts)


def test_each_pair_is_asked_for_with_a_point_in_both_where_both_were_found() -> None:
    crop = (0, 0, 64, 64)
    left, right = mask(LEFT, candidates=(0,)), mask(RIGHT, candidates=(1,))
    pairs = [
        (left, right),
        (left.replace(crop_box=crop), right.replace(crop_box=crop)),
        (left.replace(crop_box=crop), right.replace(crop_box=crop, candidates=())),
    ]
    predictor: Any = Answering()
    answers = run(ask_together(pairs, predictor))
    whole = (0, 0, SIDE, SIDE)
    assert sorted(box for _, box in predictor.asked) == sorted([whole, crop, whole])
    for prompt, _ in predictor.asked:
        (x, y), (a, b) = prompt.positive
        assert LEFT[int(y), int(x)]
        assert RIGHT[int(b), int(a)]
    assert all(answers.knows(*pair) for pair in pairs)


def later(objects: list[np.ndarray], new: list[np.ndarray], **merging: Any) -> Any:
    """Select objects, then merge new ones with them."""
    selector = selector_of(*objects)
    labels = LabelOptions(merging=MergingOptions(**merging))
    selection = selector.selection(GENERATOR, labels)
    found = [
        mask(bits, source="second look, round 1", point=(float(number), 0.0), predicted_iou=0.7)
        for number, bits in enumerate(new)
    ]
    masks = [*selection.masks, *found]
    count = len(selection.masks)

    def add(one: Any) -> Any:
        return one.add(masks, count, selection.regroupings)

    return selection, masks, *selector.with_regrouper(add, GENERATOR, labels)


def test_a_fragment_of_a_second_look_is_merged_with_its_neighbour() -> None:
    _, _, masks, (one,) = later([LEFT, BELOW], [RIGHT], merge=0.95)
    assert [item.area for item in masks] == [int(DISC.sum()), int(BELOW.sum())]
    assert masks[0].regrouped == "merged"
    assert masks[0].evidence == one.reasons.evidence
    assert one.labels(masks) == (1,)
    assert len(one.before) == 2


def test_two_fragments_of_a_second_look_are_merged_too() -> None:
    _, _, masks, (one,) = later([BELOW], [LEFT, RIGHT], merge=0.95)
    assert [item.area for item in masks] == [int(BELOW.sum()), int(DISC.sum())]
    assert one.labels(masks) == (2,)
    assert masks[1].source == "second look, round 1"


def test_a_merge_grows_and_is_told_once() -> None:
    middle = DISC & (X >= 40) & (X < 56)
    ends = [DISC & (X < 40), middle]
    selection, _, masks, regroupings = later(ends, [DISC & (X >= 56)], merge=1.0)
    assert len(selection.regroupings) == 1
    (merged,) = masks
    (one,) = regroupings
    assert len(one.before) == 3
    assert merged.area == int(DISC.sum())
    assert one.reasons.evidence <= selection.regroupings[0].reasons.evidence


def test_without_evidence_or_merging_new_masks_stay() -> None:
    for merging in ({"merge": 0.01}, {"split": 0.5}):
        _, before, masks, regroupings = later([LEFT, BELOW], [RIGHT], **merging)
        assert regroupings == ()
        assert [one.bits is other.bits for one, other in zip(before, masks, strict=True)]
        assert len(masks) == 3


def test_what_a_pin_keeps_apart_stays_apart_from_new_masks() -> None:
    _, _, _, (one,) = later([LEFT, BELOW], [RIGHT], merge=0.95)
    pin = taking_back(one, "1f", (SIDE, SIDE))
    selector = selector_of(LEFT, BELOW)
    labels = LabelOptions(merging=MergingOptions(merge=0.95), pinned=(pin,))
    selection = selector.selection(GENERATOR, labels)
    masks = [*selection.masks, mask(RIGHT, predicted_iou=0.7)]
    found, done = selector.with_regrouper(lambda one: one.add(masks, 2, ()), GENERATOR, labels)
    assert done == ()
    assert [one.regrouped for one in found] == ["apart", "", "apart"]


def test_why_is_answered_with_the_labels_of_what_is_shown() -> None:
    selector = selector_of(LEFT, RIGHT, BELOW)
    labels = LabelOptions(merging=MergingOptions(merge=0.01))
    found = selector.selection(GENERATOR, labels).masks
    corner = (X < 12) & (Y < 12)
    shown = nest([found[2], found[1], found[0], mask(corner, source="second look, round 1")])
    here = selector.explain(40, 48, GENERATOR, labels, shown)
    (left,) = [one for one in here if one.candidate == 0]
    assert shown[left.label - 1].candidates == (0,)
    assert left.label != [one.candidates for one in found].index((0,)) + 1
    (new,) = selector.explain(5, 5, GENERATOR, labels, shown)
    assert (new.label, new.candidate, new.reason) == (4, -1, "object")
    assert new.text == "object 4, second look, round 1"


@pytest.fixture(scope="module")
def live() -> Any:
    """A run of a disc in pieces with a second look, by the bundled model."""
    from napari_graysam.pipeline import live_steps

    image = np.where(DISC, 150.0, 60.0)
    image[(Y > 30) & (Y < 66) & (X > 70) & (X < 92)] = 150
    recipe = Recipe().with_values(
        {
            "generator.points_per_side": 8,
            "generator.pred_iou_thresh": 0.2,
            "generator.stability_score_thresh": 0.0,
            "labels.suppression": "mask_iou",
            "labels.suppression_thresh": 0.5,
            "labels.merging.merge": 1.0,
            "labels.merging.ask": True,
        }
    )
    return image, recipe, run(live_steps(image, recipe))


def test_a_run_asks_keeps_the_answers_and_selects_alike_without_the_model(live: Any) -> None:
    from napari_graysam.pipeline import retune

    _, recipe, found = live
    result = found.result
    assert result.provenance["merging"]["asked"] == len(found.selector.answers) > 0
    assert "ask" in result.provenance["seconds"]
    off = retune(found, recipe.with_values({"labels.merging.merge": 0.0}))
    assert len(off.masks) > len(result.masks)
    again = retune(found, recipe)
    np.testing.assert_array_equal(again.labels, result.labels)
    assert [one.reasons for one in again.regroupings] == [one.reasons for one in result.regroupings]


def test_planes_that_were_put_away_keep_the_answers(live: Any, tmp_path: Path) -> None:
    image, recipe, found = live
    kept = KeptPlanes(lambda position: to_gray(image), tmp_path, budget=1)
    kept.put((0, "raw"), found)
    kept.put((1, "raw"), found)
    assert kept.in_memory == ((1, "raw"),)
    again = kept.retune((0, "raw"), recipe)
    np.testing.assert_array_equal(again.labels, found.result.labels)
    reasons = [one.reasons.to_dict() for one in found.result.regroupings]
    assert [one.reasons.to_dict() for one in again.regroupings] == reasons
    assert any(one["asked"] is not None for one in reasons)


def test_asking_needs_a_new_run_and_not_asking_changes_no_recipe(live: Any) -> None:
    _, recipe, _ = live
    plain = recipe.with_values({"labels.merging.ask": False})
    assert plain.changed_stage(recipe) == "decode"
    assert "ask:" not in plain.to_yaml()


def test_answers_about_both_arms_are_joined(live: Any) -> None:
    _, _, found = live
    answers = found.selector.answers
    behind = answers.behind(1000)
    assert len(answers | behind) == 2 * len(answers)
    for pair in behind.masks:
        assert all(one[0] >= 1000 for one in pair)
    one, other = (replace(mask(LEFT), candidates=(number,)) for number in (1, 2))
    known = answered([(one, other)], [None]).behind(5)
    shifted = (one.marked(candidates=(6,)), other.marked(candidates=(7,)))
    assert known.knows(*shifted)
