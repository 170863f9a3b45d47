"""The panel's image and recipe as code: for Python, and for a shell."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pprint import pformat
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from napari_graysam._napari.canvas.region import read_region
from napari_graysam._napari.canvas.source import read_source
from napari_graysam.errors import ImageError, RecipeError
from napari_graysam.recipe import Explicit, Recipe, presets

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.region import LayerRegion
    from napari_graysam._napari.canvas.source import Source
    from napari_graysam._napari.panel.state import PanelState

OUT = "results"
"""Folder that the command line names."""


class Copied(NamedTuple):
    """The panel's image and recipe as they were when a snippet was asked for.

    ``source`` is None where no image can be read, ``path`` where the image comes from no file;
    ``data`` is code for the layer's pixels, for napari's console; ``unsaved`` is the name of a
    layer without a file.
    """

    recipe: Recipe
    source: Source | None
    region: LayerRegion | None
    path: str | None
    data: str
    unsaved: str = ""

    @classmethod
    def of(cls, state: PanelState) -> Self:
        """Read what a snippet needs of the panel; the rest needs no viewer."""
        source = _source(state)
        region = None if source is None else read_region(state.region, source)
        name = "image" if state.layer is None else state.layer.name
        level = "[0]" if state.layer is not None and state.layer.multiscale else ""
        data = f"viewer.layers[{name!r}].data{level}"
        path = _path(state)
        unsaved = name if path is None and state.layer is not None else ""
        return cls(state.recipe, source, region, path, data, unsaved)

    def with_image(self, *, axes: bool) -> Recipe:
        """Return the recipe with the image's options and the region as polygons.

        Parameters
        ----------
        axes
            Whether to name the axes as the layer has them; a file knows its own.
        """
        if self.source is None:
            return self.recipe
        options = self.source.options
        if not axes:
            options = options.replace(axes=self.recipe.image.axes)
        if self.region is not None:
            options = options.replace(region=self.region.polygons())
        return self.recipe.replace(image=options)


def python_code(copied: Copied) -> str:
    """Return code that segments the panel's image with its recipe, within its region.

    It reads the layer's file; where the layer comes from none, it takes the layer from the
    viewer and is meant for napari's console. It names the preset, and writes only what differs.

    Raises
    ------
    ImageError
        If the region holds no pixel of the image.
    """
    path, limits = copied.path, ""
    recipe = copied.with_image(axes=path is None)
    if copied.source is not None and recipe.image.window.kind == "limits":
        limits = f", contrast_limits={copied.source.contrast_limits}"
    if path is not None:
        names = "Recipe, read_image, segment"
        image = f"image = read_image({path!r}, recipe.image{limits})"
        limits = ""
    else:
        names = "Recipe, segment"
        image = f"image = {copied.data}"
    return (
        f"from napari_graysam import {names}\n\n"
        f"recipe = {_recipe_code(recipe)}\n"
        f"{image}\n"
        f"result = segment(image, recipe{limits})\n"
    )


def command_line(copied: Copied) -> str:
    """Return a command that segments the layer's file with the panel's recipe and region.

    It names the preset, and writes only what differs from that.

    Raises
    ------
    ImageError
        If the region holds no pixel of the image.
    """
    recipe, source = copied.with_image(axes=False), copied.source
    if recipe.image.window.kind == "limits" and source is not None and source.contrast_limits:
        low, high = source.contrast_limits
        recipe = recipe.replace(image=recipe.image.replace(window=Explicit(low=low, high=high)))
    base = _Base.of(recipe)
    words = ["graysam", "segment", copied.path or "image.tif"]
    if base.preset:
        words += ["--recipe", base.preset]
    if base.model:
        words += ["--model", base.model]
    for key, value in base.changes.items():
        words += ["--set", f"{key}={_flat(key, value)}"]
    words += ["--out", OUT]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


class _Base(NamedTuple):
    """A recipe as what it is made from: empty names stand for the defaults."""

    preset: str
    model: str
    changes: dict[str, Any]

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        usual, model = Recipe.preset().name, recipe.model.name
        name = recipe.name if recipe.name in presets() else usual
        plain, default = (one.to_dict(full=True) for one in (recipe, Recipe.preset(name, model)))
        own_model = model == Recipe.preset(name).model.name
        changes = dict(_differences(default, plain))
        return cls("" if name == usual else name, "" if own_model else model, changes)


def _recipe_code(recipe: Recipe) -> str:
    base = _Base.of(recipe)
    names = [repr(base.preset)] if base.preset else []
    names += [f"model={base.model!r}"] if base.model else []
    code = f"Recipe.preset({', '.join(names)})"
    if not base.changes:
        return code
    lines = []
    for key, value in base.changes.items():
        written = _flat(key, value) if isinstance(value, str) else value
        text = pformat(written, sort_dicts=False, width=88).replace("\n", "\n        ")
        lines.append(f"        {key!r}: {text},\n")
    return f"{code}.with_values(\n    {{\n{''.join(lines)}    }}\n)"


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
