"""Pictures of a search: score against each parameter, and results of several recipes at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.masks.overlay import overlay_rgb
from napari_graysam.tune.grid import SUPPRESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_graysam.tune.tuner import Tuning

_TILE = 360
_BAND = 22


class PlotColors(NamedTuple):
    """Of a figure: its text and its background."""

    text: str = "black"
    background: str = "white"


def draw_scores(
    figure: Figure,
    tuning: Tuning,
    *,
    columns: int | None = None,
    score_name: str | None = None,
    colors: PlotColors | None = None,
) -> None:
    """Draw for each parameter the best and the mean score that each of its values gives.

    Parameters
    ----------
    figure
        Cleared first.
    tuning
        What was found. The recipe's own value is marked, and the chosen one. Of a search that was
        stopped, values that were not tried are left out.
    columns
        Plots beside each other; all if omitted.
    score_name
        What the scores are called; the metric and the number of images if omitted.
    colors
        Of text and background; black on white if omitted.
    """
    colors = PlotColors() if colors is None else colors
    figure.clear()
    figure.set_facecolor(colors.background)
    grid = tuning.grid
    table = tuning.scores.mean(1).reshape([len(values) for values in grid.values()])
    own, chosen = tuning.values[tuning.own], tuning.values[tuning.choice.index]
    importances = tuning.importances
    columns = len(grid) if columns is None else min(columns, len(grid))
    rows = -(-len(grid) // columns)
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for place, (name, values) in enumerate(grid.items()):
        axis, each = axes[place], np.moveaxis(table, place, 0).reshape(len(values), -1)
        at = np.flatnonzero(np.isfinite(each).any(axis=1))
        axis.plot(at, np.nanmax(each[at], axis=1), "o-", color="#0072B2", label="best")
        axis.plot(at, np.nanmean(each[at], axis=1), "o--", color="#999999", label="mean")
        axis.axvline(values.index(own[place]), color="#E69F00", lw=2, label="own")
        axis.axvline(values.index(chosen[place]), color="#009E73", lw=2, ls=":", label="chosen")
        marks = [_text(name, value) for value in values]
        axis.set_xticks(np.arange(len(values)), marks, rotation=90, fontsize=7)
        title = name.rpartition(".")[2]
        if np.isfinite(table).all():
            title += f"\n{importances[name]:.0%} of variance"
        axis.set_title(title, size=8)
        _color(axis, colors)
    for axis in axes[len(grid) :]:
        axis.set_axis_off()
    score_name = score_name or f"{tuning.metric}, mean of {tuning.scores.shape[1]} images"
    for axis in axes[::columns]:
        axis.set_ylabel(score_name, color=colors.text)
    lines, names = axes[0].get_legend_handles_labels()
    legend = axes[-1].legend(
        lines, names, fontsize=7, facecolor=colors.background, labelcolor=colors.text
    )
    legend.set_loc("center" if len(axes) > len(grid) else "best")


def _color(axis: Axes, colors: PlotColors) -> None:
    axis.set_facecolor(colors.background)
    axis.title.set_color(colors.text)
    axis.tick_params(colors=colors.text)
    axis.spines[:].set_color(colors.text)


def write_scores(path: str | os.PathLike[str], tuning: Tuning) -> None:
    """Write the plots of `draw_scores` as PNG.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(tuning.grid) + 1, 4), layout="constrained")
    FigureCanvasAgg(figure)
    draw_scores(figure, tuning)
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=130)


def contact_sheet(
    results: Sequence[tuple[str, NDArray[np.uint8], NDArray[np.integer]]],
) -> NDArray[np.uint8]:
    """Put the results of several recipes on one picture.

    Parameters
    ----------
    results
        Of each: caption, view uint8 (H, W, 3), labels (H, W).

    Returns
    -------
    uint8 (H', W', 3).
    """
    import cv2

    tiles = []
    for caption, view, labels in results:
        picture = overlay_rgb(view, labels)
        scale = _TILE / max(picture.shape[:2])
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else 0)
        tile = np.full((_TILE + _BAND, _TILE, 3), 255, np.uint8)
        tile[_BAND : _BAND + size[1], : size[0]] = small
        cv2.putText(
            tile, caption, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA
        )
        tiles.append(tile)
    columns = int(np.ceil(np.sqrt(len(tiles))))
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    sheet: NDArray[np.uint8] = np.vstack(rows)
    return sheet


def write_sheet(
    path: str | os.PathLike[str],
    results: Sequence[tuple[str, NDArray[np.uint8], NDArray[np.integer]]],
) -> None:
    """Write the picture of `contact_sheet` as PNG.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from PIL import Image

    with atomic_path(path) as part:
        Image.fromarray(contact_sheet(results)).save(Path(part), format="png")


def _text(name: str, value: Any) -> str:
    return f"{value[0]} {value[1]:g}" if name == SUPPRESSION else str(value)
