"""Why a pixel has the object that it has, or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthetic import blobs, drawn

from napari_graysam.masks import paint
from napari_graysam.propose import Proposals
from napari_graysam.propose.rescoring import remeasure
from napari_graysam.recipe import GeneratorOptions, LabelOptions, Recipe
from napari_graysam.select.explanation import Explanation
from napari_graysam.select.selector import Selector

SIZE = 100
LOOSE = GeneratorOptions(pred_iou_thresh=0.5, stability_score_thresh=0.5)


pytestmark = pytest.mark.usefixtures("one_thread")


def squares(*masks: tuple[int, int, int, int, float, float]) -> Selector:
    """Candidates of one pixel a logit: x0, y0, x1, y1, predicted IoU, steepness."""
    logits = np.full((len(masks), SIZE, SIZE), -8, np.float32)
    for logit, (x0, y0, x1, y1, _, steep) in zip(logits, masks, strict=True):
        logit[y0:y1, x0:x1] = 8
        logit[y0, x0:x1] = steep
    point = np.array([(mask[0] + i / 8, mask[1]) for i, mask in enumerate(masks)], np.float32)
    return Selector(drawn(logits, [mask[4] for mask in masks], point=point))


def at(selector: Selector, x: int, y: int, **changes: Any) -> list[Explanation]:
    recipe = Recipe(generator=LOOSE).with_values(
        {name.replace("__", "."): value for name, value in changes.items()}
    )
    return selector.explain(x, y, recipe.generator, recipe.labels)


ALONE = (20, 20, 40, 40, 0.74, 8)


def test_a_filter_is_named_with_its_column_and_limit() -> None:
    wanted = [{"column": "eccentricity", "maximum": 0.5}, {"column": "area", "minimum": 500}]
    (explanation,) = at(squares(ALONE), 30, 30, labels__filters=wanted)
    assert explanation.reason == "filters"
    assert explanation.text == "area 400.00 below the filter's 500.00"
    assert (explanation.value, explanation.limit) == (400, 500)


def test_an_object_is_named_by_its_label() -> None:
    selector = squares((60, 60, 80, 80, 0.9, 8), ALONE)
    (explanation,) = at(selector, 30, 30)
    assert (explanation.reason, explanation.label, explanation.candidate) == ("object", 2, 1)
    assert explanation.text == "object 2"
    assert (explanation.area, explanation.box, explanation.point) == (
        400,
        (20, 20, 40, 40),
        (20.125, 20),
    )
    np.testing.assert_array_equal(explanation.mask.bits, np.ones((20, 20), bool))
    assert at(selector, 50, 50) == at(selector, -1, 30) == at(selector, 30, 1000) == []


@pytest.mark.parametrize(
    ("masks", "changes", "reason", "text", "parameter", "relaxed"),
    [
        (
            [ALONE],
            {"generator__pred_iou_thresh": 0.8},
            "predicted_iou",
            "predicted IoU 0.74 not above 0.80",
            "generator.pred_iou_thresh",
            0.73,
        ),
        (
            [(20, 20, 30, 30, 0.9, 0.5)],
            {"generator__stability_score_thresh": 0.95},
            "stability",
            "stability 0.90 below 0.95",
            "generator.stability_score_thresh",
            0.9,
        ),
        (
            [ALONE, (20, 20, 40, 36, 0.9, 8)],
            {},
            "duplicate",
            "duplicate of object 1 (box IoU 0.79 > 0.70)",
            "generator.box_nms_thresh",
            0.79,
        ),
        (
            [ALONE, (20, 20, 40, 38, 0.9, 8)],
            {"labels__suppression": "mask_iou"},
            "duplicate",
            "duplicate of object 1 (mask IoU 0.90 > 0.70)",
            "labels.suppression_thresh",
            0.9,
        ),
        (
            [ALONE, (10, 10, 90, 90, 0.9, 8)],
            {"labels__suppression": "containment"},
            "duplicate",
            "duplicate of object 1 (containment 1.00 > 0.70)",
            "labels.suppression_thresh",
            1.0,
        ),
        (
            [ALONE],
            {"labels__min_area": 500},
            "min_area",
            "400 px², smaller than 500 px²",
            "labels.min_area",
            400,
        ),
        (
            [ALONE],
            {"labels__max_area": 300},
            "max_area",
            "400 px², larger than 300 px²",
            "labels.max_area",
            400,
        ),
        (
            [(0, 20, 40, 40, 0.9, 8)],
            {"labels__exclude_border": True},
            "border",
            "touches the border of the image",
            "labels.exclude_border",
            False,
        ),
        (
            [ALONE, (10, 10, 90, 90, 0.9, 8)],
            {"labels__level": "whole"},
            "level",
            "lies within object 1, and only wholes are kept",
            "labels.level",
            "all",
        ),
        (
            [(10, 10, 90, 90, 0.9, 8), ALONE],
            {"labels__level": "parts"},
            "level",
            "holds object 1, and only parts are kept",
            "labels.level",
            "all",
        ),
        (
            [ALONE, (10, 10, 90, 90, 0.9, 8)],
            {"labels__overlap": "disjoint"},
            "disjoint",
            "more than half of it belongs to better objects",
            "labels.overlap",
            "higher_score_on_top",
        ),
    ],
)
def test_the_first_filter_that_dropped_it_is_told(
    masks: Any, changes: Any, reason: str, text: str, parameter: str, relaxed: Any
) -> None:
    selector = squares(*masks)
    explanation = next(v for v in at(selector, 25, 25, **changes) if v.candidate == 0)
    assert (explanation.reason, explanation.text) == (reason, text)
    assert (explanation.parameter, explanation.relaxed) == (parameter, relaxed)
    assert explanation.label is None
    changed = {**changes, parameter.replace(".", "__"): relaxed}
    again = next(v for v in at(selector, 25, 25, **changed) if v.candidate == 0)
    assert again.label is not None
    recipe = Recipe(generator=LOOSE).with_values(
        {name.replace("__", "."): value for name, value in changes.items()}
    )
    assert selector.relax(0, recipe.generator, recipe.labels) == {parameter: relaxed}


def test_a_covered_object_names_what_lies_on_it() -> None:
    selector = squares((10, 10, 90, 90, 0.9, 8), ALONE)
    seen, covered = at(selector, 30, 30)
    assert (seen.reason, seen.label) == ("object", 2)
    assert (covered.reason, covered.label, covered.by) == ("covered", 1, 2)
    assert covered.text == "object 1, but object 2 lies on top of it here"


def test_a_removed_piece_is_told() -> None:
    selector = squares((20, 20, 60, 40, 0.9, 8))
    logits = selector.proposals.logits.copy()
    logits[0, :, 50:53] = -8
    proposals = selector.proposals
    changed = Proposals(**{**vars(proposals), "logits": logits})
    selector = Selector(remeasure(changed, 0.0, 1.0))
    assert at(selector, 57, 30)[0].reason == "object"
    (explanation,) = at(selector, 57, 30, labels__min_island=200)
    assert (explanation.reason, explanation.label, explanation.limit) == ("island", 1, 200)
    assert (explanation.parameter, explanation.relaxed) == ("labels.min_island", 0)


def test_nearly_equal_numbers_are_told_apart() -> None:
    selector = squares((20, 20, 40, 40, 0.7996, 8))
    assert at(selector, 30, 30, generator__pred_iou_thresh=0.8)[0].text == (
        "predicted IoU 0.7996 not above 0.8000"
    )


def test_several_filters_are_relaxed_one_after_the_other() -> None:
    selector = squares(ALONE, (20, 20, 40, 36, 0.9, 8))
    generator = LOOSE.replace(pred_iou_thresh=0.8)
    labels = LabelOptions(min_area=390)
    changes = selector.relax(0, generator, labels)
    assert changes == {"generator.pred_iou_thresh": 0.73, "generator.box_nms_thresh": 0.79} or (
        changes == {"generator.pred_iou_thresh": 0.73}
    )
    recipe = Recipe(generator=generator, labels=labels).with_values(changes)
    assert selector.relax(0, recipe.generator, recipe.labels) == {}


def test_kept_candidates_say_so() -> None:
    selector = squares(ALONE)
    generator, labels = (
        LOOSE.replace(pred_iou_thresh=0.9),
        LabelOptions(keep=(selector.pinned_mask(0),)),
    )
    (explanation,) = selector.explain(30, 30, generator, labels)
    assert explanation.pinned
    assert explanation.text == "object 1, kept by the recipe"


@pytest.mark.parametrize("overlap", ["smaller_on_top", "larger_on_top", "disjoint"])
@pytest.mark.parametrize("crops", [False, True])
def test_explanations_agree_with_the_label_image(overlap: Any, crops: bool) -> None:
    selector = Selector(blobs(120, (SIZE, SIZE), crops=crops, seed=4))
    generator = LOOSE.replace(crop_n_layers=int(crops))
    labels = LabelOptions(overlap=overlap, fill_holes=20, min_island=10, level="parts")
    masks = selector.select(generator, labels)
    painted = paint(masks, (SIZE, SIZE), overlap)
    rng = np.random.default_rng(0)
    for x, y in rng.integers(0, SIZE, (60, 2)).tolist():
        found = selector.explain(x, y, generator, labels)
        objects = [explanation.label for explanation in found if explanation.reason == "object"]
        assert objects == ([painted[y, x]] if painted[y, x] else [])
        for explanation in found:
            if explanation.label is not None:
                assert masks[explanation.label - 1].predicted_iou == explanation.predicted_iou
            assert explanation.mask.box == explanation.box
        ranks = [-v.predicted_iou for v in found if v.label is None]
        assert ranks == sorted(ranks)


def test_every_candidate_that_covers_the_pixel_is_listed() -> None:
    proposals = blobs(120, (SIZE, SIZE), seed=4)
    selector = Selector(proposals)
    whole = [proposals.bits(index, 0.0, (0, 0, SIZE, SIZE)) for index in range(120)]
    for x, y in [(30, 40), (50, 50), (71, 22)]:
        expected = {index for index, image in enumerate(whole) if image[y, x]}
        found = selector.explain(x, y, LOOSE, LabelOptions())
        assert {explanation.candidate for explanation in found} == expected
