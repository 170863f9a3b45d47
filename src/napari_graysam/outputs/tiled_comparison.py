"""What the comparison of both arms of an image in tiles leaves, beside the results of each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path, write_text
from napari_graysam.comparison import (
    Comparison,
    Scores,
    comparison_csv,
    comparison_json,
)
from napari_graysam.comparison.coarse import coarse_figure
from napari_graysam.masks import ARMS, Arm
from napari_graysam.outputs.kinds import COMPARISON
from napari_graysam.recipe import Recipe
from napari_graysam.source.pyramid import Pyramid
from napari_graysam.source.window import apply_window, finite_mask


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
    levels = [
        {arm: labels[arm].plane(level=level) for arm in ARMS}
        for level in range(len(labels["raw"].levels))
    ]
    figure = coarse_figure(comparison, levels, partial(_view, gray), title=name, scores=scores)
    with atomic_path(paths["png"]) as temporary:
        figure.savefig(temporary)
    write_text(paths["json"], comparison_json(comparison, scores, **about))
    return paths


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
