"""The picture of a comparison of images of several levels: drawn from a coarse one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.arms import Comparison
from napari_graysam.comparison.metrics import Scores
from napari_graysam.comparison.painted import ChangePainter
from napari_graysam.comparison.report import comparison_figure
from napari_graysam.masks import ARMS, Arm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 2048
"""Longest side of what is drawn, in pixels of its level."""


def coarse_figure(
    comparison: Comparison,
    levels: Sequence[Mapping[Arm, Any]],
    view: Callable[[tuple[int, int]], NDArray[np.uint8]],
    *,
    title: str = "",
    scores: Mapping[Arm, Scores] | None = None,
    names: Mapping[Arm, str] | None = None,
) -> Figure:
    """Draw both arms and their difference from a level of at most `LARGEST` pixels a side.

    Parameters
    ----------
    comparison
        Of `compare_sums`.
    levels
        From fine to coarse: each arm's label image (H, W), of which some rows and columns are
        read.
    view
        Called with rows and columns; returns the image of that size, uint8.
    title, scores, names
        As of `comparison_figure`.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.comparison.blocks import compare_sums, sum_blocks
    >>> from napari_graysam.progress import run
    >>> labels = np.repeat([[1, 0, 2]], 3, axis=0)
    >>> comparison = compare_sums(run(sum_blocks(labels, labels)))
    >>> arms = {"raw": labels, "preprocessed": labels}
    >>> figure = coarse_figure(comparison, [arms], lambda shape: np.zeros(shape, np.uint8))
    >>> len(figure.axes)
    3
    """
    sides = [max(one["raw"].shape) for one in levels]
    level = next((n for n, side in enumerate(sides) if side <= LARGEST), len(sides) - 1)
    step = max(1, -(-sides[level] // LARGEST))
    small = {arm: thinned(levels[level][arm], step) for arm in ARMS}
    painter = ChangePainter(comparison.events, comparison.objects)
    rows, columns = small["raw"].shape
    return comparison_figure(
        replace(comparison, difference=painter.paint(small["raw"], small["preprocessed"])),
        small,
        dict.fromkeys(ARMS, view((rows, columns))),
        title=title,
        scores=scores,
        names=names,
    )


def thinned(plane: Any, step: int) -> NDArray[Any]:
    """Read every so manyth row and column of an array, (H, W)."""
    rows, columns = plane.shape
    return np.asarray(plane[slice(0, rows, step), slice(0, columns, step)])
