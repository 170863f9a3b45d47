"""Objects that are asked for once more."""

import numpy as np
import pytest

from napari_graysam import Recipe, run, segment
from napari_graysam.errors import ProposalsError
from napari_graysam.masks import Mask, mask_iou
from napari_graysam.pipeline import live_steps, predictor_steps, retune
from napari_graysam.progress import Progress
from napari_graysam.recipe import LabelOptions, Prompt
from napari_graysam.refine import NEIGHBOURS, SAME, refine

SHAPE = (160, 160)
WHOLE = (0, 0, 160, 160)


def block(x0, y0, x1, y1, number=0, *, predicted_iou=0.8, crop_box=WHOLE, **values):
    return Mask(
        np.ones((y1 - y0, x1 - x0), bool),
        (x0, y0, x1, y1),
        predicted_iou=predicted_iou,
        point=(x0 + 1.0, y0 + 1.0),
        crop_box=crop_box,
        candidates=(number,),
        **values,
    )


class Answering:
    """Stands for a predictor: remembers the prompts, and answers with given masks by box."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def ask_each(self, prompts, box):
        self.asked += [(prompt, box) for prompt in prompts]
        yield Progress("encode", 0, 1)
        given, self.answers = self.answers[: len(prompts)], self.answers[len(prompts) :]
        return [*given, *[None] * (len(prompts) - len(given))]


def redrawn(masks, *answers, **labels):
    return dict(run(refine(masks, Answering(*answers), LabelOptions(**labels))).masks)


def test_a_surer_answer_of_the_same_object_is_taken():
    mask = block(10, 10, 30, 30, 7)
    answer = block(9, 10, 31, 30, predicted_iou=0.9)
    (taken,) = redrawn([mask], answer).values()
    assert (taken.box, taken.predicted_iou) == (answer.box, 0.9)
    assert (taken.candidates, taken.point, taken.crop_box) == ((7,), mask.point, WHOLE)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        block(10, 10, 30, 30, predicted_iou=0.7),
        block(10, 10, 30, 22, predicted_iou=0.9),
        block(60, 60, 80, 80, predicted_iou=0.9),
    ],
    ids=["none", "less sure", "half of it", "another place"],
)
def test_any_other_answer_is_not(answer):
    assert redrawn([block(10, 10, 30, 30)], answer) == {}


def test_the_surest_objects_are_not_asked_for():
    masks = [
        block(40 * i, 10, 40 * i + 20, 30, i, predicted_iou=score)
        for i, score in enumerate((0.9, 0.5, 0.6, 0.95))
    ]
    answering = Answering()
    run(refine(masks, answering, LabelOptions()))
    asked = [prompt.box[0] // 40 for prompt, _ in answering.asked]
    assert asked == [0, 1, 2]


def test_nothing_is_taken_from_a_neighbour():
    left, right = block(10, 10, 30, 30, 0), block(30, 10, 50, 30, 1)
    greedy = block(10, 10, 34, 30, predicted_iou=0.9)
    assert redrawn([left, right], greedy) == {}
    assert list(redrawn([left], greedy)) == [(0,)]


@pytest.mark.parametrize("limits", [{"min_area": 500}, {"max_area": 420}])
def test_limits_of_size_hold_for_what_is_redrawn(limits):
    answer = block(9, 10, 31, 30, predicted_iou=0.9)
    assert redrawn([block(10, 10, 30, 30)], answer, **limits) == {}


def test_prompts_are_a_box_a_point_and_neighbours():
    mask = block(40, 40, 60, 60, 0)
    beside = [block(62, 40, 82, 60, 1), block(40, 14, 60, 38, 2)]
    part, far = block(42, 42, 50, 50, 3), block(120, 120, 140, 140, 4)
    asking = Answering()
    run(refine([mask, *beside, part, far], asking, LabelOptions()))
    prompt, crop = asking.asked[0]
    assert (prompt.box, prompt.positive, crop) == (mask.box, (mask.point,), WHOLE)
    assert len(prompt.negative) == 2
    for (x, y), other in zip(prompt.negative, beside, strict=True):
        assert other.full(SHAPE)[int(y), int(x)]


def test_at_most_a_few_neighbours_are_named_and_none_outside_the_crop():
    crop = (0, 0, 80, 160)
    row = [block(40, 20 * k, 60, 20 * k + 20, k, crop_box=crop) for k in range(8)]
    around = [block(20, 10 * k, 38, 10 * k + 9, 10 + k) for k in range(12)]
    beyond = block(62, 40, 98, 60, 40)
    asking = Answering()
    run(refine([*row, *around, beyond], asking, LabelOptions()))
    prompt = next(prompt for prompt, box in asking.asked if prompt.box == row[2].box)
    assert len(prompt.negative) == NEIGHBOURS
    assert all(x < 80 for x, _ in prompt.negative)


def test_pinned_objects_and_images_without_any_are_left_alone():
    asking = Answering()
    assert run(refine([block(1, 1, 9, 9, pinned=True)], asking, LabelOptions())).asked == 0
    assert run(refine([], asking, LabelOptions())).notes == ()
    assert asking.asked == []


@pytest.fixture(scope="module")
def discs():
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    image = np.full(SHAPE, 40.0)
    for row, column in ((40, 40), (44, 100), (110, 60), (112, 92)):
        image[(y - row) ** 2 + (x - column) ** 2 < 14**2] = 170
    return image + np.random.default_rng(1).normal(0, 6, SHAPE)


RECIPE = Recipe.preset("raw").with_values({"generator.points_per_side": 12})
REFINED = RECIPE.with_values({"refine": True})


def test_a_run_redraws_its_objects_and_says_so(discs):
    before, after = segment(discs, RECIPE), segment(discs, REFINED)
    assert len(before.masks) == len(after.masks) >= 4
    changed = 0
    for one, other in zip(before.masks, after.masks, strict=True):
        assert mask_iou(one, other) >= SAME
        assert other.predicted_iou >= one.predicted_iou
        changed += other.predicted_iou > one.predicted_iou
    record = after.provenance["refinement"]
    assert record == {"asked": len(after.masks) - 1, "redrawn": record["redrawn"]}
    assert 1 <= changed <= record["redrawn"]
    assert any("refinement" in note for note in after.notes)
    for number, mask in enumerate(after.masks, 1):
        assert np.all(after.labels[mask.full(SHAPE)] > 0)
        assert np.count_nonzero(after.labels == number)


def test_selecting_again_keeps_the_outlines_and_switching_off_needs_the_model(discs):
    live = run(live_steps(discs, REFINED))
    assert np.array_equal(retune(live, REFINED).labels, live.result.labels)
    sure = live.result.masks[1].predicted_iou
    fewer = retune(live, REFINED.with_values({"generator.pred_iou_thresh": sure}))
    known = {mask.candidates: mask for mask in live.result.masks}
    assert fewer.masks
    for mask in fewer.masks:
        assert np.array_equal(mask.bits, known[mask.candidates].bits)
    with pytest.raises(ProposalsError, match="decode"):
        retune(live, RECIPE)


def test_many_prompts_are_answered_as_one_by_one(discs):
    predictor = run(predictor_steps(discs, RECIPE))
    prompts = [
        Prompt(box=(24, 24, 56, 56), negative=((100, 44),)),
        Prompt(box=(84, 28, 116, 60), positive=((100, 44),)),
        Prompt(positive=((60, 110), (64, 106)), negative=((92, 112), (2, 2))),
    ]
    together = run(predictor.ask_each(prompts, WHOLE))
    for prompt, mask in zip(prompts, together, strict=True):
        (alone,) = run(predictor.ask(prompt)).masks
        assert mask_iou(alone, mask) > 0.99
        assert alone.predicted_iou == pytest.approx(mask.predicted_iou, abs=1e-4)


def test_both_arms_together_keep_the_outlines_of_each(discs):
    recipe = Recipe.preset("low-contrast").with_values(
        {"generator.points_per_side": 12, "arms": "union"}
    )
    before = run(live_steps(discs, recipe))
    after = run(live_steps(discs, recipe.with_values({"refine": True})))
    assert len(before.result.masks) == len(after.result.masks)
    pairs = list(zip(before.result.masks, after.result.masks, strict=True))
    assert all(mask_iou(one, other) >= SAME for one, other in pairs)
    assert any(one.predicted_iou < other.predicted_iou for one, other in pairs)
    both = [
        run(live_steps(discs, arm.with_values({"refine": True})))
        for arm in (recipe.raw_arm(), recipe.preprocessed_arm())
    ]
    asked = sum(arm.result.provenance["refinement"]["asked"] for arm in both)
    assert after.result.provenance["refinement"]["asked"] == asked
