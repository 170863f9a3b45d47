"""Objects that a plane lacks are asked for with the mask of the plane beside it."""

from __future__ import annotations

from pathlib import Path

import fake_pipeline
import numpy as np
import pandas as pd
import pytest
import tifffile
from test_link import discs

from napari_graysam import run, segment
from napari_graysam.batch import segment_stack
from napari_graysam.batch.candidates import DroppedCandidates
from napari_graysam.masks import Mask, mask_iou
from napari_graysam.pipeline import predictor_steps
from napari_graysam.propose.cache import Cache
from napari_graysam.recipe import LinkOptions, Prompt, Recipe
from napari_graysam.source.stack import Stack
from napari_graysam.stack import link_planes
from napari_graysam.stack.propagation import propagate_steps

RECIPE = Recipe().with_values({"labels.min_area": 20, "labels.max_area": 2000})


class Model:
    """Answers with the mask that it is asked about, changed as told, and remembers the planes."""

    def __init__(self, change=lambda mask: mask, **scores: float) -> None:
        self.change, self.scores = change, {"predicted_iou": 0.9, "stability": 0.95} | scores
        self.asked: list[int] = []

    def __call__(self, plane, masks):
        self.asked.append(plane)
        yield from ()
        answers = [self.change(mask) for mask in masks]
        return [answer and answer.replace(**self.scores) for answer in answers]


def found(planes, model, gap=3, recipe=RECIPE, axis="z"):
    """Ids that every plane got."""
    options = LinkOptions(gap=gap)
    links = link_planes(planes, options)
    fills = run(propagate_steps(planes, links, options.along(axis), recipe, model))
    return [[fill.id for fill in one] for one in fills]


def test_only_planes_that_lack_something_are_asked():
    planes = [discs((1, 20, 20, 8), (2, 45, 45, 8)) for _ in range(7)]
    planes[3][planes[3] == 1] = 0
    model = Model()
    assert found(planes, model) == [[], [], [], [1], [], [], []]
    assert model.asked == [3]


@pytest.mark.parametrize(("gap", "reach"), [(0, 0), (1, 1), (3, 3)])
def test_answers_reach_as_far_as_a_gap_in_both_directions(gap, reach):
    planes = [discs() for _ in range(12)]
    planes[5] = planes[6] = discs((1, 30, 30, 8))
    expected = [[1] if 5 - reach <= p < 5 or 6 < p <= 6 + reach else [] for p in range(12)]
    assert found(planes, Model(), gap) == expected


def moved(mask: Mask) -> Mask:
    x0, y0, x1, y1 = mask.box
    return mask.replace(box=(x0 + 7, y0, x1 + 7, y1))


@pytest.mark.parametrize(
    "model",
    [
        Model(predicted_iou=0.8 * RECIPE.generator.pred_iou_thresh - 0.01),
        Model(stability=0.8 * RECIPE.generator.stability_score_thresh - 0.01),
        Model(moved),
        Model(lambda mask: None),
        Model(lambda mask: mask.with_bits(mask.bits & (np.indices(mask.bits.shape)[0] < 6))),
    ],
    ids=["unsure", "unstable", "elsewhere", "nothing", "a part"],
)
def test_doubtful_answers_are_not_taken(model):
    planes = [discs((1, 30, 30, 8)), discs(), discs((1, 30, 30, 8))]
    assert found(planes, model) == [[], [], []]
    assert set(model.asked) == {1}


def test_an_answer_may_fall_a_little_short_of_the_thresholds():
    planes = [discs((1, 30, 30, 8)), discs(), discs((1, 30, 30, 8))]
    thresholds = RECIPE.generator.pred_iou_thresh, RECIPE.generator.stability_score_thresh
    iou, stability = (0.9 * one for one in thresholds)
    assert found(planes, Model(predicted_iou=iou, stability=stability)) == [[], [1], []]


def test_along_time_an_object_may_move_farther():
    planes = [discs((1, 30, 30, 8)), discs()]
    assert found(planes, Model(moved), axis="t") == [[], [1]]


def test_areas_of_the_recipe_hold():
    planes = [discs((1, 30, 30, 8)), discs()]
    small = RECIPE.with_values({"labels.max_area": 150})
    assert found(planes, Model(), recipe=small) == [[], []]


def test_nothing_is_taken_from_others():
    planes = [discs((1, 30, 24, 10), (2, 30, 45, 10)), discs((2, 30, 34, 14))]
    assert found(planes, Model()) == [[], []]
    beside = [planes[0], discs((2, 30, 45, 11))]
    assert found(beside, Model()) == [[], [1]]


def test_the_surest_of_two_answers_comes_first():
    planes = [discs((1, 30, 22, 8), (2, 30, 40, 8)), discs()]

    def ask(plane, masks):
        yield from ()
        middle = Mask(np.ones((17, 22), bool), (20, 22, 42, 39), stability=0.95)
        return [middle.replace(predicted_iou=iou) for iou in (0.8, 0.9)]

    assert found(planes, ask, axis="t") == [[], [2]]


def test_a_mask_helps_to_ask():
    y, x = np.ogrid[:96, :96]
    image = np.where((y - 48) ** 2 + (x - 48) ** 2 < 400, 200, 30).astype(np.uint8)
    predictor = run(predictor_steps(image))
    truth = np.broadcast_to((y - 48) ** 2 + (x - 48) ** 2 < 400, (96, 96))
    rows, columns = np.nonzero(truth)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    mask = Mask(truth[box[1] : box[3], box[0] : box[2]].copy(), tuple(map(int, box)))
    prompt = Prompt(box=mask.box, positive=((48, 48),))
    half = mask.with_bits(mask.bits & (np.indices(mask.bits.shape)[1] < 20))
    whole, part = run(predictor.ask_each([prompt] * 2, (0, 0, 96, 96), [mask, half]))
    assert whole.area == pytest.approx(mask.area, rel=0.1)
    assert part.area < whole.area


def faint_in_one_plane() -> np.ndarray:
    """Two discs through five planes; the second is faint in plane 2."""
    y, x = np.ogrid[:96, :96]
    stack = np.full((5, 96, 96), 20, np.uint8)
    for number, plane in enumerate(stack):
        plane[(y - 24) ** 2 + (x - 24 - number) ** 2 < 150] = 220
        plane[(y - 66) ** 2 + (x - 64) ** 2 < 200] = 75 if number == 2 else 200
    return stack


def test_a_faint_object_is_found_by_its_neighbours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_pipeline.install(monkeypatch)
    values = {"stack.axis": "z", "stack.link": "prompt", "stack.linking.fill": "none"}
    recipe = Recipe().with_values(values)
    stack = faint_in_one_plane()
    outcome = segment_stack(stack, recipe, tmp_path)
    labels = tifffile.imread(outcome.files["labels"])
    truth = stack[2][40:] > 50
    assert np.mean((labels[2] == 2)[40:] == truth) > 0.99
    rows = pd.read_csv(outcome.files["planes"]).query("id == 2").set_index("z")
    assert rows["source"].tolist() == ["model", "model", "prompt", "model", "model"]
    assert rows.loc[2, "predicted_iou"] > 0.5
    assert rows.loc[2, "intensity_mean"] == pytest.approx(75, abs=6)
    assert outcome.objects == 2


def filled_by_candidates(tmp_path: Path, **values: object):
    settings = {
        "stack.axis": "z",
        "stack.link": "overlap",
        "stack.linking.fill": "candidates",
        "generator.points_per_side": 8,
    }
    recipe = Recipe().with_values(settings | values)
    return segment_stack(faint_in_one_plane(), recipe, tmp_path)


def test_a_dropped_candidate_fills_a_gap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_pipeline.install(monkeypatch)
    outcome = filled_by_candidates(tmp_path)
    rows = pd.read_csv(outcome.files["planes"]).query("id == 2").set_index("z")
    assert rows["source"].tolist() == ["model", "model", "candidate", "model", "model"]
    labels = tifffile.imread(outcome.files["labels"])
    assert np.mean((labels[2] == 2)[40:] == (faint_in_one_plane()[2][40:] > 50)) > 0.99
    assert rows.loc[2, "predicted_iou"] > 0


def test_where_no_candidate_fits_the_shape_is_interpolated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_pipeline.install(monkeypatch)
    outcome = filled_by_candidates(tmp_path, **{"labels.max_area": 300})
    rows = pd.read_csv(outcome.files["planes"]).query("id == 2").set_index("z")
    assert rows.loc[2, "source"] == "interpolated"


def test_candidates_of_a_cache_need_no_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe = Recipe().with_values({"stack.axis": "z", "generator.points_per_side": 8})
    stack = Stack(faint_in_one_plane(), recipe)
    cache = Cache(budget=0, folder=tmp_path)
    segment(stack.plane(2), stack.plane_recipe(2), cache=cache)

    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("the model was asked")

    monkeypatch.setattr("napari_graysam.propose.generator.models.load_steps", refuse)
    dropped = DroppedCandidates(stack, cache)
    run(dropped.prepare(2))
    y, x = np.ogrid[:96, :96]
    disc = (y - 66) ** 2 + (x - 64) ** 2 < 200
    expected = Mask(disc, (0, 0, 96, 96)).with_bits(disc)
    empty = np.zeros((96, 96), np.uint32)
    (found,) = dropped(2, [expected], empty)
    assert mask_iou(found, expected) > 0.8
    # One candidate is not taken twice, and not where another object lies.
    twice = dropped(2, [expected, expected], empty)
    assert twice[0] is not twice[1]
    assert dropped(2, [expected], disc.astype(np.uint32)) == [None]
    with pytest.raises(AssertionError, match="the model was asked"):
        run(DroppedCandidates(stack, None).prepare(2))
