"""Answers to prompts: those of SAM 2's own image predictor, from features that runs share."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.measure import label
from stub_decoder import loaded, noise, small_sam2

from napari_graysam import Recipe, read_image, read_labels, run, segment_one
from napari_graysam.errors import UsageError
from napari_graysam.masks import Mask, label_masks, mask_iou
from napari_graysam.model import load_model
from napari_graysam.pipeline import live_steps, predictor_steps
from napari_graysam.prompt import Predictor
from napari_graysam.prompt.predictor import crops_around
from napari_graysam.propose.cache import Cache
from napari_graysam.propose.encode import encode
from napari_graysam.recipe import GeneratorOptions, LabelOptions, ModelOptions, Prompt

SAMPLES = Path(__file__).parents[1] / "sample_data"
SHAPE = (75, 140)
PROMPTS = [
    Prompt(positive=((70, 30),)),
    Prompt(positive=((12.5, 60), (30, 20))),
    Prompt(positive=((70, 30),), negative=((100, 8), (3, 70))),
    Prompt(box=(20, 10, 90, 60)),
    Prompt(box=(20, 10, 90, 60), positive=((50, 30),), negative=((80, 50),)),
]

pytestmark = pytest.mark.usefixtures("one_thread")


def pieces(mask: Mask) -> int:
    return int(label(mask.bits, connectivity=2).max())


def upstream(model: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        predictor = SAM2ImagePredictor(model)
    sides = [model.image_size // stride for stride in (4, 8, 16)]
    predictor._bb_feat_sizes = [(side, side) for side in sides]
    return predictor


def predictor_of(model: Any, view: Any, **generator: Any) -> Predictor:
    options = GeneratorOptions(**generator)
    return Predictor(view, model, options, LabelOptions(), "1f", "raw", Cache())


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {
        "official": loaded(small_sam2()),
        "bundled": load_model(ModelOptions(device="cpu")).with_frame(512),
    }


@pytest.mark.parametrize("which", ["official", "bundled"])
@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_masks_and_scores_are_those_of_sam2s_own_predictor(
    models: Any, which: str, prompt: Prompt
) -> None:
    model, view = models[which], noise(*SHAPE)
    if which == "bundled":
        view = np.repeat((np.hypot(*np.ogrid[-37:38, -70:70]) < 30)[..., None] * 200, 3, 2)
        view = view.astype(np.uint8)
    theirs = upstream(model.model)
    theirs._transforms.resolution = model.image_size
    with torch.no_grad():
        theirs.set_image(view)
        places = [*prompt.positive, *prompt.negative]
        masks, scores, _ = theirs.predict(
            point_coords=np.array(places) if places else None,
            point_labels=np.array([1] * len(prompt.positive) + [0] * len(prompt.negative))
            if places
            else None,
            box=None if prompt.box is None else np.array(prompt.box),
            multimask_output=len(prompt.places) == 1,
        )
    ours = run(predictor_of(model, view).ask(prompt)).masks
    kept = [number for number in np.argsort(-scores, kind="stable") if masks[number].any()]
    assert len(ours) == len(kept)
    for mask, number in zip(ours, kept, strict=True):
        assert np.array_equal(mask.full(SHAPE), masks[number] > 0)
        assert mask.predicted_iou == pytest.approx(float(scores[number]), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "least"), [("nuclei_uneven", 0.88), ("particles", 0.78), ("membranes", 0.76)]
)
def test_the_bundled_model_draws_the_object_under_a_point_or_in_a_box(
    name: str, least: float
) -> None:
    image = read_image(SAMPLES / f"{name}.tif")
    truth, _ = label_masks(read_labels(SAMPLES / f"{name}.labels.tif"))
    predictor = run(predictor_steps(image, Recipe.preset("raw")))
    iou = []
    for mask in truth[:20]:
        y, x = np.nonzero(mask.bits)
        at = np.hypot(y - y.mean(), x - x.mean()).argmin()
        point = float(x[at] + mask.box[0]), float(y[at] + mask.box[1])
        for prompt in (Prompt(positive=(point,)), Prompt(box=mask.box)):
            found = run(predictor.ask(prompt)).masks
            iou.append(mask_iou(mask, found[0]) if found else 0)
    assert np.mean(iou) > least


def test_a_negative_point_takes_the_neighbour_away() -> None:
    image = np.full((128, 128), 30, np.uint8)
    y, x = np.ogrid[:128, :128]
    for column in (44, 82):
        image[(y - 64) ** 2 + (x - column) ** 2 < 400] = 200
    box = (22, 42, 104, 86)
    answer = segment_one(image, box=box, positive=[(44, 64)], negative=[(82, 64)])
    mask = answer.masks[0].full((128, 128))
    assert mask[64, 44]
    assert not mask[64, 82]


def test_features_of_a_run_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    image, cache = np.full((128, 128), 30, np.uint8), Cache()
    y, x = np.ogrid[:128, :128]
    image[(y - 64) ** 2 + (x - 64) ** 2 < 400] = 200
    recipe = Recipe().with_values({"generator.points_per_side": 4})
    run(live_steps(image, recipe, cache=cache))
    calls = []
    monkeypatch.setattr(
        "napari_graysam.prompt.predictor.encode",
        lambda view, model: calls.append(1) or encode(view, model),
    )
    predictor = run(predictor_steps(image, recipe, cache=cache))
    (best, *_) = run(predictor.ask(Prompt(positive=((64, 64),)))).masks
    assert best.area == pytest.approx(np.pi * 400, rel=0.2)
    assert calls == []
    fresh = run(predictor_steps(image, recipe))
    one, two = (run(fresh.ask(Prompt(positive=((64, at),)))) for at in (64, 60))
    assert len(calls) == 1
    assert mask_iou(one.masks[0], two.masks[0]) > 0.8


def test_crops_that_hold_the_whole_prompt_are_asked_too() -> None:
    options = GeneratorOptions(crop_n_layers=1)
    whole = (0, 0, 200, 100)
    assert crops_around(Prompt(positive=((10, 10),)), (100, 200), options)[0] == whole
    near, across = (
        crops_around(Prompt(box=box), (100, 200), options)
        for box in ((5, 5, 30, 30), (5, 5, 190, 90))
    )
    assert len(near) == 2
    assert near[1][:2] == (0, 0)
    assert across == [whole]


def test_small_objects_are_drawn_from_a_crop() -> None:
    image = np.full((600, 600), 30, np.uint8)
    y, x = np.ogrid[:600, :600]
    inside = (y - 80) ** 2 + (x - 90) ** 2 < 150
    image[inside] = 210
    recipe = Recipe().with_values({"generator.crop_n_layers": 1})
    (best, *_) = segment_one(image, recipe, positive=[(90, 80)]).masks
    assert np.logical_and(best.full((600, 600)), inside).sum() > 0.7 * inside.sum()
    boxes = {mask.crop_box for mask in segment_one(image, recipe, positive=[(90, 80)]).masks}
    assert len(boxes) > 1


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ({}, "a point on the object or a box"),
        ({"negative": [(3, 3)]}, "a point on the object or a box"),
        ({"box": (9, 3, 9, 8)}, "is empty"),
        ({"positive": [(65, 3)]}, "outside of the image of 64 × 48"),
        ({"positive": [(3, 3)], "box": (-4, 2, 9, 9)}, "outside of the image"),
        ({"positive": [(3,)]}, "of no use"),
        ({"positive": [(float("nan"), 3)]}, "of no use"),
    ],
)
def test_a_prompt_that_cannot_be_asked_is_refused(prompt: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        segment_one(np.zeros((48, 64), np.uint8), **prompt)


def test_a_place_without_an_object_gives_no_pin() -> None:
    model = loaded(small_sam2())
    with torch.no_grad():
        for head in model.model.sam_mask_decoder.output_hypernetworks_mlps:
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.zero_()
    answer = run(predictor_of(model, noise(*SHAPE)).ask(Prompt(positive=((9, 9),))))
    assert answer.masks == ()
    with pytest.raises(UsageError, match="mask 0 of the answer"):
        answer.pin()


def test_holes_and_islands_are_cleaned_as_the_recipe_says() -> None:
    model, view = loaded(small_sam2()), noise(*SHAPE)
    plain = predictor_of(model, view)
    clean = Predictor(
        view, model, plain.generator, LabelOptions(min_island=5000), "1f", "raw", Cache()
    )
    before, after = (
        [pieces(run(one.ask(prompt)).masks[0]) for prompt in PROMPTS] for one in (plain, clean)
    )
    assert max(before) > 1
    assert set(after) == {1}


@pytest.mark.parametrize("arms", ["raw", "preprocessed"])
def test_the_arm_that_a_recipe_names_is_asked(arms: str) -> None:
    image = np.tile(np.arange(64, dtype=np.uint8), (48, 1))
    recipe = Recipe().with_values({"preprocess": "[{kind: invert}]", "arms": arms})
    predictor = run(predictor_steps(image, recipe))
    assert (predictor.view[0, 0, 0] == 0) == (arms == "raw")
    assert predictor.source == arms
