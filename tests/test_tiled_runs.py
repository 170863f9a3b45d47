"""Images in tiles, from the command line to the label group, and what happens at seams."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import fake_pipeline
import fake_tiles
import numpy as np
import pandas as pd
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from napari_graysam.atomic import writing
from napari_graysam.batch import Report, SegmentJob, image_steps, segment_tiled, tiled_steps
from napari_graysam.cli import app
from napari_graysam.errors import DiskFullError, ImageError, OutputError, RecipeError, UsageError
from napari_graysam.files import read_coco, read_geojson
from napari_graysam.masks import Mask, label_masks, label_overlaps, match, nest, paint, separate
from napari_graysam.masks.painting import paint_window, stacking_order
from napari_graysam.progress import run
from napari_graysam.recipe import ColumnFilter, Recipe
from napari_graysam.select import object_table
from napari_graysam.source.pyramid import open_pyramid
from napari_graysam.tiles import TileGrid
from napari_graysam.tiles.extent import needs_tiles
from napari_graysam.tiles.pieces import Pieces, cut_edges
from napari_graysam.tiles.report import make_report
from napari_graysam.tiles.resolve import resolve

RECIPE = Recipe().with_values(
    {"tiles.use": "always", "tiles.size": 96, "tiles.halo": 20, "generator.points_per_side": 24}
)
KINDS = ("labels", "objects", "coco", "geojson", "overlay")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tiles.install(monkeypatch)


def labels_of(outcome) -> np.ndarray:
    return np.asarray(open_pyramid(outcome.files["labels"]).plane()[:, :])


def same_objects(found: np.ndarray, truth: np.ndarray) -> bool:
    """Tell whether two label images differ in their numbers only."""
    ids, others, overlaps = label_overlaps(found, truth)
    return len(match(overlaps, 1.0)) == len(ids) == len(others)


def graysam(*arguments: object, status: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result


@pytest.mark.parametrize("size", [64, 96, 131, 256])
def test_labels_are_those_of_the_image_in_one_piece(fake: None, tmp_path: Path, size: int) -> None:
    image, truth = fake_tiles.picture((250, 310))
    recipe = RECIPE.with_values({"tiles.size": size, "generator.points_per_side": size // 4})
    outcome = segment_tiled(image, recipe, tmp_path, name="discs")
    labels = labels_of(outcome)
    assert outcome.status == "done"
    assert same_objects(labels, truth)
    assert sorted(np.unique(labels[labels > 0])) == list(range(1, outcome.objects + 1))


def test_an_object_longer_than_any_tile_is_joined(fake: None, tmp_path: Path) -> None:
    image, truth = fake_tiles.picture((200, 420), long=True)
    outcome = segment_tiled(image, RECIPE, tmp_path, name="bar")
    assert same_objects(labels_of(outcome), truth)
    seams = json.loads((tmp_path / "bar.seams.json").read_text())
    assert seams["joined"] == 1
    assert seams["pieces"] > 5
    assert seams["cut_off"] == 0


def test_files_are_those_of_the_whole_image(fake: None, tmp_path: Path) -> None:
    image, _ = fake_tiles.picture((250, 310))
    job = SegmentJob(RECIPE, tmp_path / "out", kinds=KINDS)
    np.save(tmp_path / "discs.npy", image)
    (outcome,) = run(tiled_steps([tmp_path / "discs.npy"], job))
    labels = labels_of(outcome)
    masks, _ = label_masks(labels)
    expected = object_table(masks, labels, image)
    table = pd.read_csv(outcome.files["objects"])
    measured = [
        "index", "area", "visible_area", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "centroid_x",
        "centroid_y", "parent", "depth", "intensity_mean", "perimeter", "touching_border",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(table[measured], expected[measured])
    assert (labels[table["point_y"].astype(int), table["point_x"].astype(int)] > 0).all()
    coco = read_coco(outcome.files["coco"])
    np.testing.assert_array_equal(paint(coco, labels.shape), labels)
    outlines = read_geojson(outcome.files["geojson"])
    np.testing.assert_array_equal(paint(outlines.masks, labels.shape), labels)
    about = json.loads(outcome.files["provenance"].read_text())
    assert about["tiles"] == about["tiles"] | {"count": 20, "size": 96, "halo": 20, "level": 0}
    assert about["objects"] == outcome.objects
    assert about["unmasked"] == pytest.approx(np.mean(labels == 0))
    assert Recipe.from_file(outcome.files["recipe"]) == RECIPE
    assert outcome.files["seam_picture"].stat().st_size > 1000


def zarr_image(path: Path, image: np.ndarray) -> Path:
    """Write an OME-Zarr image with two levels."""
    group = zarr.open_group(str(path), mode="w")
    levels = [image, image[::2, ::2]]
    for number, level in enumerate(levels):
        array = group.create_array(
            str(number), shape=level.shape, dtype=level.dtype, chunks=(64, 64)
        )
        array[:] = level
    scales = [[0.5, 0.5], [1.0, 1.0]]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{
        "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"],
        "datasets": [
            {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for n, scale in enumerate(scales)
        ],
    }]}  # fmt: skip
    return path


def test_the_command_segments_a_zarr_image_with_levels_and_says_that_it_uses_tiles(
    fake: None, tmp_path: Path
) -> None:
    image, truth = fake_tiles.picture((250, 310))
    path, out = zarr_image(tmp_path / "slide.zarr", image), tmp_path / "out"
    RECIPE.to_file(tmp_path / "recipe.yaml")
    arguments = ("segment", path, "--out", out, "--recipe", tmp_path / "recipe.yaml")
    result = graysam(*arguments, "--json")
    assert "in tiles, as the image has 250 × 310 pixels" in result.stderr
    assert json.loads(result.stdout)["images"][0]["objects"] == truth.max()
    labels = open_pyramid(out / "slide.zarr" / "labels" / "slide")
    assert [level.shape for level in labels.levels] == [(250, 310), (125, 155)]
    assert labels.pixel_size() == open_pyramid(path).pixel_size()
    assert same_objects(np.asarray(labels.plane()[:, :]), truth)
    table = pd.read_csv(out / "slide.objects.csv")
    np.testing.assert_allclose(table["area_um2"], table["area"] / 4)
    again = graysam(*arguments)
    assert "skipped" in again.stderr


def test_a_coarser_level_gives_labels_of_its_size(fake: None, tmp_path: Path) -> None:
    image, _ = fake_tiles.picture((250, 310))
    path = zarr_image(tmp_path / "slide.zarr", image)
    recipe = RECIPE.with_values({"tiles.level": 1})
    outcome = segment_tiled(path, recipe, tmp_path / "out")
    labels = open_pyramid(outcome.files["labels"])
    assert labels.shape == (125, 155)
    assert labels.pixel_size().size == (1.0, 1.0)


@pytest.mark.parametrize("level", [0, 1])
def test_a_given_pixel_size_is_that_of_the_table_and_the_labels(
    fake: None, tmp_path: Path, level: int
) -> None:
    path = zarr_image(tmp_path / "data" / "slide.zarr", fake_tiles.picture((250, 310))[0])
    RECIPE.with_values({"tiles.level": level}).to_file(tmp_path / "recipe.yaml")
    arguments = ("segment", path, "--out", tmp_path, "--recipe", tmp_path / "recipe.yaml")
    result = graysam(*arguments, "--pixel-size", "2,4")
    assert "given, 2 × 4 µm; the file says 0.5 × 0.5 µm" in " ".join(result.stderr.split())
    table = pd.read_csv(tmp_path / "slide.objects.csv")
    np.testing.assert_allclose(table["area_um2"], table["area"] * 8 * 4**level)
    labels = open_pyramid(tmp_path / "slide.zarr" / "labels" / "slide")
    assert labels.pixel_size().size == (2.0 * 2**level, 4.0 * 2**level)
    assert "skipped" in graysam(*arguments, "--pixel-size", "2,4").stderr
    assert "is there already" in graysam(*arguments, status=1).stderr


def test_a_coarser_level_is_segmented_in_tiles_however_small_the_image(
    fake: None, tmp_path: Path
) -> None:
    image, _ = fake_tiles.picture((250, 310))
    path = zarr_image(tmp_path / "slide.zarr", image)
    np.save(tmp_path / "plain.npy", image)
    recipe = RECIPE.with_values({"tiles.use": "auto", "tiles.level": 1})
    job = SegmentJob(recipe, tmp_path / "out")
    slide, plain = run(image_steps([path, tmp_path / "plain.npy"], job))
    assert labels_of(slide).shape == (125, 155)
    assert "Level 1 does not exist" in plain.error
    with pytest.raises(RecipeError, match="level is 1 and use is never"):
        recipe.with_values({"tiles.use": "never"})


def test_the_plan_prints_what_a_run_costs_and_writes_nothing(tmp_path: Path) -> None:
    image, _ = fake_tiles.picture((250, 310))
    path = zarr_image(tmp_path / "slide.zarr", image)
    settings = [
        "--set", "tiles.use=always", "--set", "tiles.size=128", "--set", "tiles.halo=24",
        "--set", "generator.points_per_side=4",
    ]  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    result = graysam("segment", path, "--plan", *settings, "--json")
    (plan,) = json.loads(result.stdout)["plans"]
    grid = TileGrid((250, 310), 128, 24)
    assert plan["tiles"] == len(grid)
    assert plan["points"] == pytest.approx(250 * 310 / 32**2, rel=0.02)
    assert min(plan["seconds"], plan["memory"], plan["disk"], plan["sample"]["seconds"]) > 0
    assert sorted(tmp_path.rglob("*")) == before
    assert "tiles" in graysam("segment", path, "--plan", *settings).stdout
    assert "give --out DIR" in graysam("segment", path, *settings, status=2).stderr


def test_points_lie_on_one_lattice_and_each_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[np.ndarray] = []
    grids = []

    def steps(image, recipe, *, region, cut, cache):
        crops = cut.points.crops(region.shape, recipe.generator, region)
        top, left = cut.points.tile.origin
        asked.extend(crop.points + crop.box[:2] + (left, top) for crop in crops)
        return (yield from fake_tiles.segment_steps(image, recipe, region=region, cut=cut))

    fake_tiles.install(monkeypatch, steps)
    for size in (64, 128):
        asked.clear()
        values = {"tiles.size": size, "generator.points_per_side": size // 8}
        segment_tiled(
            fake_tiles.picture((150, 170))[0], RECIPE.with_values(values), tmp_path / str(size)
        )
        points = np.concatenate(asked)
        grids.append({tuple(point) for point in points.tolist()})
        assert len(grids[-1]) == len(points)
    assert grids[0] == grids[1] == {(4 + 8 * x, 4 + 8 * y) for x in range(21) for y in range(19)}


def test_a_region_limits_the_points_of_all_tiles(fake: None, tmp_path: Path) -> None:
    image, truth = fake_tiles.picture((250, 310))
    corner = [[0, 0], [150, 0], [150, 120], [0, 120]]
    outcome = segment_tiled(image, RECIPE.with_values({"image.region": [corner]}), tmp_path)
    labels = labels_of(outcome)
    inside = np.unique(truth[:120, :150])
    assert set(np.unique(truth[labels > 0])) <= set(inside)
    assert outcome.objects >= 25
    assert outcome.unmasked == pytest.approx(np.mean(labels[:120, :150] == 0))


def test_a_region_file_is_known_by_what_it_marks(fake: None, tmp_path: Path) -> None:
    image, _ = fake_tiles.picture((250, 310))
    inside = np.zeros((250, 310), np.uint8)
    inside[:120, :150] = 1
    np.save(tmp_path / "inside.npy", inside)
    recipe = RECIPE.with_values({"image.region": str(tmp_path / "inside.npy")})
    first = segment_tiled(image, recipe, tmp_path, name="part")
    assert segment_tiled(image, recipe, tmp_path, name="part").status == "skipped"
    np.save(tmp_path / "inside.npy", np.ones_like(inside))
    with pytest.raises(OutputError, match="not of this image and recipe"):
        segment_tiled(image, recipe, tmp_path, name="part")
    whole = segment_tiled(image, recipe, tmp_path, name="part", overwrite=True)
    assert whole.objects > first.objects


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ([[[400, 400], [420, 400], [420, 420]]], "no pixel of the image of 130 × 130"),
        ("missing.npy", "no such file"),
        ("small.npy", "has 90 × 90 pixels, the image 130 × 130"),
    ],
)
def test_a_region_that_cannot_be_is_refused_before_any_tile(
    fake: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, region: object, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("small.npy", np.ones((90, 90), np.uint8))
    recipe = RECIPE.with_values({"image.region": region})
    with pytest.raises(ImageError, match=message):
        segment_tiled(fake_tiles.picture((130, 130))[0], recipe, "out")
    assert not list(tmp_path.glob("out/*"))


def test_a_tile_that_fails_is_tried_again_and_named_if_it_fails_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image, truth = fake_tiles.picture((250, 310))
    failures = {"r001c002": 1, "r002c000": 2}

    def steps(image, recipe, *, region, cut, cache):
        name = cut.points.tile.name
        if failures.get(name, 0) > 0:
            failures[name] -= 1
            raise ValueError("a chunk is damaged")
        return (yield from fake_tiles.segment_steps(image, recipe, region=region, cut=cut))

    fake_tiles.install(monkeypatch, steps)
    notes: list[str] = []
    outcome = segment_tiled(
        image, RECIPE, tmp_path, name="discs", on_progress=lambda report: notes.append(report.note)
    )
    assert any("r001c002 failed, tried again later" in note for note in notes)
    assert outcome.status == "failed"
    assert (
        "1 of 20 tiles failed twice: r002c000: unexpected ValueError: a chunk is" in outcome.error
    )
    assert not (tmp_path / "discs.zarr").exists()
    notes.clear()
    outcome = segment_tiled(
        image, RECIPE, tmp_path, name="discs", on_progress=lambda report: notes.append(report.note)
    )
    assert any("goes on: 19 of 20 tiles are there" in note for note in notes)
    assert same_objects(labels_of(outcome), truth)


def test_a_full_disk_ends_the_run_at_once_and_finished_tiles_stay(
    fake: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image, truth = fake_tiles.picture((250, 310))
    saved: list[Path] = []
    save = Pieces.save

    def until_full(self: Pieces, path: Path) -> None:
        saved.append(path)
        with writing(path):
            if len(saved) == 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            save(self, path)

    monkeypatch.setattr(Pieces, "save", until_full)
    with pytest.raises(DiskFullError, match=r"The disk is full.*the same call goes on"):
        segment_tiled(image, RECIPE, tmp_path, name="discs")
    assert len(saved) == 4
    assert not (tmp_path / "discs.zarr").exists()
    notes: list[str] = []
    outcome = segment_tiled(
        image, RECIPE, tmp_path, name="discs", on_progress=lambda report: notes.append(report.note)
    )
    assert any("goes on: 3 of 20 tiles are there" in note for note in notes)
    assert same_objects(labels_of(outcome), truth)


def test_a_run_that_is_stopped_anywhere_goes_on_with_the_same_labels(
    fake: None, tmp_path: Path
) -> None:
    image, _ = fake_tiles.picture((200, 420), long=True)
    np.save(tmp_path / "bar.npy", image)
    expected = labels_of(segment_tiled(image, RECIPE, tmp_path / "once", name="bar"))
    for stop in (3, 15, 60):
        out = tmp_path / f"stopped {stop}"
        job = SegmentJob(RECIPE, out)
        steps = tiled_steps([tmp_path / "bar.npy"], job)
        for _ in range(stop):
            next(steps)
        steps.close()
        (outcome,) = run(tiled_steps([tmp_path / "bar.npy"], job))
        np.testing.assert_array_equal(labels_of(outcome), expected)


def test_another_recipe_starts_anew_but_filters_use_the_tiles_that_are_there(
    fake: None, tmp_path: Path
) -> None:
    image, _ = fake_tiles.picture((250, 310))
    first = segment_tiled(image, RECIPE, tmp_path, name="discs")
    with pytest.raises(OutputError, match=r"is there already.*--overwrite"):
        segment_tiled(image, RECIPE.with_values({"labels.min_area": 100}), tmp_path, name="discs")
    notes: list[str] = []

    def note(report):
        notes.append(report.note)

    large = RECIPE.replace(
        labels=RECIPE.labels.replace(filters=[ColumnFilter(column="area", minimum=120)])
    )
    second = segment_tiled(image, large, tmp_path, name="discs", overwrite=True, on_progress=note)
    assert any("20 of 20 tiles are there" in note for note in notes)
    table = pd.read_csv(second.files["objects"])
    assert 0 < len(table) < first.objects
    assert table["area"].min() >= 120
    assert table["index"].tolist() == list(range(1, len(table) + 1))
    assert sorted(np.unique(labels_of(second))) == [0, *table["index"]]
    notes.clear()
    finer = RECIPE.with_values({"generator.points_per_side": 12})
    segment_tiled(image, finer, tmp_path, name="discs", overwrite=True, on_progress=note)
    assert not any("tiles are there" in note for note in notes)


def test_tiles_of_another_run_are_not_thrown_away_unasked(fake: None, tmp_path: Path) -> None:
    np.save(tmp_path / "discs.npy", fake_tiles.picture((250, 310))[0])
    steps = tiled_steps([tmp_path / "discs.npy"], SegmentJob(RECIPE, tmp_path))
    for _ in range(20):
        next(steps)
    steps.close()
    found = sorted((tmp_path / "discs.tiles" / "found").iterdir())
    assert found
    other = SegmentJob(RECIPE.with_values({"generator.points_per_side": 12}), tmp_path)
    (outcome,) = run(tiled_steps([tmp_path / "discs.npy"], other))
    assert f"holds {len(found)} tiles of a run with another image, recipe" in outcome.error
    assert sorted((tmp_path / "discs.tiles" / "found").iterdir()) == found
    (outcome,) = run(tiled_steps([tmp_path / "discs.npy"], other, overwrite=True))
    assert outcome.status == "done"


def test_size_and_border_count_for_whole_objects(fake: None, tmp_path: Path) -> None:
    image, truth = fake_tiles.picture((200, 420), long=True)
    values = {"labels.min_area": 90, "labels.max_area": 3000, "labels.exclude_border": True}
    outcome = segment_tiled(image, RECIPE.with_values(values), tmp_path, name="some")
    masks, numbers = label_masks(truth)
    wanted = [
        number
        for mask, number in zip(masks, numbers, strict=True)
        if 90 <= mask.area <= 3000 and min(mask.box[:2]) > 0
        and mask.box[2] < 420 and mask.box[3] < 200
    ]  # fmt: skip
    assert same_objects(labels_of(outcome), np.where(np.isin(truth, wanted), truth, 0))


def test_results_never_go_over_those_of_another_image(fake: None, tmp_path: Path) -> None:
    image, _ = fake_tiles.picture((130, 130))
    path = zarr_image(tmp_path / "slide.zarr", image)
    segment_tiled(path, RECIPE, tmp_path / "out")
    other = zarr_image(tmp_path / "more" / "slide.zarr", image.T.copy())
    with pytest.raises(UsageError, match="slide"):
        segment_tiled(other, RECIPE, tmp_path / "out")


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_image_is_no_store_of_results(fake: None, tmp_path: Path, overwrite: bool) -> None:
    image, _ = fake_tiles.picture((130, 130))
    path = zarr_image(tmp_path / "slide.zarr", image)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=r"is an image and is not changed.*--write into-image"):
        segment_tiled(path, RECIPE, tmp_path, overwrite=overwrite)
    assert sorted(tmp_path.rglob("*")) == before


def test_labels_go_into_the_image_where_that_is_asked_for(fake: None, tmp_path: Path) -> None:
    image, truth = fake_tiles.picture((130, 130))
    path = zarr_image(tmp_path / "slide.zarr", image)
    job = SegmentJob(RECIPE, tmp_path / "out", kinds=("objects", "into-image"))
    (outcome,) = run(tiled_steps([path], job))
    assert outcome.files["labels"] == path / "labels" / "slide"
    assert same_objects(labels_of(outcome), truth)
    np.testing.assert_array_equal(open_pyramid(path).plane()[:, :], image)
    assert not (tmp_path / "out" / "slide.zarr").exists()
    np.save(tmp_path / "plain.npy", image)
    with pytest.raises(UsageError, match=r"plain\.npy is none"):
        run(tiled_steps([tmp_path / "plain.npy"], job))
    coarse = replace(job, recipe=RECIPE.with_values({"tiles.level": 1}), folder=tmp_path / "c")
    with pytest.raises(UsageError, match=r"but tiles\.level is 1"):
        run(tiled_steps([path], coarse))


def test_an_image_that_cannot_be_written_to_is_refused_before_any_tile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = zarr_image(tmp_path / "slide.zarr", fake_tiles.picture((130, 130))[0])
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda place, mode: Path(place) != path and allowed(place, mode)
    )
    job = SegmentJob(RECIPE, tmp_path / "out", kinds=("objects", "into-image"))
    (outcome,) = run(tiled_steps([path], job))
    assert "read-only, or you may not write there. Leave out --write into-image" in outcome.error
    assert not list((tmp_path / "out").glob("*.tiles"))
    assert not (path / "labels").exists()


def test_two_runs_of_one_output_are_refused(fake: None, tmp_path: Path) -> None:
    image, _ = fake_tiles.picture((130, 130))
    np.save(tmp_path / "one.npy", image)
    job = SegmentJob(RECIPE, tmp_path / "out")
    steps = tiled_steps([tmp_path / "one.npy"], job)
    next(steps)
    (second,) = run(tiled_steps([tmp_path / "one.npy"], job))
    assert second.status == "failed"
    assert "being written by process" in second.error
    steps.close()


def test_images_that_fit_stay_in_one_piece_beside_those_in_tiles(
    fake: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_pipeline.install(monkeypatch)
    np.save(tmp_path / "large.npy", fake_tiles.picture((130, 130))[0])
    np.save(tmp_path / "small.npy", fake_pipeline.spots()[0])
    paths = [tmp_path / "large.npy", tmp_path / "small.npy"]
    reports: list[Report] = []
    steps = image_steps(paths, SegmentJob(RECIPE, tmp_path / "out"))
    large, small = run(steps, reports.append)
    assert large.files["labels"] == tmp_path / "out" / "large.zarr" / "labels" / "large"
    assert small.files["labels"] == tmp_path / "out" / "small.labels.tif"
    ended = [(report.done, report.total) for report in reports if report.outcome]
    assert ended == [(1, 2), (2, 2)]


def test_what_cannot_be_meant_in_tiles_is_refused(fake: None, tmp_path: Path) -> None:
    unread = np.full((130, 130), np.nan)
    with pytest.raises(RecipeError, match=r"tiles\.size is 96 and the halo 60"):
        segment_tiled(unread, RECIPE.with_values({"tiles.halo": 60}), tmp_path)
    with pytest.raises(ImageError, match="nothing to segment"):
        segment_tiled(unread, RECIPE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_workers_elsewhere_get_places_that_mean_the_same_there(
    fake: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = segment_tiled(fake_tiles.picture((130, 130))[0], RECIPE, "results")
    assert outcome.files["labels"] == tmp_path / "results/image.zarr/labels/image"


def test_a_damaged_tile_of_an_earlier_run_is_named(fake: None, tmp_path: Path) -> None:
    image, _ = fake_tiles.picture((250, 310))
    segment_tiled(image, RECIPE, tmp_path, name="discs")
    shutil.rmtree(tmp_path / "discs.zarr")
    os.unlink(tmp_path / "discs.recipe.yaml")
    (tmp_path / "discs.tiles" / "found" / "r000c001.npz").write_bytes(b"half")
    with pytest.raises(OutputError, match=r"r000c001\.npz: .*Delete it and run the same command"):
        segment_tiled(image, RECIPE, tmp_path, name="discs")


def test_the_halo_follows_the_objects(fake: None, tmp_path: Path) -> None:
    image, _ = fake_tiles.picture((250, 310))
    free = RECIPE.with_values({"tiles.halo": None})
    outcome = segment_tiled(image, free, tmp_path / "trial")
    assert any("halo of 16 pixels, by a trial" in note for note in outcome.notes)
    sized = free.with_values({"image.object_diameter": 14})
    outcome = segment_tiled(image, sized, tmp_path / "sized")
    assert any("halo of 21 pixels, by the objects' diameter" in note for note in outcome.notes)


def test_when_tiles_are_used() -> None:
    assert needs_tiles((40_000, 100), Recipe())
    assert needs_tiles((20_000, 20_000), Recipe())
    assert not needs_tiles((20_000, 20_000), Recipe().with_values({"tiles.use": "never"}))
    assert not needs_tiles((2000, 2000), Recipe())
    always = Recipe().with_values({"tiles.use": "always"})
    assert needs_tiles((2000, 2000), always)
    assert not needs_tiles((1000, 1000), always)


def masks_of(*specs: tuple[tuple[int, int, int, int], float]) -> list[Mask]:
    """Return rectangles with scores."""
    return [
        Mask(np.ones((box[3] - box[1], box[2] - box[0]), bool), box, predicted_iou=score)
        for box, score in specs
    ]


def resolved(grid: TileGrid, found: dict[str, list[Mask]], recipe: Recipe = RECIPE):
    def load(tile):
        masks = found.get(tile.name, [])
        return Pieces.of(masks, [cut_edges(mask, tile, grid.shape) for mask in masks])

    return resolve(grid, recipe, load)


def test_of_two_that_are_one_the_surer_stays_and_a_whole_one_before_a_cut_one() -> None:
    grid = TileGrid((96, 156), 96, 18)
    surer = resolved(grid, {
        "r000c000": masks_of(((70, 10, 88, 30), 0.8)),
        "r000c001": masks_of(((71, 10, 89, 30), 0.9)),
    })  # fmt: skip
    assert surer.found.box[surer.chosen].tolist() == [[71, 10, 89, 30]]
    whole = resolved(grid, {
        "r000c000": masks_of(((40, 10, 90, 30), 0.6)),
        "r000c001": masks_of(((60, 10, 90, 30), 0.9)),
    })  # fmt: skip
    assert whole.found.box[whole.chosen].tolist() == [[40, 10, 90, 30]]
    assert whole.counts["duplicates"] == 1


def test_neighbours_across_a_seam_and_parts_of_wholes_stay() -> None:
    grid = TileGrid((96, 156), 96, 18)
    both = resolved(grid, {
        "r000c000": masks_of(((62, 10, 80, 30), 0.8), ((20, 40, 50, 70), 0.9)),
        "r000c001": masks_of(((79, 10, 99, 30), 0.9), ((66, 50, 72, 56), 0.9),
                             ((64, 40, 100, 70), 0.8)),
    })  # fmt: skip
    assert len(both.chosen) == 5
    boxes = both.found.box[both.chosen].tolist()
    inner = boxes.index([66, 50, 72, 56])
    assert boxes[int(both.parent[inner])] == [64, 40, 100, 70]
    assert both.depth[inner] == 1


def test_joined_objects_hold_each_other() -> None:
    grid = TileGrid((96, 156), 96, 18)
    both = resolved(grid, {
        "r000c000": masks_of(((20, 10, 96, 60), 0.8), ((30, 20, 96, 40), 0.9)),
        "r000c001": masks_of(((60, 10, 140, 60), 0.8), ((60, 20, 130, 40), 0.9)),
    })  # fmt: skip
    boxes = both.found.box[both.chosen].tolist()
    assert sorted(boxes) == [[20, 10, 140, 60], [30, 20, 130, 40]]
    inner = boxes.index([30, 20, 130, 40])
    assert boxes[int(both.parent[inner])] == [20, 10, 140, 60]


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), level=st.sampled_from(["all", "whole", "parts"]))
def test_nesting_over_tiles_is_that_of_all_masks_together(seed: int, level: str) -> None:
    """Of one tile the result is that of the functions for whole images."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 70, (12, 2))
    sides = random.integers(2, 30, (12, 2))
    masks = masks_of(*(
        ((int(x), int(y), int(x + w), int(y + h)), float(score))
        for (x, y), (w, h), score in zip(corners, sides, random.random(12), strict=True)
    ))  # fmt: skip
    grid = TileGrid((100, 100), 128, 10)
    found = resolved(grid, {"r000c000": masks}, RECIPE.with_values({"labels.level": level}))
    nested = nest(masks)
    if level == "all":
        assert [int(p) for p in found.parent] == [mask.parent for mask in nested]
    assert [int(d) for d in found.depth] == [nested[i].depth for i in found.chosen.tolist()]
    disjoint = resolved(
        grid, {"r000c000": masks}, RECIPE.with_values({"labels.overlap": "disjoint"})
    )
    apart = separate(nested)
    assert len(disjoint.chosen) == len(apart)
    areas = [
        int(disjoint.made[i].area[0]) if i in disjoint.made else int(disjoint.found.area[i])
        for i in disjoint.chosen.tolist()
    ]
    assert areas == [mask.area for mask in apart]


@given(st.integers(0, 10**6))
def test_pieces_keep_masks(seed: int) -> None:
    random = np.random.default_rng(seed)
    masks = [
        Mask(random.random((h, w)) > 0.5, (5, 7, 5 + w, 7 + h), 0.5, 0.25, (1.5, 2.0), (0, 0, 9, 9))
        for h, w in random.integers(1, 9, (4, 2)).tolist()
    ]
    pieces = Pieces.of(masks)
    for number, mask in enumerate(masks):
        again = pieces.mask(number)
        assert again.box == mask.box
        assert (again.bits == mask.bits).all()
        assert (again.predicted_iou, again.stability, again.point) == (0.5, 0.25, (1.5, 2.0))


@given(st.integers(0, 10**6))
def test_a_window_is_painted_as_it_is_in_the_whole_image(seed: int) -> None:
    random = np.random.default_rng(seed)
    masks = [
        Mask(random.random((h, w)) > 0.2, (x, y, x + w, y + h), float(score))
        for (h, w, x, y), score in zip(
            random.integers(1, 20, (6, 4)).tolist(), random.random(6), strict=True
        )
    ]
    order = stacking_order(masks, "smaller_on_top")
    part = paint_window(
        [masks[i] for i in order], [i + 1 for i in order], (slice(3, 30), slice(5, 33))
    )
    np.testing.assert_array_equal(part, paint(masks, (40, 40))[3:30, 5:33])


def test_the_report_sees_objects_that_are_cut_at_seams() -> None:
    random = np.random.default_rng(4)
    grid = TileGrid((600, 600), 128, 16)
    labels = np.zeros((600, 600), np.uint32)
    for number in range(1, 300):
        y, x = random.integers(0, 585, 2)
        labels[y : y + 14, x : x + 14] = number
    whole = make_report(labels, grid)
    assert whole.ratio is None or whole.ratio < 2
    cut = labels.copy()
    for line in [bounds[1].stop for bounds in grid.spans[1]][:-1]:
        cut[:, line:] += np.where(cut[:, line:] > 0, 1000, 0).astype(np.uint32)
    report = make_report(cut, grid)
    assert report.seam.rate > 3 * max(whole.seam.rate, 0.01)
    assert report.to_dict()["seam"]["ending"] == report.seam.ending == len(report.places)
