"""The whole flow with the bundled model on a small image."""

from __future__ import annotations

import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_graysam import (
    Recipe,
    compare,
    read_coco,
    read_image,
    read_labels,
    run,
    segment,
    segment_one,
    segment_steps,
    write_comparison,
    write_segmentation,
)
from napari_graysam.errors import ImageError, OutputError, RecipeError, TruthError, UsageError
from napari_graysam.files import read_geojson, read_recipe_text, read_rois
from napari_graysam.files.objects import paint_objects
from napari_graysam.masks import Mask
from napari_graysam.outputs import is_complete
from napari_graysam.pipeline import (
    compare_steps,
    fingerprint_of,
    live_steps,
    make_view,
    propose,
    read_gray,
    retune,
    select,
)
from napari_graysam.pipeline.resolution import too_small_notes
from napari_graysam.recipe import recipe_of

SHAPE = (120, 150)
CENTRES = ((30, 30), (30, 110), (85, 60), (90, 120))


def discs(background: float = 100.0, height: float = 900.0) -> np.ndarray:
    """Draw bright discs of radius 14 on a dark, slightly noisy background."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    noise = np.random.default_rng(0).normal(0, 10, SHAPE)
    image = background + noise
    for row, col in CENTRES:
        distance = np.hypot(rows - row, cols - col)
        image += height / (1 + np.exp((distance - 14) / 1.0))
    return image.clip(0).astype(np.uint16)


def truth() -> np.ndarray:
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    labels = np.zeros(SHAPE, np.int32)
    for index, (row, col) in enumerate(CENTRES, 1):
        labels[np.hypot(rows - row, cols - col) < 14] = index
    return labels


RECIPE = Recipe.preset("raw").with_values({"generator.points_per_side": 12})
CLAHE = RECIPE.with_values({"preprocess": "[{kind: clahe}]"})


@pytest.fixture(scope="module")
def result():
    return segment(discs(), RECIPE)


@pytest.fixture(scope="module")
def arms():
    return compare(discs(), CLAHE, truth=truth())


def test_finds_every_disc(result):
    for row, col in CENTRES:
        label = result.labels[row, col]
        assert label > 0
        mask = result.masks[label - 1].full(SHAPE)
        disc = truth() == truth()[row, col]
        assert (mask & disc).sum() / (mask | disc).sum() > 0.7


def test_parts_of_the_result_agree(result):
    assert result.labels.dtype == np.uint32
    assert result.labels.shape == SHAPE
    assert result.table["index"].tolist() == list(range(1, len(result.masks) + 1))
    assert result.unmasked == pytest.approx((result.labels == 0).mean())
    for index, mask in enumerate(result.masks, 1):
        assert not ((result.labels == index) & ~mask.full(SHAPE)).any()
    disc = result.labels[CENTRES[0]]
    measured = result.table.set_index("index").loc[disc]
    assert measured["intensity_mean"] > 700  # of the raw image, not of the view
    json.dumps(result.provenance, allow_nan=False)


def test_repeats_exactly(result):
    again = segment(discs(), RECIPE)
    np.testing.assert_array_equal(again.labels, result.labels)
    assert [m.predicted_iou for m in again.masks] == [m.predicted_iou for m in result.masks]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_records_honour_the_output_mode(result):
    from pycocotools import mask as coco

    decoded = [coco.decode(r["segmentation"]) for r in result.records("coco_rle")]
    binary = [r["segmentation"] for r in result.records()]
    assert len(binary) == len(result.masks) > 0
    for rle, mask, record in zip(decoded, binary, result.records(), strict=True):
        np.testing.assert_array_equal(rle.astype(bool), mask)
        assert record["area"] == mask.sum()


def test_the_stages_in_a_row_are_the_whole(arms):
    gray = read_gray(discs(), CLAHE)
    view = make_view(gray, CLAHE)
    masks, labels, notes, _ = select(run(propose(view, CLAHE)), CLAHE)
    np.testing.assert_array_equal(view, arms.preprocessed.view)
    np.testing.assert_array_equal(labels, arms.preprocessed.labels)
    assert [m.predicted_iou for m in masks] == [m.predicted_iou for m in arms.preprocessed.masks]
    assert notes == ()


def test_a_result_travels_between_processes(result):
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.labels, result.labels)
    assert again.recipe == result.recipe
    assert again.table.equals(result.table)


def test_selecting_again_is_running_again(result):
    strict = RECIPE.with_values({"generator.pred_iou_thresh": 0.9})
    live = run(live_steps(discs(), strict))
    np.testing.assert_array_equal(live.result.labels, segment(discs(), strict).labels)
    again = retune(live, RECIPE)
    np.testing.assert_array_equal(again.labels, result.labels)
    assert again.recipe == RECIPE
    assert live.result.recipe == strict


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_read_as_read_image_reads_it(tmp_path, kind):
    stack = np.stack([np.zeros_like(discs()), discs()])
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    recipe = RECIPE.with_values({"image.plane": 1})
    path = kind(tmp_path / "a.tif")
    found, expected = segment(path, recipe), segment(read_image(path, recipe.image), recipe)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.provenance["image"] == expected.provenance["image"]
    assert fingerprint_of(path, recipe) == found.fingerprint
    assert compare(path, recipe).raw.fingerprint == found.fingerprint
    answer = segment_one(path, recipe, positive=[CENTRES[0][::-1]])
    assert answer.masks[0].full(SHAPE)[CENTRES[0]]


def test_a_path_of_no_image_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.tif.*no such file"):
        segment(str(tmp_path / "gone.tif"))


def test_a_recipe_is_given_by_its_name_or_file(tmp_path):
    first = next(segment_steps(discs(), "low-contrast"))
    assert first.stage == "image"
    preset = Recipe.preset("low-contrast")
    preset.to_file(tmp_path / "mine.yaml")
    expected = fingerprint_of(discs(), preset)
    for given in ("low-contrast", tmp_path / "mine.yaml", str(tmp_path / "mine.yaml")):
        assert fingerprint_of(discs(), given) == expected
    (tmp_path / "raw").mkdir()
    assert recipe_of("raw") == recipe_of(None) == Recipe.preset()


@pytest.mark.parametrize("ask", [segment, compare, partial(segment_one, positive=[(9, 9)])])
@pytest.mark.parametrize(
    ("given", "message"), [("low-contrats", "low-contrast.*yaml"), ({"a": 1}, "a dict came")]
)
def test_what_is_no_recipe_is_refused_with_what_is(ask, given, message):
    with pytest.raises(RecipeError, match=message):
        ask(discs(), given)


def test_a_run_is_named_after_what_its_recipe_does(result, arms):
    assert result.provenance["source"] == "raw"
    assert {mask.source for mask in result.masks} == {"raw"}
    alone = segment(discs(), CLAHE)
    assert alone.provenance["source"] == "preprocessed"
    assert {mask.source for mask in alone.masks} == {"preprocessed"}
    assert arms.preprocessed.provenance["source"] == "preprocessed"
    np.testing.assert_array_equal(arms.raw.table, result.table)


def test_python_users_are_told_of_parameters_not_of_options_of_a_program():
    for image in (np.zeros((5, 64, 64)), np.zeros((5, 7, 64, 64)), np.zeros((64, 64, 2))):
        with pytest.raises(ImageError, match=r"image\.axes=") as caught:
            segment(image)
        assert "--" not in str(caught.value)


def small_and_large() -> tuple[np.ndarray, np.ndarray]:
    """Draw noise without objects, and the discs in it, on 1200 × 1200 pixels."""
    empty = np.random.default_rng(0).normal(100, 3, (1200, 1200)).clip(0).astype(np.uint16)
    full = empty.copy()
    full[: SHAPE[0] * 8, : SHAPE[1] * 8] += discs().repeat(8, 0).repeat(8, 1)[:1200, :1200]
    return empty, full


def test_objects_too_small_for_the_frame_are_told_where_little_is_found():
    empty, full = small_and_large()
    recipe = RECIPE.with_values({"model.frame": 256, "generator.points_per_side": 6})
    live = run(live_steps(empty, recipe))
    assert not live.result.masks
    (note,) = live.result.notes
    assert "reduced to 1/5" in note
    assert "below some 47 pixels" in note
    assert "generator.crop_n_layers=3" in note
    assert retune(live, recipe.with_values({"labels.min_area": 9})).notes == live.result.notes
    assert segment(full, recipe).notes == ()
    assert segment(empty, recipe.with_values({"model.frame": 640})).notes == ()


def test_crops_see_smaller_objects_and_the_note_knows():
    recipe = Recipe.preset("raw")
    disc = np.hypot(*np.ogrid[-150:151, -150:151]) < 150
    large = [Mask(disc, (0, 0, 301, 301))] * 9
    small = [Mask(disc[:80, :80], (0, 0, 80, 80))] * 9

    def note(masks, unmasked, crops=0, side=8192, **more):
        values = {"generator.crop_n_layers": crops, **more}
        told = too_small_notes(masks, unmasked, (side, side), 1024, recipe.with_values(values))
        return "".join(told)

    assert "below some 80 pixels" in note([], 1.0)
    assert "crop_n_layers=3, or model.frame=2048" in note([], 1.0)
    assert "model.frame" not in note([], 1.0, **{"model.name": "sam2.1_hiera_tiny"})
    assert "even the smallest crops reduced to 1/2" in note([], 1.0, crops=2)
    assert note([], 1.0, crops=3) == note([], 1.0, side=2000) == ""
    assert note(small, 0.5)
    assert note(large, 0.95)
    assert note(large, 0.5) == ""
    assert note(large, 0.95, side=3000) == ""


def test_raw_arm_is_the_recipe_without_preprocessing(result, arms):
    np.testing.assert_array_equal(arms.raw.labels, result.labels)
    assert arms.raw.recipe.preprocess == ()
    assert arms.preprocessed.recipe == CLAHE
    assert not np.array_equal(arms.raw.view, arms.preprocessed.view)
    assert {mask.source for mask in arms.raw.masks} == {"raw"}
    assert {mask.source for mask in arms.preprocessed.masks} == {"preprocessed"}


def test_comparison_counts_every_object_and_scores_both_arms(arms):
    for arm, found in (("raw", arms.raw), ("preprocessed", arms.preprocessed)):
        assert sum(arms.changes.count_objects(arm).values()) == len(found.masks)
        assert arms.scores[arm].n_true == len(CENTRES)
        assert arms.scores[arm].recall == 1


def test_points_stay_inside_the_region():
    region = np.zeros(SHAPE, bool)
    region[:60, :75] = True
    found = segment(discs(), RECIPE, region=region)
    assert found.masks
    for mask in found.masks:
        x, y = mask.point
        assert region[int(y), int(x)]
    assert found.labels[CENTRES[0]] > 0
    assert found.labels[CENTRES[3]] == 0


def test_every_stage_reports_and_closing_cancels():
    stages: list[str] = []
    run(segment_steps(discs(), RECIPE), lambda p: stages.append(p.stage))
    assert {"image", "load", "encode", "decode", "select"} <= set(stages)
    steps = segment_steps(discs(), RECIPE)
    while next(steps).stage != "decode":
        pass
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_wrong_truth_and_region_are_refused_before_the_model_runs():
    with pytest.raises(TruthError, match=r"\(3, 4\).*\(120, 150\)"):
        next(compare_steps(discs(), CLAHE, truth=np.zeros((3, 4), int)))
    for region, message in ((np.ones((3, 4), bool), "shape"), (np.zeros(SHAPE, bool), "empty")):
        with pytest.raises(ImageError, match=message):
            segment(discs(), RECIPE, region=region)


def test_written_files_hold_the_result(result, tmp_path):
    paths = write_segmentation(result, tmp_path / "new", "discs")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "discs.coco.json",
        "discs.labels.tif",
        "discs.objects.csv",
        "discs.overlay.png",
        "discs.provenance.json",
        "discs.recipe.yaml",
    ]
    np.testing.assert_array_equal(read_labels(paths["labels"]), result.labels)
    assert Recipe.from_yaml(read_recipe_text(paths["labels"])) == RECIPE
    assert Recipe.from_file(paths["recipe"]) == RECIPE
    about = json.loads(paths["provenance"].read_text())
    assert about.pop("files") == ["labels", "objects", "coco", "overlay"]
    assert about == result.provenance
    for read, mask in zip(read_coco(paths["coco"]), result.masks, strict=True):
        np.testing.assert_array_equal(read.full(SHAPE), mask.full(SHAPE))


def test_complete_means_every_file_of_this_fingerprint(result, tmp_path):
    fingerprint = fingerprint_of(discs(), RECIPE)
    assert not is_complete(tmp_path, "discs", fingerprint)
    paths = write_segmentation(result, tmp_path, "discs")
    assert is_complete(tmp_path, "discs", fingerprint)
    assert not is_complete(tmp_path, "discs", fingerprint.with_recipe(CLAHE))
    whole = paths["provenance"].read_text()
    for damaged in ("", "[]", "{}", whole[:-20], '{"fingerprint": 3}'):
        paths["provenance"].write_text(damaged)
        assert not is_complete(tmp_path, "discs", fingerprint)
    paths["provenance"].write_text(whole)
    assert is_complete(tmp_path, "discs", fingerprint)
    paths["objects"].unlink()
    assert not is_complete(tmp_path, "discs", fingerprint)


def test_what_is_written_can_be_chosen(result, tmp_path):
    def written():
        return sorted(path.name.removeprefix("discs.") for path in tmp_path.iterdir())

    provided = tmp_path / "discs.geojson"
    provided.write_text("drawn by hand")
    write_segmentation(result, tmp_path, "discs", ["labels", "rois"])
    both = ["labels.tif", "provenance.json", "recipe.yaml", "rois.zip"]
    assert written() == sorted([*both, "geojson"])
    for kinds, complete in ((["rois"], True), (["rois", "geojson"], False)):
        assert is_complete(tmp_path, "discs", result.fingerprint, kinds) == complete

    # More files of the same result join it.
    paths = write_segmentation(result, tmp_path, "discs", ["table", "geojson"])
    assert list(paths) == ["objects", "geojson", "provenance", "recipe"]
    assert written() == sorted([*both, "geojson", "objects.csv"])
    assert is_complete(tmp_path, "discs", result.fingerprint, ["labels", "objects", "rois"])
    objects = read_geojson(paths["geojson"])
    assert len(objects.masks) == len(result.masks) == len(read_rois(tmp_path / "discs.rois.zip")[0])
    np.testing.assert_array_equal(paint_objects(objects) > 0, result.labels > 0)

    # Those of another result do not.
    other = segment(discs()[::-1], RECIPE)
    write_segmentation(other, tmp_path, "discs", ["labels"])
    assert written() == ["labels.tif", "provenance.json", "recipe.yaml"]
    with pytest.raises(UsageError, match=r"'csv'; there are labels, objects"):
        write_segmentation(result, tmp_path, "discs", ["csv"])


def test_a_failed_write_leaves_the_result_incomplete(result, tmp_path):
    paths = write_segmentation(result, tmp_path, "discs")
    paths["overlay"].unlink()
    paths["overlay"].mkdir()
    with pytest.raises(OutputError, match="overlay"):
        write_segmentation(result, tmp_path, "discs")
    assert not is_complete(tmp_path, "discs", result.fingerprint)
    assert not [p for p in tmp_path.iterdir() if "tmp" in p.name]


def test_comparison_files(arms, tmp_path):
    paths = write_comparison(arms, tmp_path, "discs")
    content = json.loads(paths["json"].read_text())
    assert content["counts"] == arms.changes.counts
    assert content["scores"]["raw"]["recall"] == 1
    np.testing.assert_array_equal(
        read_labels(paths["preprocessed.labels"]), arms.preprocessed.labels
    )
    assert paths["png"].stat().st_size > 10_000


@pytest.mark.slow
def test_a_kept_mask_that_is_not_there_is_told() -> None:
    keep = [{"point": [3.0, 3.0], "crop": 0, "mask": 0}]
    recipe = RECIPE.with_values({"generator.points_per_side": 2, "labels.keep": keep})
    result = segment(discs(), recipe)
    assert len(result.notes) == 1
    assert "point 3, 3 in crop 0" in result.notes[0]
