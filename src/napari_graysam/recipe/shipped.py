"""The presets that come with the program, as texts."""

from __future__ import annotations

from functools import cache
from typing import Any

from napari_graysam.documents import load_yaml


def preset_texts() -> dict[str, str]:
    """Return the YAML of every preset, by their names in alphabetical order."""
    from importlib.resources import files

    folder = files("napari_graysam") / "presets"
    found = {
        file.name.removesuffix(".yaml"): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    }
    return dict(sorted(found.items()))


@cache
def preset_data(text: str, source: str) -> Any:
    """Parse a preset once in the process: a panel asks for it with every change."""
    return load_yaml(text, source)
