"""Both arms together: union and consensus of their candidates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from synthetic import drawn
from typer.testing import CliRunner

from napari_graysam import Recipe, compare, run, segment
from napari_graysam.cli import app
from napari_graysam.errors import ImageError, ProposalsError, RecipeError
from napari_graysam.fingerprint import Fingerprint, Inputs
from napari_graysam.masks import mask_iou
from napari_graysam.pipeline import combine, fingerprint_of, live_steps, retune
from napari_graysam.propose import Proposals
from napari_graysam.propose.arms import candidate_arms, join_arms
from napari_graysam.propose.cache import Cache
from napari_graysam.recipe import BothArms, GeneratorOptions, LabelOptions, PinnedMask
from napari_graysam.select import Selector

ALL = GeneratorOptions(pred_iou_thresh=0.5, stability_score_thresh=0)
LABELS = LabelOptions(suppression="mask_iou", suppression_thresh=0.6)
CONSENSUS = BothArms(consensus=True)
MATCHED = BothArms(matched=True)


def square(x: int, y: int, side: int = 10) -> np.ndarray:
    image = np.zeros((64, 64), bool)
    image[y : y + side, x : x + side] = True
    return image


def joined(raw: list[Any], preprocessed: list[Any]) -> Proposals:
    """Candidates of both arms: (mask, predicted IoU) of each."""
    arms = [
        drawn(np.array([mask for mask, _ in arm]), [score for _, score in arm])
        for arm in (raw, preprocessed)
    ]
    return join_arms(*arms, GeneratorOptions())


def corners(proposals: Proposals, both: BothArms, **labels: Any) -> list[tuple[Any, ...]]:
    masks = Selector(proposals).select(ALL, LABELS.replace(**labels), "union", both)
    return [(*mask.box[:2], mask.source, round(mask.predicted_iou, 2)) for mask in masks]


A, B, C = square(0, 0), square(20, 0), square(40, 0)
NEAR_A = square(2, 0)
"""IoU 2/3 with A."""


def test_a_union_has_what_either_arm_found_once_in_the_better_mask() -> None:
    found = corners(joined([(A, 0.8), (B, 0.9)], [(NEAR_A, 0.95), (C, 0.7)]), BothArms())
    assert found == [
        (2, 0, "preprocessed", 0.95),
        (20, 0, "raw", 0.9),
        (40, 0, "preprocessed", 0.7),
    ]


def test_a_consensus_has_what_both_arms_found_in_the_better_mask() -> None:
    found = corners(joined([(A, 0.8), (B, 0.9)], [(NEAR_A, 0.95), (C, 0.7)]), CONSENSUS)
    assert found == [(2, 0, "preprocessed", 0.95)]


def test_a_consensus_pairs_one_to_one() -> None:
    whole, half = square(0, 0, 12), square(0, 0, 9)  # IoU 81/144, both alike the raw one.
    found = corners(
        joined([(whole, 0.9)], [(whole, 0.8), (half, 0.7)]), CONSENSUS, suppression_thresh=0.9
    )
    assert found == [(0, 0, "raw", 0.9)]


def test_objects_less_alike_than_half_are_no_consensus() -> None:
    assert corners(joined([(A, 0.9)], [(square(4, 0), 0.9)]), CONSENSUS) == []


def test_what_a_consensus_drops_says_so() -> None:
    selector = Selector(joined([(A, 0.8), (B, 0.9)], [(NEAR_A, 0.95)]))
    selector.select(ALL, LABELS, "consensus", CONSENSUS)
    (alone,) = selector.explain(25, 5, ALL, LABELS)
    assert (alone.reason, alone.label) == ("consensus", None)
    assert "only this arm" in alone.text
    same = selector.explain(5, 5, ALL, LABELS)
    assert [(one.reason, one.by) for one in same] == [("object", None), ("consensus", 1)]


def test_a_matched_threshold_keeps_as_many_of_either_arm() -> None:
    places = [square(12 * k, 0) for k in range(5)]
    scores = [0.9, 0.8, 0.45, 0.4, 0.3]
    raw = list(zip(places, scores, strict=True))
    lower = [(square(12 * k, 30), score - 0.4) for k, score in enumerate(scores)]
    proposals = joined(raw, lower)
    assert len(corners(proposals, BothArms())) == 2
    selection = Selector(proposals).selection(ALL, LABELS, "union", MATCHED)
    assert [mask.source for mask in selection.masks] == ["raw", "raw", *["preprocessed"] * 2]
    low, high = selection.limits
    assert low == 0.5
    assert 0.05 <= high < 0.4
    dropped = Selector(proposals)
    dropped.select(ALL, LABELS, "union", MATCHED)
    (why,) = dropped.explain(25, 32, ALL, LABELS)
    assert why.reason == "predicted_iou"
    assert why.limit == high


def test_a_kept_mask_names_its_arm() -> None:
    selector = Selector(joined([(A, 0.1), (B, 0.9)], [(A, 0.2), (B, 0.3)]))
    name = selector.pinned_mask(0)
    assert name.arm == "raw"
    for arm, score in (("raw", 0.1), (None, 0.2)):
        labels = LABELS.replace(keep=(PinnedMask(**{**name.model_dump(), "arm": arm}),))
        masks = selector.select(ALL, labels)
        assert [round(mask.predicted_iou, 1) for mask in masks if mask.pinned] == [score]


def test_arms_of_different_points_are_not_joined() -> None:
    other = drawn(np.array([A]), [0.5], options=GeneratorOptions(points_per_side=8))
    small = drawn(np.array([A[:32, :32]]), [0.5])
    assert candidate_arms(other) is None
    with pytest.raises(ProposalsError, match="cannot be joined"):
        join_arms(small, drawn(np.array([A]), [0.5]), GeneratorOptions())


# --- runs


RECIPE = Recipe.preset("faint-objects").with_values({"generator.points_per_side": 8})
UNION = RECIPE.with_values({"arms": "union"})


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Discs of very different brightness."""
    rng = np.random.default_rng(1)
    y, x = np.ogrid[:128, :128]
    pixels = rng.normal(100, 1.5, (128, 128))
    for row, column, height in ((32, 32, 20000), (32, 96, 60), (96, 32, 40), (96, 96, 9000)):
        pixels[(y - row) ** 2 + (x - column) ** 2 < 14**2] += height
    return pixels.astype(np.uint16)


@pytest.fixture(scope="module")
def cache() -> Cache:
    return Cache()


@pytest.fixture(scope="module")
def live(image: np.ndarray, cache: Cache) -> Any:
    return run(live_steps(image, UNION, cache=cache))


def test_the_arms_of_a_recipe_say_which_image_is_segmented(image: Any, cache: Cache) -> None:
    raw = segment(image, RECIPE.with_values({"arms": "raw"}), cache=cache)
    plain = segment(image, RECIPE.raw_arm(), cache=cache)
    assert np.array_equal(raw.labels, plain.labels)
    assert np.array_equal(raw.view, plain.view)
    assert {mask.source for mask in raw.masks} == {"raw"}
    assert raw.provenance["source"] == "raw"


def test_a_union_covers_both_arms(image: Any, cache: Cache, live: Any) -> None:
    arms = compare(image, UNION, cache=cache)
    assert {mask.source for mask in arms.raw.masks} == {"raw"}
    assert {mask.source for mask in arms.preprocessed.masks} == {"preprocessed"}
    assert len(arms.preprocessed.masks) > len(arms.raw.masks) > 0
    for mask in (*arms.raw.masks, *arms.preprocessed.masks):
        assert any(mask_iou(mask, one) > 0.3 for one in live.result.masks)
    assert {mask.source for mask in live.result.masks} <= {"raw", "preprocessed"}
    assert live.result.table["source"].tolist() == [one.source for one in live.result.masks]


def test_both_arms_say_how_many_objects_are_whose(live: Any) -> None:
    result = live.result
    (note,) = (note for note in result.notes if note.startswith("arms:"))
    count = sum(mask.source == "raw" for mask in result.masks)
    assert f"union, {count} objects from the raw arm" in note
    assert result.provenance["source"] == "union"
    arms = result.provenance["proposals"]["arms"]
    assert sum(arms.values()) == result.provenance["proposals"]["kept"]
    json.dumps(result.provenance)


@pytest.mark.parametrize(
    "values",
    [
        {"arms": "consensus"},
        {"arms_thresholds": "matched"},
        {"arms": "consensus", "arms_thresholds": "matched"},
        {"generator.pred_iou_thresh": 0.7},
        {"labels.min_area": 300},
    ],
)
def test_selecting_again_gives_what_a_run_gives(
    values: Any, image: Any, cache: Cache, live: Any
) -> None:
    recipe = UNION.with_values(values)
    again, fresh = retune(live, recipe), segment(image, recipe, cache=cache)
    assert np.array_equal(again.labels, fresh.labels)
    assert [one.source for one in again.masks] == [one.source for one in fresh.masks]
    assert again.fingerprint == fresh.fingerprint == fingerprint_of(image, recipe)
    assert again.notes == fresh.notes
    assert again.provenance["source"] == recipe.arms


def test_a_matched_threshold_is_said(live: Any) -> None:
    notes = retune(live, UNION.with_values({"arms_thresholds": "matched"})).notes
    assert any("predicted IoU above 0.45 in the raw arm" in note for note in notes)


def test_one_arm_needs_a_new_run(live: Any) -> None:
    assert UNION.changed_stage(RECIPE) == "view"
    assert UNION.changed_stage(UNION.with_values({"arms": "consensus"})) == "nms"
    with pytest.raises(ProposalsError, match="segment again"):
        retune(live, RECIPE)


def test_without_preprocessing_both_arms_are_the_raw_one(image: Any) -> None:
    plain = Recipe().with_values({"generator.points_per_side": 4})
    both = segment(image, plain.with_values({"arms": "union"}))
    assert np.array_equal(both.labels, segment(image, plain).labels)
    assert any("preprocesses nothing" in note for note in both.notes)


def test_arms_of_two_images_are_not_combined(image: Any, live: Any) -> None:
    raw, other = (run(live_steps(one, RECIPE.raw_arm())) for one in (image, image.T + 1))
    with pytest.raises(ImageError, match="cannot be joined"):
        combine(raw, other, UNION)


def test_second_looks_of_both_arms_join(image: Any, cache: Cache) -> None:
    recipe = UNION.with_values({"second_look.rounds": 1, "second_look.points_per_side": 6})
    result = segment(image, recipe, cache=cache)
    assert len(result.provenance["second_look"]) == 2


def test_a_new_option_changes_no_digest_of_a_recipe_without_it() -> None:
    inputs = Inputs(image="00", model={}, versions={})
    kept = Recipe.preset("membranes").with_values({"labels.keep": [{"point": [4, 5]}]})
    # As they were before recipes had arms: results on disks carry them.
    assert Fingerprint.of(Recipe(), inputs).digest == "b06b5c36fdedaefb6ece429acc52054f"
    assert Fingerprint.of(kept, inputs).digest == "4eab79a9781da03a0a05805a01a92bc1"
    assert "arms" not in Recipe().to_yaml()


def test_other_arms_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"arms.*union"):
        Recipe().with_values({"arms": "both"})


def test_the_command_line_joins_arms_and_skips_what_is_there(image: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "cells.tif", tmp_path / "out"
    tifffile.imwrite(path, image)
    words = ["segment", str(path), "--recipe", "faint-objects", "--out", str(out), "--json"]
    words += ["--set", "generator.points_per_side=8", "--set", "arms=union"]
    words += ["--cache", str(tmp_path / "cache")]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    table = (out / "cells.objects.csv").read_text()
    assert "preprocessed" in table
    assert "arms: union" in (out / "cells.provenance.json").read_text()
    assert "arms: union" in (out / "cells.recipe.yaml").read_text()
    second = CliRunner().invoke(app, words)
    assert json.loads(second.stdout)["images"][0]["status"] == "skipped"
