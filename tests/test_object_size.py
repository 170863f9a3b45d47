"""A typical object's size sets points, frame, crops and areas in one step."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_graysam import Recipe, run, segment
from napari_graysam.errors import ProposalsError, RecipeError, UsageError
from napari_graysam.masks.size import disc_diameter, polygon_area
from napari_graysam.pipeline import fingerprint_of, live_steps, retune
from napari_graysam.recipe import for_image, for_objects, objects_notes

RAW = Recipe.preset("raw")
OFFICIAL = Recipe.preset("raw", "sam2.1_hiera_tiny")


def seen(recipe: Recipe, diameter: float, side: int, own_frame: int | None = None) -> float:
    """Return the pixels of the frame that an object has in the smallest crops."""
    frame = own_frame or min(max(64 * round(recipe.model.frame_scale * side / 64), 512), 1024)
    return diameter * frame / side * 2**recipe.generator.crop_n_layers


@pytest.mark.parametrize("side", [256, 512, 1000, 3000])
@pytest.mark.parametrize("diameter", [6, 12, 25, 60])
def test_the_model_sees_objects_large_enough_and_hits_them(diameter: float, side: int) -> None:
    sized = for_objects(RAW, diameter, (side, side))
    assert seen(sized, diameter, side) >= 30
    step = side / sized.generator.points_per_side
    assert step <= diameter or sized.generator.points_per_side == 128
    area = math.pi * diameter**2 / 4
    assert sized.labels.min_area < area / 4 < 4 * area < sized.labels.max_area


def test_large_objects_need_neither_crops_nor_a_larger_frame() -> None:
    sized = for_objects(RAW, 100, (512, 512))
    assert (sized.model.frame_scale, sized.generator.crop_n_layers) == (1.0, 0)
    assert sized.generator.points_per_side < 32


def test_a_model_of_one_frame_gets_crops_and_no_scale() -> None:
    sized = for_objects(OFFICIAL, 12, (2048, 2048))
    assert sized.model.frame_scale == 1.0
    assert seen(sized, 12, 2048, own_frame=1024) >= 30


def test_what_was_edited_stays_and_is_said() -> None:
    edited = RAW.with_values(
        {"labels.min_area": 99, "generator.points_per_side": 48, "image.object_diameter": 20}
    )
    sized = for_image(edited, (512, 512))
    assert (sized.labels.min_area, sized.generator.points_per_side) == (99, 48)
    assert sized.model.frame_scale == 2.0
    (note,) = objects_notes(edited, (512, 512))
    assert "objects of 20 pixels" in note
    assert "model.frame_scale 2.0" in note
    assert "generator.points_per_side and labels.min_area as in the recipe" in note


def test_own_points_stay() -> None:
    grid = {"generator.points_per_side": None, "generator.point_grids": [[[0.5, 0.5]]]}
    sized = for_objects(RAW.with_values(grid), 10, (2000, 2000))
    assert sized.generator.point_grids == (((0.5, 0.5),),)
    assert sized.generator.crop_n_layers == 0


def test_a_recipe_without_a_size_stays_as_it_is() -> None:
    assert for_image(RAW, (512, 512)) is RAW
    assert objects_notes(RAW, (512, 512)) == ()
    sized = for_image(RAW.with_values({"image.object_diameter": 20}), (512, 512))
    assert sized.image.object_diameter is None
    assert for_image(sized, (9, 9)) is sized


@pytest.mark.parametrize("value", ["2", "-1", "nan", ".inf", "large"])
def test_what_is_no_size_is_refused(value: str) -> None:
    with pytest.raises(RecipeError, match=r"image.object_diameter.*3"):
        RAW.with_values({"image.object_diameter": value})


def test_a_size_beyond_the_image_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match=r"object_diameter is 600 .*512 × 400.*longer side"):
        for_objects(RAW, 600, (512, 400))


def test_the_size_of_what_is_drawn() -> None:
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = [(20 + 10 * np.cos(a), 30 + 10 * np.sin(a)) for a in angle]
    assert disc_diameter(polygon_area(circle)) == pytest.approx(20, rel=1e-3)
    assert polygon_area(circle[::-1]) == pytest.approx(polygon_area(circle))


# --- runs


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    y, x = np.ogrid[:96, :96]
    pixels = rng.normal(30, 2, (96, 96))
    for row, column in ((20, 20), (20, 70), (70, 20), (70, 70)):
        pixels[(y - row) ** 2 + (x - column) ** 2 < 81] = 200
    return pixels.clip(0, 255).astype(np.uint8)


ASKED = RAW.with_values({"image.object_diameter": 18})


def test_a_run_has_the_recipe_for_its_image(image: np.ndarray) -> None:
    live = run(live_steps(image, ASKED))
    result = live.result
    assert result.recipe == for_image(ASKED, image.shape)
    assert result.provenance["proposals"]["generator"]["points_per_side"] == 16
    assert result.provenance["model"]["image_size"] == 512
    assert any("objects of 18 pixels" in note for note in result.notes)
    assert result.fingerprint == fingerprint_of(image, ASKED)
    assert result.fingerprint != fingerprint_of(image, RAW)
    plain = segment(image, result.recipe)
    assert np.array_equal(plain.labels, result.labels)
    assert plain.fingerprint == result.fingerprint
    larger = retune(live, ASKED.with_values({"labels.min_area": 300}))
    assert larger.masks == ()
    assert any("labels.min_area as in the recipe" in note for note in larger.notes)
    with pytest.raises(ProposalsError, match="segment again"):
        retune(live, RAW)


def test_both_arms_have_it(image: np.ndarray) -> None:
    recipe = Recipe.preset("low-contrast").with_values(
        {"image.object_diameter": 18, "arms": "union"}
    )
    result = segment(image, recipe)
    assert result.recipe == for_image(recipe, image.shape)
    assert result.fingerprint == fingerprint_of(image, recipe)
    assert any("objects of 18 pixels" in note for note in result.notes)


def test_tuning_needs_images_of_one_size(image: np.ndarray) -> None:
    from napari_graysam.tune import Truth, tune

    truth = (image > 100).astype(int)
    grid = {"generator.pred_iou_thresh": (0.5, 0.55)}
    tuned = tune([image], [Truth(truth)], ASKED, grid=grid)
    assert tuned.recipe == for_image(ASKED, image.shape)
    images, truths = (
        [image, np.tile(image, (2, 2))],
        [Truth(truth), Truth(np.tile(truth, (2, 2)))],
    )
    with pytest.raises(UsageError, match="images of other sizes"):
        tune(images, truths, ASKED, grid=grid)
