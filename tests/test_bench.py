"""Measuring our generator against upstream's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_graysam.bench import bench_steps, measurable
from napari_graysam.cli.program import app
from napari_graysam.errors import GraysamError
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_arithmetics_give_upstreams_masks(tmp_path: Path) -> None:
    import cv2

    image = np.full((96, 96), 30, np.uint8)
    for x, y in ((25, 25), (70, 30), (45, 70)):
        cv2.circle(image, (x, y), 14, 200, -1)
    path = tmp_path / "discs.png"
    cv2.imwrite(str(path), image)
    command = ["bench", str(path), "--set", "generator.points_per_side=6", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout)["measured"]
    assert [one["way"] for one in measured] == ["upstream", "exact", "fast"]
    for one in measured:
        assert one["same"] == one["masks"] == measured[0]["masks"] >= 3
        assert one["seconds"] > 0
        assert one["bytes"] > 0


@pytest.mark.slow
def test_what_went_wrong_is_told() -> None:
    recipe = Recipe().with_values({"model.checkpoint": "missing.pt"})
    view = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(GraysamError, match=r"exact failed.*missing\.pt"):
        run(bench_steps(view, recipe, ["exact"]))


def test_upstream_is_left_out_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measurable() == ("upstream", "exact", "fast")
    monkeypatch.setattr("napari_graysam.bench.find_spec", lambda _: None)
    assert measurable() == ("exact", "fast")
