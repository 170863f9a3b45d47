"""What the comparison of both arms of an image in tiles leaves, beside the results of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path, write_text
from napari_graysam.comparison import (
    Comparison,
    Scores,
    comparison_csv,
    comparison_figure,
    comparison_json,
)
from napari_graysam.comparison.painted import changed_pixels
from napari_graysam.masks import ARMS, Arm
from napari_graysam.outputs.kinds import COMPARISON
from napari_graysam.recipe import Recipe
from napari_graysam.source.plane import Plane
from napari_graysam.source.pyramid import Pyramid
from napari_graysam.source.window import apply_window, finite_mask

LARGEST = 2048
"""Longest side of the picture's level, in pixels."""


def tiled_comparison_files(folder: Path, name: str) -> dict[str, Path]:
    """Return the paths of a comparison by kind, those of an image in one piece."""
    return {kind: folder / f"{name}.comparison.{kind}" for kind in COMPARISON}


def write_tiled_comparison(
    comparison: Comparison,
    folder: Path,
    name: str,
    labels: Mapping[Arm, Pyramid],
    gray: tuple[Pyramid, Recipe, float, float],
    about: Mapping[str, Any],
    scores: Mapping[Arm, Scores] | None = None,
) -> dict[str, Path]:
    """Write the comparison of both arms of an image in tiles.

    Parameters
    ----------
    comparison
        Of `compare_sums`.
    folder, name
        The files are ``NAME.comparison.csv`` (objects), ``.png`` (a coarse level) and ``.json``.
    labels
        The label image of each arm.
    gray
        The image, its recipe, and the ends of its window.
    about
        Goes into the JSON, with its ``digest``.
    scores
        Each arm's scores against a ground truth.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    paths = tiled_comparison_files(folder, name)
    paths["json"].unlink(missing_ok=True)
    write_text(paths["csv"], comparison_csv(comparison))
    level, step = _level(labels["raw"])
    small = {arm: _thinned(labels[arm].plane(level=level), step) for arm in ARMS}
    changes = changed_pixels(comparison.events, comparison.objects, "area", *small.values())
    view = _view(gray, small["raw"].shape)
    figure = comparison_figure(
        replace(comparison, difference=changes),
        small,
        dict.fromkeys(ARMS, view),
        title=name,
        scores=scores,
    )
    with atomic_path(paths["png"]) as temporary:
        figure.savefig(temporary)
    write_text(paths["json"], comparison_json(comparison, scores, **about))
    return paths


def _level(pyramid: Pyramid) -> tuple[int, int]:
    """Return the finest level that is small enough, or else the last, and every which pixel."""
    longest = [max(pyramid.plane(level=n).shape) for n in range(len(pyramid.levels))]
    level = next((n for n, side in enumerate(longest) if side <= LARGEST), len(longest) - 1)
    return level, max(1, -(-longest[level] // LARGEST))


def _thinned(plane: Plane, step: int) -> NDArray[Any]:
    rows, columns = plane.shape
    return plane[slice(0, rows, step), slice(0, columns, step)]


def _view(gray: tuple[Pyramid, Recipe, float, float], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the image in its window, (H, W) of the labels' level."""
    pyramid, recipe, low, high = gray
    planes = [
        pyramid.plane(recipe.image, level)
        for level in range(recipe.tiles.level, len(pyramid.levels))
    ]
    # Of levels that are as large as the labels' or larger, the smallest.
    plane = [one for one in planes if all(a >= b for a, b in zip(one.shape, shape, strict=True))][
        -1
    ]
    steps = [a // b for a, b in zip(plane.shape, shape, strict=True)]
    rows, columns = (slice(0, step * side, step) for step, side in zip(steps, shape, strict=True))
    raw = plane[rows, columns]
    pixels = apply_window(raw, finite_mask(raw), low, high).pixels
    return np.round(pixels * 255).astype(np.uint8)
