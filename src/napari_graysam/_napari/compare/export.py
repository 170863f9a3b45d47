"""The comparison as CSV, JSON and PNG files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam._napari.canvas.cells import is_copy
from napari_graysam._napari.canvas.source import read_source
from napari_graysam._napari.compare.compute import Outcome
from napari_graysam._napari.compare.pairing import source_of
from napari_graysam.comparison import ARMS, Arm
from napari_graysam.errors import GraysamError
from napari_graysam.recipe import ImageOptions

if TYPE_CHECKING:
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
    view: Callable[[], NDArray[np.uint8]],
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
        Returns the image behind a picture's outlines, uint8 (H, W).
    called
        What the arms are called in a picture.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from napari_graysam.atomic import atomic_path
    from napari_graysam.comparison import comparison_csv, comparison_figure, comparison_json

    names = {arm: layers[arm].name for arm in ARMS}
    with atomic_path(path) as temporary:
        if kind == "png":
            views = dict.fromkeys(ARMS, view())
            title = " vs ".join(names.values())
            arms = all(called[arm] == arm for arm in ARMS)
            figure = comparison_figure(
                outcome.comparison,
                outcome.labels,
                views,
                title=title,
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


def backdrop(viewer: Viewer, labels: Labels, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the image that a Labels layer lies on as uint8 (H, W); black if there is none."""
    from napari_graysam.source.gray import to_gray

    image = source_of(viewer.layers, labels)
    if image is not None and not is_copy(image):
        try:
            source = read_source(viewer, image, ImageOptions())
            pixels = to_gray(source.array, source.options).pixels
        except GraysamError:
            return np.zeros(shape, np.uint8)
        if pixels.shape == shape:
            return np.asarray(np.rint(pixels * 255), dtype=np.uint8)
    return np.zeros(shape, np.uint8)
