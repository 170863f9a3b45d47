"""What a finished run in tiles keeps: asked for, saved elsewhere and taken over by another run."""

from __future__ import annotations

import errno
from collections.abc import Generator
from pathlib import Path

import fake_tiles
import numpy as np
import pytest

from napari_graysam.atomic import writing
from napari_graysam.batch import SegmentJob, segment_tiled, segment_tiled_steps, tiled_steps
from napari_graysam.errors import DiskFullError, OutputError
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe
from napari_graysam.tiles.export import export_tiled
from napari_graysam.tiles.folder import TileFolder
from napari_graysam.tiles.kept import KeptObjects
from napari_graysam.tiles.pieces import Pieces

IMAGE = fake_tiles.picture((150, 210))[0]
RECIPE = Recipe.preset("raw").with_values(
    {"tiles.use": "always", "tiles.size": 96, "tiles.halo": 24, "generator.points_per_side": 12}
)
SMALLER = RECIPE.with_values({"labels.max_area": 200})


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tiles.install(monkeypatch)


def stopped(steps: Generator, stage: str) -> None:
    """Cancel a run in a stage, after its first tile."""
    for report in steps:
        if report.step is not None and report.step.stage == stage and report.step.done > 0:
            steps.close()
            return
    raise AssertionError(f"there is no stage {stage}")


def test_objects_of_a_run_that_was_stopped_while_measuring_are_not_taken_for_the_old_ones(
    tmp_path: Path,
) -> None:
    outcome = segment_tiled(IMAGE, RECIPE, tmp_path, name="discs")
    folder = tmp_path / "discs.tiles"
    assert len(KeptObjects.of(folder).index) == outcome.objects > 0
    stopped(segment_tiled_steps(IMAGE, SMALLER, tmp_path, name="discs", overwrite=True), "measure")
    with pytest.raises(OutputError, match="segment it again"):
        KeptObjects.of(folder)
    segment_tiled(IMAGE, RECIPE, tmp_path, name="discs", overwrite=True)
    assert len(KeptObjects.of(folder).index) == outcome.objects


def test_tiles_can_be_taken_over_again_after_it_was_broken_off(tmp_path: Path) -> None:
    segment_tiled(IMAGE, RECIPE, tmp_path, name="discs")
    first, second = TileFolder(tmp_path / "discs.tiles"), TileFolder(tmp_path / "other.tiles")
    second.take_from(first)
    (second.path / "plan.json").unlink()
    second.take_from(first)
    assert second.plan() == first.plan()
    places = [one.path / "found" for one in (first, second)]
    names = [sorted(path.name for path in place.iterdir()) for place in places]
    assert names[0] == names[1] != []


def test_results_that_cannot_be_saved_elsewhere_say_why(tmp_path: Path) -> None:
    segment_tiled(IMAGE, RECIPE, tmp_path, name="discs")
    inside = tmp_path / "discs.zarr" / "labels" / "copy.zarr"
    with pytest.raises(OutputError, match="choose another folder"):
        export_tiled(tmp_path, "discs", "labels", inside)
    assert not inside.exists()
    (tmp_path / "discs.provenance.json").write_text("{")
    with pytest.raises(OutputError, match=r"discs\.provenance\.json"):
        export_tiled(tmp_path, "discs", "geojson", tmp_path / "discs.geojson")
    assert not (tmp_path / "discs.geojson").exists()


def test_a_full_disk_ends_a_run_of_several_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(self: Pieces, path: Path) -> None:
        with writing(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Pieces, "save", full)
    paths = [tmp_path / f"{name}.npy" for name in "ab"]
    for path in paths:
        np.save(path, IMAGE)
    with pytest.raises(DiskFullError, match=r"a\.tiles"):
        run(tiled_steps(paths, SegmentJob(RECIPE, tmp_path / "out")))
    assert not (tmp_path / "out" / "b.tiles").exists()
