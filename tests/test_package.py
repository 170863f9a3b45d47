"""The public surface, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import napari_graysam

HEAVY = ("torch", "sam2", "napari", "qtpy", "cv2", "skimage", "pandas", "matplotlib", "dask")


def modules_after(code: str) -> set[str]:
    """Return the top-level modules of a fresh interpreter after some code."""
    command = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(result.stdout.splitlines()[-1])}


def test_the_package_imports_nothing_heavy():
    assert modules_after("import napari_graysam").isdisjoint({*HEAVY, "numpy", "pydantic"})


def test_the_command_line_starts_without_the_model():
    loaded = modules_after("from napari_graysam.cli import app")
    assert loaded.isdisjoint({"torch", "sam2", "napari", "pandas", "matplotlib", "dask"})


@pytest.mark.parametrize("name", napari_graysam.__all__)
def test_public_names_are_what_their_modules_say(name):
    value = getattr(napari_graysam, name)
    assert callable(value)
    assert value.__module__.startswith("napari_graysam.")


def test_no_public_name_is_hidden_by_a_submodule():
    names = ", ".join(napari_graysam.__all__)
    code = (
        "import napari_graysam.outputs, napari_graysam.batch, napari_graysam.samples\n"
        f"from napari_graysam import {names}\n"
        f"import types\nassert not any(isinstance(x, types.ModuleType) for x in ({names}))"
    )
    modules_after(code)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="segmentt"):
        _ = napari_graysam.segmentt
