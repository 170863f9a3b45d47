"""What a run in tiles tells: notes of its tiles, sizes of pixels, costs by stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fake_tiles
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from napari_graysam.batch import Report, segment_tiled, segment_tiled_steps
from napari_graysam.cli import app
from napari_graysam.errors import ImageError
from napari_graysam.recipe import Recipe
from napari_graysam.source.pyramid import open_pyramid
from napari_graysam.tiles.notes import MOST, notes_of_tiles

RECIPE = Recipe().with_values(
    {"tiles.use": "always", "tiles.size": 96, "tiles.halo": 20, "generator.points_per_side": 24}
)


def noting(image, recipe, *, cut, **options):
    """Segment a tile as `fake_tiles` does, with a note that names its objects, and one in some."""
    result = yield from fake_tiles.segment_steps(image, recipe, cut=cut, **options)
    notes = [f"{len(result.masks)} objects were looked at"]
    if cut.points.tile.row == 0:
        notes.append("the first row is dark")
    about = {**result.provenance, "proposals": {"points": 3, "notes": notes}}
    return replace(result, provenance=about)


def test_notes_of_tiles_are_told_once_with_their_count(monkeypatch, tmp_path: Path) -> None:
    fake_tiles.install(monkeypatch, noting)
    np.save(tmp_path / "discs.npy", fake_tiles.picture((130, 190))[0])
    RECIPE.to_file(tmp_path / "recipe.yaml")
    command = ["segment", str(tmp_path / "discs.npy"), "-r", str(tmp_path / "recipe.yaml"), "-o"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "out")], env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    dark = "in 3 of 6 tiles: the first row is dark"
    assert result.stderr.count(dark) == 1
    assert result.stderr.count("in 6 of 6 tiles, with numbers that differ: ") == 1
    about = json.loads((tmp_path / "out/discs.provenance.json").read_text())
    assert dark in about["selection"]["notes"]


def test_only_the_most_frequent_kinds_of_notes_are_told() -> None:
    kinds = [f"note {chr(97 + n)}" for n in range(MOST + 3)]
    told = notes_of_tiles([kinds, kinds[:1]])
    assert told[0] == "in 2 of 2 tiles: note a"
    assert told[-1] == "tiles have 3 more kinds of notes"
    assert len(told) == MOST + 1
    assert notes_of_tiles([]) == ()


def test_costs_of_a_stage_are_summed_over_all_tiles(monkeypatch, tmp_path: Path) -> None:
    fake_tiles.install(monkeypatch)
    np.save(tmp_path / "discs.npy", fake_tiles.picture((130, 190))[0])
    RECIPE.to_file(tmp_path / "recipe.yaml")
    command = ["segment", str(tmp_path / "discs.npy"), "-r", str(tmp_path / "recipe.yaml")]
    options = ["-o", str(tmp_path / "out"), "--profile", "--json"]
    result = CliRunner().invoke(app, [*command, *options])
    stages = [row["stage"] for row in json.loads(result.stdout)["stages"]]
    assert stages.count("tiles: decode") == 1
    assert not [stage for stage in stages if "/" in stage]
    assert {"read", "fit", "seams", "measure", "paint"} <= set(stages)


def test_a_given_size_of_a_pixel_counts_in_python_as_well(monkeypatch, tmp_path: Path) -> None:
    fake_tiles.install(monkeypatch)
    image, _ = fake_tiles.picture((130, 130))
    outcome = segment_tiled(image, RECIPE, tmp_path, name="discs", pixel_size=(2.0, 4.0))
    table = pd.read_csv(outcome.files["objects"])
    np.testing.assert_allclose(table["area_um2"], 8 * table["area"])
    assert open_pyramid(outcome.files["labels"]).pixel_size().size == (2.0, 4.0)
    with pytest.raises(ImageError, match="positive micrometres"):
        segment_tiled(image, RECIPE, tmp_path, name="other", pixel_size=(0, 1))


def test_closing_the_steps_cancels_and_the_next_call_goes_on(monkeypatch, tmp_path: Path) -> None:
    fake_tiles.install(monkeypatch)
    image, _ = fake_tiles.picture((130, 190))
    steps = segment_tiled_steps(image, RECIPE, tmp_path, name="discs", kinds=("geojson",))
    for report in steps:
        if report.step is not None and report.step[:2] == ("tiles", 2):
            break
    steps.close()
    assert not (tmp_path / "discs.zarr").exists()
    reports: list[Report] = []
    outcome = segment_tiled(
        image, RECIPE, tmp_path, name="discs", on_progress=lambda one: reports.append(one)
    )
    assert outcome.status == "done"
    assert any("goes on: 2 of 6 tiles are there" in report.note for report in reports)
