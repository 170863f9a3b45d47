"""The examples of the README and the documentation run as they are printed; the site builds."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from examples import commands, python
from PIL import Image
from zarr_stores import write_image

from napari_graysam.doctor import diagnose
from napari_graysam.model.catalog import CATALOG
from napari_graysam.samples import samples

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def title(page):
    return str(page.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Change to a folder with the files that the examples name."""
    nuclei, stack, film = (
        samples()[n] for n in ("nuclei_uneven", "nuclei_stack", "dividing_cells")
    )
    tifffile.imwrite(tmp_path / "cells.tif", nuclei.load()[:160, :160])
    tifffile.imwrite(tmp_path / "truth.tif", nuclei.truth()[:160, :160])
    for name in ("images", "truth"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", nuclei.load()[:96, :96])
    for name, sample in (("stack", stack), ("film", film)):
        axes = {"axes": sample.axis.upper() + "YX"}
        planes = sample.load()[4:7, :96, :96]
        tifffile.imwrite(tmp_path / f"{name}.tif", planes, imagej=True, metadata=axes)
        labels = sample.truth()[4:7, :96, :96].astype(np.uint16)
        tifffile.imwrite(
            tmp_path / "truth" / f"{name}.labels.tif", labels, photometric="minisblack"
        )
    shutil.copy(tmp_path / "truth" / "stack.labels.tif", tmp_path / "truth.labels.tif")
    write_image(tmp_path / "image.zarr", nuclei.load()[:160, :160], levels=2)
    zarr.save_array(tmp_path / "slide.zarr", nuclei.load()[:160, :160])
    brick = samples()["brick"].load()[:128, :128]
    Image.fromarray(brick).save(tmp_path / "brick.png")
    (tmp_path / "clicks.yaml").write_text("objects: [[60, 20], [20, 60]]\nnothing: [[1, 1]]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_has_examples():
    assert len(python(ROOT / "README.md")) >= 2
    assert len(commands(ROOT / "README.md")) >= 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page) or python(page)], ids=title
)
def test_examples_run_in_order(page, folder):
    """Commands first, whose files the Python code may read."""
    from typer.testing import CliRunner

    from napari_graysam.cli import app

    for command in commands(page):
        arguments = shlex.split(command, comments=True)[1:]
        result = CliRunner().invoke(app, arguments, env=dict(os.environ))
        assert result.exit_code == 0, f"{command}\n{result.output}"
    names = {"__name__": "example"}
    for code in python(page):
        exec(compile(code, str(page), "exec"), names)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    """Links, anchors and the pages that are made from the program, too."""
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    parameters = (tmp_path / "site" / "parameters.html").read_text(encoding="utf-8")
    assert "generator.points_per_side" in parameters
    assert "<!-- parameters" not in parameters
    assert "read_image" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    contributing = (tmp_path / "site" / "contributing.html").read_text(encoding="utf-8")
    assert "import-linter" in contributing
    assert "graysam compare cells.tif" in contributing


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_pictures_of_a_page_are_there(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        assert (page.parent / target).is_file(), target


@pytest.mark.slow
def test_the_page_on_troubleshooting_has_every_line_of_the_doctor():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    official = {entry.name for entry in CATALOG}
    names = {check.name for check in diagnose()} - official
    assert len(names) >= 10
    assert not [name for name in names if f"| `{name}` |" not in page]
