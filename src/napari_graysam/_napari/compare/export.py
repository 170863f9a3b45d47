"""The comparison as CSV, JSON and PNG files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.cells import is_copy
from napari_graysam._napari.canvas.part import thinned_source
from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.compare.compute import Outcome
from napari_graysam._napari.compare.pairing import source_of
from napari_graysam._napari.compare.whole_image import WholeOutcome
from napari_graysam.comparison import ARMS, Arm
from napari_graysam.errors import GraysamError
from napari_graysam.recipe import ImageOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from napari.layers import Labels
    from napari.viewer import Viewer

KINDS: dict[str, str] = {
    "csv": "Table of objects (CSV)",
    "json": "Counts, changes and scores (JSON)",
    "png": "Picture (PNG)",
}


def write(
    path: Path,
    kind: str,
    outcome: Outcome,
    layers: Mapping[Arm, Labels],
    view: Callable[[tuple[int, int]], NDArray[np.uint8]],
    called: Mapping[Arm, str],
) -> None:
    """Write a comparison whole or not at all.

    Parameters
    ----------
    path
        The file; replaced if it exists.
    kind
        One of `KINDS`.
    outcome
        What is written.
    layers
        The layers that were compared.
    view
        Called with rows and columns; returns the image behind a picture's outlines, uint8.
    called
        What the arms are called in a picture.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from napari_graysam.atomic import atomic_path
    from napari_graysam.comparison import comparison_csv, comparison_json

    names = {arm: layers[arm].name for arm in ARMS}
    with atomic_path(path) as temporary:
        if kind == "png":
            arms = all(called[arm] == arm for arm in ARMS)
            figure = _figure(outcome, view)(
                title=" vs ".join(names.values()),
                scores=outcome.scores,
                names=None if arms else called,
            )
            figure.savefig(temporary)
            return
        if kind == "csv":
            text = comparison_csv(outcome.comparison)
        else:
            compared = "label images" if outcome.masks is None else "masks"
            extra: dict[str, Any] = {"layers": names, "compared": compared}
            text = comparison_json(outcome.comparison, outcome.scores, **extra)
        temporary.write_text(text, encoding="utf-8")


def _figure(
    outcome: Outcome, view: Callable[[tuple[int, int]], NDArray[np.uint8]]
) -> Callable[..., Figure]:
    """Return what draws a comparison: whole, or from a coarse level."""
    from napari_graysam.comparison import comparison_figure
    from napari_graysam.comparison.coarse import coarse_figure

    comparison = outcome.comparison
    if isinstance(outcome, WholeOutcome):
        return partial(coarse_figure, comparison, outcome.levels.arms, view)
    height, width = comparison.difference.shape
    views = dict.fromkeys(ARMS, view((height, width)))
    return partial(comparison_figure, comparison, outcome.labels, views)


def backdrop(viewer: Viewer, labels: Labels, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the image that a Labels layer lies on as uint8, of rows and columns; else black.

    Of an image of several levels, a coarse one is read; its rows and columns are left out or
    repeated as the shape wants.
    """
    from napari_graysam.source.gray import to_gray

    nothing = np.zeros(shape, np.uint8)
    image = source_of(viewer.layers, labels)
    if image is None or is_copy(image):
        return nothing
    try:
        source = read_source(viewer, image, ImageOptions())
        fitted = thinned_source(source, image, shape)
        pixels = to_gray(fitted.array, fitted.options).pixels
    except GraysamError:
        return nothing
    if fitted is not source:
        at = [np.arange(n) * size // n for n, size in zip(shape, pixels.shape, strict=True)]
        pixels = pixels[np.ix_(*at)]
    return np.asarray(np.rint(pixels * 255), dtype=np.uint8) if pixels.shape == shape else nothing
