"""Pictures of a search: score against each parameter, and results of several recipes at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.masks.overlay import overlay_rgb
from napari_graysam.tune.grid import SUPPRESSION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_graysam.tune.tuner import Tuning

_TILE = 360
_BAND = 22


def draw_scores(figure: Figure, tuning: Tuning) -> None:
    """Draw for each parameter the best and the mean score that each of its values gives.

    Parameters
    ----------
    figure
        Cleared first.
    tuning
        What was found. The recipe's own value is marked, and the chosen one.
    """
    figure.clear()
    grid, means = tuning.grid, tuning.scores.mean(1)
    shape = [len(values) for values in grid.values()]
    table = means.reshape(shape)
    own, chosen = tuning.values[tuning.own], tuning.values[tuning.choice.index]
    importances = tuning.importances
    axes = np.atleast_1d(figure.subplots(1, len(grid), sharey=True))
    for place, (axis, (name, values)) in enumerate(zip(axes, grid.items(), strict=True)):
        others = tuple(index for index in range(len(shape)) if index != place)
        at = np.arange(len(values))
        axis.plot(at, np.nanmax(table, axis=others), "o-", color="#0072B2", label="best")
        axis.plot(at, np.nanmean(table, axis=others), "o--", color="#999999", label="mean")
        axis.axvline(values.index(own[place]), color="#E69F00", lw=2, label="own")
        axis.axvline(values.index(chosen[place]), color="#009E73", lw=2, ls=":", label="chosen")
        axis.set_xticks(at, [_text(name, value) for value in values], rotation=90, fontsize=7)
        axis.set_title(f"{name.rpartition('.')[2]}\n{importances[name]:.0%} of variance", size=8)
    axes[0].set_ylabel(f"{tuning.metric}, mean of {tuning.scores.shape[1]} images")
    axes[-1].legend(fontsize=7)


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
