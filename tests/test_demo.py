from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_pipeline
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_graysam import demo
from napari_graysam.batch import stack_compare
from napari_graysam.cli import app
from napari_graysam.comparison.report import changes_rgb
from napari_graysam.errors import ImageError, OutputError, UsageError
from napari_graysam.files import read_labels
from napari_graysam.progress import Progress, run
from napari_graysam.recipe import ModelOptions, Recipe
from napari_graysam.samples import samples
from napari_graysam.source.gray import to_gray

NAMES = ["nuclei_uneven", "microaneurysms"]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[ModelOptions]:
    """Use the pipeline without a model; returns the models that recipes asked for."""
    asked: list[ModelOptions] = []

    def compare_steps(image, recipe, *, truth=None):
        asked.append(recipe.model)
        return fake_pipeline.compare_steps(to_gray(image, recipe.image), recipe, truth=truth)

    monkeypatch.setattr("napari_graysam.pipeline.compare_steps", compare_steps)
    monkeypatch.setattr("napari_graysam.demo.steps.load_steps", fake_pipeline.load_steps)
    return asked


def test_rows_say_what_the_files_hold(fake: list[ModelOptions], tmp_path: Path) -> None:
    reports: list[Progress] = []
    result = run(demo.demo_steps(tmp_path, NAMES), reports.append)
    assert [r.done for r in reports if r.stage == "samples"] == [1, 2]
    assert {r.stage.partition(":")[0] for r in reports} >= set(NAMES)
    assert [row.sample for row in result.rows] == NAMES
    assert fake == [Recipe.preset().model] * 2
    assert result.errors == ()
    nuclei, real = result.rows
    assert nuclei.objects_true == len(np.unique(samples()["nuclei_uneven"].truth())) - 1
    assert 0 <= nuclei.ap50_raw <= 1
    assert real.ap50_raw is real.objects_true is None
    for row in result.rows:
        raw = read_labels(tmp_path / f"{row.sample}.raw.labels.tif")
        assert raw.max() == row.objects_raw
        events = json.loads((tmp_path / f"{row.sample}.comparison.json").read_text())["counts"]
        assert {change: getattr(row, change) for change in events} == events
    with result.files["csv"].open() as file:
        written = list(csv.DictReader(file))
    assert [int(row["gained"]) for row in written] == [row.gained for row in result.rows]
    document = json.loads(result.files["json"].read_text())
    assert [row["title"] for row in document["samples"]] == [row.title for row in result.rows]


def test_the_picture_has_a_row_for_each_sample(fake: list[ModelOptions], tmp_path: Path) -> None:
    one = run(demo.demo_steps(tmp_path / "one", NAMES[:1])).files["picture"]
    two = run(demo.demo_steps(tmp_path / "two", NAMES)).files["picture"]
    with Image.open(one) as small, Image.open(two) as large:
        assert small.width == large.width
        assert large.height > small.height + 300
        assert len(np.unique(np.asarray(large.convert("RGB")).reshape(-1, 3), axis=0)) > 500


def counted(function: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return function(*arguments, **options)

    return call


def test_a_stack_is_compared_in_all_its_planes(
    fake: list[ModelOptions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pipeline.install(monkeypatch)
    reports: list[Progress] = []
    compared: list[int] = []
    for name in ("compare_volumes", "score_volume"):
        monkeypatch.setattr(stack_compare, name, counted(getattr(stack_compare, name), compared))
    result = run(demo.demo_steps(tmp_path, ["dividing_cells"]), reports.append)
    assert result.errors == ()
    assert len(compared) == 3  # The arms with each other, and each with the truth.
    (row,) = result.rows
    again = run(demo.demo_steps(tmp_path, ["dividing_cells"]))
    assert replace(again.rows[0], seconds=row.seconds) == row
    assert len(compared) == 3
    assert row.objects_true == 18
    assert row.ap50_raw is not None
    assert row.title.startswith("Dividing cells (time series), t ")
    assert len(pd.read_csv(tmp_path / "dividing_cells.comparison.planes.csv")) == 20
    assert {r.stage.partition(":")[0] for r in reports} >= {"dividing_cells"}
    assert result.files["picture"].is_file()


def test_a_sample_that_fails_is_named_and_the_others_are_done(
    fake: list[ModelOptions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments):
        raise ImageError("no good")

    monkeypatch.setattr("napari_graysam.demo.steps.write_comparison", broken)
    result = run(demo.demo_steps(tmp_path, NAMES[:1]))
    assert result.rows == ()
    assert result.errors == ("sample nuclei_uneven: no good",)
    assert "picture" not in result.files


def test_an_unknown_sample_and_a_bad_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no sample nucleus"):
        run(demo.demo_steps(tmp_path, ["nucleus"]))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        run(demo.demo_steps(tmp_path / "file"))


def test_changes_are_coloured_only_where_they_are() -> None:
    image, _ = fake_pipeline.spots(bright=1, dim=1)
    arms = run(fake_pipeline.compare_steps(to_gray(image), Recipe()))
    edges = np.zeros(image.shape, bool)
    edges[:, 8] = True
    picture = changes_rgb(arms.raw.view, arms.changes.difference, edges).astype(int)
    coloured = np.ptp(picture, axis=2) > 0
    assert (coloured == (image > 0)).all()
    assert (picture[8, 10] != picture[8, 28]).any()
    assert np.ptp(picture[8, 8]) > np.ptp(picture[8, 10])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_runs_with_the_bundled_model(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    rows = {row["sample"]: row for row in document["samples"]}
    assert list(rows) == list(samples())
    assert document["errors"] == []
    scored = [row for row in rows.values() if row["ap50_raw"] is not None]
    assert len(scored) >= 6
    assert sum(row["ap50_preprocessed"] for row in scored) > 0
    assert (tmp_path / "demo.png").is_file()
