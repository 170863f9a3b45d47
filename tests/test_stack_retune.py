"""A stack is selected again from the candidates that its run has kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_graysam.batch import CachedPlanes, SegmentJob, candidates_folder, stack_steps
from napari_graysam.cli import app
from napari_graysam.errors import ProposalsError
from napari_graysam.progress import Progress, run
from napari_graysam.propose.cache import Cache
from napari_graysam.recipe import Recipe
from napari_graysam.source.stack import Stack

SETTINGS = {
    "stack.axis": "z",
    "stack.link": "overlap",
    "generator.points_per_side": 6,
    "generator.pred_iou_thresh": 0.965,
    "generator.stability_score_thresh": 0.6,
}
RECIPE = Recipe.preset("raw").with_values(SETTINGS)
LOOSER = RECIPE.with_values({"generator.pred_iou_thresh": 0.6})


def blobs() -> np.ndarray:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:80, :96]
    stack = np.full((3, 80, 96), 30.0)
    for row, column, radius in ((20, 20, 11), (50, 30, 8), (30, 70, 13), (62, 72, 9)):
        stack[:, (y - row) ** 2 + (x - column) ** 2 < radius**2] = 120 + radius
    return (stack + rng.normal(0, 6, stack.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack that was segmented into ``out`` beside it, and anew with looser thresholds."""
    path = tmp_path_factory.mktemp("stack") / "cells.tif"
    tifffile.imwrite(path, blobs(), ome=True, metadata={"axes": "ZYX"})
    for out, recipe in (("out", RECIPE), ("fresh", LOOSER)):
        (outcome,) = run(stack_steps([path], SegmentJob(recipe, path.parent / out)))
        assert outcome.status == "done"
    return path


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Iterator[Any]:
        yield Progress("load", 0, 1)
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("napari_graysam.model.load_steps", refuse)
    monkeypatch.setattr("napari_graysam.batch.attempt.load_steps", refuse)


def settings(recipe: dict[str, Any]) -> list[str]:
    return [part for path, value in recipe.items() for part in ("--set", f"{path}={value}")]


def test_another_threshold_needs_no_model(file: Path, no_model: None) -> None:
    changed = {**SETTINGS, "generator.pred_iou_thresh": 0.6}
    before = tifffile.imread(file.parent / "out" / "cells.labels.tif")
    command = ["segment", str(file), "--out", str(file.parent / "out"), *settings(changed)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    after, fresh = (
        tifffile.imread(file.parent / out / "cells.labels.tif") for out in ("out", "fresh")
    )
    np.testing.assert_array_equal(after, fresh)
    assert (before != after).any()


def test_kept_planes_are_those_of_a_run(file: Path, no_model: None) -> None:
    cache = Cache(budget=0, folder=candidates_folder(file.parent / "out", "cells"))
    kept = CachedPlanes(Stack(file, RECIPE), cache)
    for recipe in (RECIPE, LOOSER, RECIPE):
        for position, found in kept.planes(recipe, [2, 0, 1]):
            fresh = CachedPlanes(Stack(file, recipe), cache).plane(position, recipe)
            np.testing.assert_array_equal(found.labels, fresh.labels)
            assert found.fingerprint == fresh.fingerprint
    for position, found in kept.planes(LOOSER):
        name = f"z000{position}.labels.tif"
        written = tifffile.imread(file.parent / "fresh" / "cells.planes" / name)
        np.testing.assert_array_equal(found.labels, written)


@pytest.mark.parametrize(
    "values",
    [
        {"generator.points_per_side": 7},
        {"generator.pred_iou_thresh": 0.1},
        {"preprocess": [{"kind": "invert"}]},
        {"refine": True},
    ],
)
def test_what_needs_the_model_is_refused(file: Path, no_model: None, values: dict) -> None:
    cache = Cache(budget=0, folder=candidates_folder(file.parent / "fresh", "cells"))
    kept = CachedPlanes(Stack(file, RECIPE), cache)
    with pytest.raises(ProposalsError, match="z0001"):
        kept.plane(1, RECIPE.with_values(values))


def test_a_stack_keeps_nothing_where_there_is_no_room_for_it(tmp_path: Path) -> None:
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, blobs()[:2], ome=True, metadata={"axes": "ZYX"})
    (outcome,) = run(stack_steps([path], SegmentJob(RECIPE, tmp_path / "out", cache_size=0)))
    assert (outcome.status, outcome.notes) == ("done", ())
    assert not candidates_folder(tmp_path / "out", "cells").exists()
