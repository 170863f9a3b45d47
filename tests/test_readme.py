"""The README's examples run as they are printed."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
import tifffile

from napari_graysam.samples import samples

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
COMMANDS = [
    line
    for kind, text in BLOCKS
    if kind == "sh"
    for line in text.replace("\\\n", " ").splitlines()
    if line.startswith("graysam ")
]
NEEDS_NETWORK = ("models download",)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Change to a folder with the files that the examples name."""
    sample = samples()["nuclei_uneven"]
    tifffile.imwrite(tmp_path / "cells.tif", sample.load()[:200, :200])
    tifffile.imwrite(tmp_path / "truth.tif", sample.truth()[:200, :200])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_has_examples():
    assert len(PYTHON) >= 2
    assert len(COMMANDS) >= 6


@pytest.mark.slow
@pytest.mark.parametrize("code", PYTHON)
def test_python_example(code, folder):
    exec(compile(code, str(README), "exec"), {"__name__": "example"})


@pytest.mark.slow
def test_commands_in_order(folder):
    from typer.testing import CliRunner

    from napari_graysam.cli import app

    for command in COMMANDS:
        if any(words in command for words in NEEDS_NETWORK):
            continue
        arguments = shlex.split(command, comments=True)[1:]
        result = CliRunner().invoke(app, arguments, env=dict(os.environ))
        assert result.exit_code == 0, f"{command}\n{result.output}"
