"""The panel's image and recipe as code: for Python, and for a shell."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pprint import pformat
from typing import TYPE_CHECKING, Any

from napari_graysam._napari.canvas.source import read_source
from napari_graysam.errors import ImageError, RecipeError
from napari_graysam.recipe import Explicit, Recipe

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.panel.state import PanelState

OUT = "results"
"""Folder that the command line names."""


def python_code(state: PanelState) -> str:
    """Return code that segments the panel's image with its recipe.

    It reads the layer's file; where the layer comes from none, it takes the layer from the
    viewer and is meant for napari's console. Only what differs from the defaults is written.
    """
    source = _source(state)
    path = _path(state)
    recipe, limits = state.recipe, ""
    if source is not None:
        given = source.options if path is None else _without_axes(source, recipe)
        recipe = recipe.replace(image=given)
        if recipe.image.window.kind == "limits":
            limits = f", contrast_limits={source.contrast_limits}"
    dictionary = pformat(recipe.to_dict(), sort_dicts=False, width=88)
    if path is not None:
        names = "Recipe, read_image, segment"
        image = f"image = read_image({path!r}, recipe.image{limits})"
        limits = ""
    else:
        names = "Recipe, segment"
        name = "image" if state.layer is None else state.layer.name
        level = "[0]" if state.layer is not None and state.layer.multiscale else ""
        image = f"image = viewer.layers[{name!r}].data{level}"
    return (
        f"from napari_graysam import {names}\n\n"
        f"recipe = Recipe.from_dict(\n    {dictionary.replace(chr(10), chr(10) + '    ')}\n)\n"
        f"{image}\n"
        f"result = segment(image, recipe{limits})\n"
    )


def command_line(state: PanelState) -> str:
    """Return a command that segments the layer's file with the panel's recipe.

    Only what differs from the command's default recipe is written.
    """
    recipe, source = state.recipe, _source(state)
    if source is not None:
        image = _without_axes(source, recipe)
        if image.window.kind == "limits" and source.contrast_limits is not None:
            low, high = source.contrast_limits
            image = image.replace(window=Explicit(low=low, high=high))
        recipe = recipe.replace(image=image)
    plain, default = recipe.to_dict(full=True), Recipe.preset().to_dict(full=True)
    words = ["graysam", "segment", _path(state) or "image.tif"]
    for key, value in _differences(default, plain):
        words += ["--set", f"{key}={_flat(key, value)}"]
    words += ["--out", OUT]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _without_axes(source: Source, recipe: Recipe) -> Any:
    """Return the options for a file, which knows its axes itself."""
    return source.options.replace(axes=recipe.image.axes)


def _differences(before: Any, after: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in after.items():
        old = before[name]
        nested = isinstance(old, dict) and isinstance(value, dict)
        if nested and old.get("kind") == value.get("kind"):
            yield from _differences(old, value, f"{prefix}{name}.")
        elif value != old:
            yield f"{prefix}{name}", value


def _flat(key: str, value: Any) -> str:
    """Write a value on one line as ``--set`` reads it: texts plainly where that is enough."""
    quoted = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return quoted
    try:
        read: Any = Recipe.preset().with_values({key: value})
    except RecipeError:
        return quoted
    for name in key.split("."):
        read = getattr(read, name)
    return value if read == value else quoted


def _source(state: PanelState) -> Source | None:
    try:
        return read_source(state.viewer, state.layer, state.recipe.image)
    except ImageError:
        return None


def _path(state: PanelState) -> str | None:
    path = None if state.layer is None else state.layer.source.path
    return path if path and os.path.isfile(path) else None
