"""Both arms of images in tiles: the comparison is that of the image in one piece."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import fake_tiles
import numpy as np
import pandas as pd
import pytest
from skimage.measure import label
from typer.testing import CliRunner

from napari_graysam.batch import CompareJob, compare_tiled, compare_tiled_steps
from napari_graysam.cli import app
from napari_graysam.comparison import compare_labels, score
from napari_graysam.errors import TruthError
from napari_graysam.files import read_labels
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe

RECIPE = Recipe().with_values(
    {
        "tiles.use": "always",
        "tiles.size": 96,
        "tiles.halo": 20,
        "generator.points_per_side": 24,
        "image.window": {"kind": "explicit", "low": 0, "high": 255},
        "preprocess": [{"kind": "gamma", "gamma": 0.5}],
    }
)
SHAPE = (250, 310)


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tiles.install(monkeypatch)
    monkeypatch.setenv("COLUMNS", "400")


def picture() -> np.ndarray:
    """Return bright discs, dim ones, and pairs of bright halves that a dim bridge joins.

    At the threshold of 100, raw sees what is bright; after a gamma of 0.5 (√(g · 255)), what is
    brighter than 39.
    """
    image, _ = fake_tiles.picture(SHAPE)
    for row in range(0, SHAPE[0] - 24, 72):
        for column in range(0, SHAPE[1] - 24, 48):
            cell = image[row : row + 24, column : column + 24]
            cell[cell > 100] = 60
        for column in range(24, SHAPE[1] - 24, 96):
            cell = image[row : row + 24, column : column + 24]
            cell[:] = 10
            cell[6:18, 4:20] = 200
            cell[6:18, 11:13] = 60
    return image


def in_one_piece(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of both arms that the fake model gives for the whole image."""
    return label(image > 100), label(np.round(np.sqrt(image / 255) * 255) > 100)


def graysam(*arguments: object, status: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize("size", [64, 96, 512])
def test_the_comparison_is_that_of_the_image_in_one_piece(tmp_path: Path, size: int) -> None:
    image = picture()
    np.save(tmp_path / "discs.npy", image)
    recipe = RECIPE.with_values({"tiles.size": size, "generator.points_per_side": size // 4})
    outcome = compare_tiled(tmp_path / "discs.npy", recipe, tmp_path / "out")
    expected = compare_labels(*in_one_piece(image))
    assert outcome.status == "done"
    assert outcome.changes == expected.counts
    assert expected.counts["gained"] > 5
    assert expected.counts["merged"] > 5
    found = pd.read_csv(outcome.files["csv"])
    same = ["arm", "change", "iou", "area", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1",
            "delta_area"]  # fmt: skip
    rows = [
        table[same].sort_values(["arm", "bbox_y0", "bbox_x0"], ignore_index=True)
        for table in (found, expected.objects)
    ]
    pd.testing.assert_frame_equal(*rows)
    about = json.loads(outcome.files["json"].read_text())
    assert about["counts"] == expected.counts
    assert about["objects"]["raw"] == expected.count_objects("raw")
    assert {about["provenance"][arm]["tiles"]["halo"] for arm in ("raw", "preprocessed")} == {20}
    for arm in ("raw", "preprocessed"):
        labels = read_labels(tmp_path / f"out/discs.{arm}.zarr/labels/discs.{arm}")
        partners = found[found["arm"] == arm]
        assert sorted(partners["index"]) == list(range(1, int(labels.max()) + 1))
    assert outcome.files["png"].stat().st_size > 10_000


def test_the_command_compares_goes_on_and_skips(tmp_path: Path) -> None:
    image = picture()
    np.save(tmp_path / "discs.npy", image)
    np.save(tmp_path / "truth.npy", in_one_piece(image)[1])
    RECIPE.to_file(tmp_path / "recipe.yaml")
    command = (
        "compare", tmp_path / "discs.npy", "-r", tmp_path / "recipe.yaml", "-o", tmp_path / "out",
        "--truth", tmp_path / "truth.npy",
    )  # fmt: skip
    result = graysam(*command, "--json")
    assert "in tiles, as the image has 250 × 310 pixels" in result.stderr
    (one,) = json.loads(result.stdout)["images"]
    raw, preprocessed = in_one_piece(image)
    assert one["scores"]["preprocessed"]["f1"] == 1
    assert one["scores"]["raw"]["f1"] == pytest.approx(score(raw, preprocessed).f1)
    assert one["changes"] == compare_labels(raw, preprocessed).counts
    again = json.loads(graysam(*command, "--json").stdout)["images"][0]
    assert (again["status"], again["changes"]) == ("skipped", one["changes"])
    assert again["scores"] == one["scores"]
    (tmp_path / "out/discs.comparison.csv").unlink()
    assert json.loads(graysam(*command, "--json").stdout)["images"][0]["status"] == "done"
    np.save(tmp_path / "truth.npy", raw)
    other = json.loads(graysam(*command, "--json").stdout)["images"][0]
    assert (other["status"], other["scores"]["raw"]["f1"]) == ("done", 1)


def test_labels_that_are_there_stay_without_overwrite(tmp_path: Path) -> None:
    np.save(tmp_path / "discs.npy", picture())
    RECIPE.to_file(tmp_path / "recipe.yaml")
    command = (
        "compare", tmp_path / "discs.npy", "-r", tmp_path / "recipe.yaml", "-o", tmp_path / "out",
    )  # fmt: skip
    graysam(*command)
    before = (tmp_path / "out/discs.comparison.json").read_bytes()
    larger = ("--set", "labels.min_area=90")
    result = graysam(*command, *larger, status=1)
    assert "discs.raw is there already" in result.stderr
    assert (tmp_path / "out/discs.comparison.json").read_bytes() == before
    graysam(*command, *larger, "--overwrite")
    assert (tmp_path / "out/discs.comparison.json").read_bytes() != before


def test_a_comparison_that_is_stopped_goes_on_with_the_same_result(tmp_path: Path) -> None:
    np.save(tmp_path / "discs.npy", picture())
    job = CompareJob(RECIPE, tmp_path / "all")
    (expected,) = run(compare_tiled_steps([tmp_path / "discs.npy"], job))
    job = CompareJob(RECIPE, tmp_path / "out")
    stages: Counter[str] = Counter()
    for stop in ("raw: tiles", "raw: paint", "preprocessed: tiles", "compare", "write"):
        steps = compare_tiled_steps([tmp_path / "discs.npy"], job)
        for report in steps:
            if report.step is not None and report.step.stage == stop and report.step.done == 0:
                stages[stop] += 1
                break
        steps.close()
        assert not (tmp_path / "out/discs.comparison.json").exists()
    assert len(stages) == 5
    (outcome,) = run(compare_tiled_steps([tmp_path / "discs.npy"], job))
    assert outcome.changes == expected.changes
    csv = "discs.comparison.csv"
    assert (tmp_path / "out" / csv).read_bytes() == (tmp_path / "all" / csv).read_bytes()


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (np.zeros((9, 9), np.uint8), r"expected a label image .* \(250, 310\)"),
        (np.zeros(SHAPE), "is float64"),
        (np.full(SHAPE, -1), "negative numbers"),
        (None, "expected, for an image in tiles, a label image"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(tmp_path: Path, truth, message: str) -> None:
    np.save(tmp_path / "discs.npy", picture())
    path = tmp_path / ("truth.npy" if truth is not None else "truth.geojson")
    path.write_text("{}")
    if truth is not None:
        np.save(path, truth)
    with pytest.raises(TruthError, match=message):
        compare_tiled(tmp_path / "discs.npy", RECIPE, tmp_path / "out", truth=path)
    if "negative" not in message:
        assert not list((tmp_path / "out").glob("*.zarr"))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "discs.npy", picture())
    RECIPE.to_file(tmp_path / "recipe.yaml")
    result = graysam(
        "compare", tmp_path / "discs.npy", "-r", tmp_path / "recipe.yaml", "-o", "/proc/x", status=1
    )
    assert "/proc/x" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_more_than_a_block_is_read_at_once(tmp_path: Path, monkeypatch) -> None:
    from napari_graysam.source.plane import Plane

    monkeypatch.setattr("napari_graysam.comparison.blocks.BLOCK", 64)
    monkeypatch.setattr("napari_graysam.comparison.coarse.LARGEST", 64)
    sizes: list[int] = []
    read = Plane.__getitem__

    def noted(plane: Plane, index):
        found = read(plane, index)
        sizes.append(found.size)
        return found

    np.save(tmp_path / "discs.npy", picture())
    steps = compare_tiled_steps([tmp_path / "discs.npy"], CompareJob(RECIPE, tmp_path / "out"))
    for report in steps:
        if report.step is not None and report.step.stage == "compare" and not sizes:
            monkeypatch.setattr(Plane, "__getitem__", noted)
    assert sizes
    assert max(sizes) <= 64 * 64
