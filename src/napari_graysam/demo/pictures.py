"""The overview of the demo: a row for each sample, drawn with Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison import COLORS, Comparison
from napari_graysam.comparison.events import shared_labels
from napari_graysam.comparison.report import changes_rgb
from napari_graysam.masks import Arm
from napari_graysam.masks.overlay import outlines, overlay_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Picture = NDArray[np.uint8]
CELL = 420
"""Longer side in pixels of every picture in the overview."""
CELL_INCHES = 2.9


@dataclass(frozen=True)
class Row:
    """What the demo found on one sample.

    Attributes
    ----------
    sample, title, preset
        Which image, and which recipe.
    ap50_raw, ap50_preprocessed
        Average precision at IoU 0.5 of both arms; None without a ground truth.
    objects_true
        Objects of the ground truth; None without one.
    objects_raw, objects_preprocessed
        Objects of both arms.
    kept, changed, gained, lost, split, merged
        Changes from the raw to the preprocessed arm.
    seconds
        Time for both arms and the comparison.
    """

    sample: str
    title: str
    preset: str
    ap50_raw: float | None
    ap50_preprocessed: float | None
    objects_true: int | None
    objects_raw: int
    objects_preprocessed: int
    kept: int
    changed: int
    gained: int
    lost: int
    split: int
    merged: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Strip:
    """One row of the overview: its text and four small pictures."""

    row: Row
    pictures: tuple[Picture, Picture, Picture, Picture]


def strip_of(
    row: Row,
    changes: Comparison,
    views: Mapping[Arm, Picture],
    labels: Mapping[Arm, NDArray[Any]],
) -> Strip:
    """Draw the small pictures of a sample, or of a plane of it.

    Parameters
    ----------
    row
        What was found.
    changes
        What differs in the picture.
    views, labels
        What each arm's model saw, and its label image.
    """
    view = _small(views["raw"])
    found: dict[Arm, NDArray[Any]] = {
        "raw": _small(labels["raw"]),
        "preprocessed": _small(labels["preprocessed"]),
    }
    shared = shared_labels(changes, found)
    edges = outlines(shared["raw"]) | outlines(shared["preprocessed"])
    pictures = (
        view,
        overlay_rgb(view, shared["raw"]),
        overlay_rgb(_small(views["preprocessed"]), shared["preprocessed"]),
        changes_rgb(view, _small(changes.difference), edges),
    )
    return Strip(row, pictures)


def _small(image: NDArray[Any]) -> NDArray[Any]:
    """Repeat or leave out pixels, so that the longer side is `CELL`; values stay what they are."""
    height, width = image.shape[:2]
    scale = CELL / max(height, width)
    rows = np.arange(max(1, round(height * scale))) / scale
    columns = np.arange(max(1, round(width * scale))) / scale
    return np.ascontiguousarray(image[rows.astype(int)][:, columns.astype(int)])


def overview(strips: Sequence[Strip]) -> Figure:
    """Draw one row a sample: image, raw masks, preprocessed masks, what changed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    heights = [strip.pictures[0].shape[0] / CELL * CELL_INCHES + 0.28 for strip in strips]
    figure = Figure(figsize=(4 * CELL_INCHES + 0.4, sum(heights) + 0.8), dpi=CELL / CELL_INCHES)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", h_pad=0.03, w_pad=0.03)
    grid = figure.subplots(len(strips), 4, squeeze=False, height_ratios=heights)
    for axes, strip in zip(grid, strips, strict=True):
        _draw_strip(axes, strip)
    handles = [
        Patch(facecolor=color, edgecolor="black", linewidth=0.5, label=change)
        for change, color in COLORS.items()
    ]
    figure.suptitle("Grayscale images raw and preprocessed, segmented by SAM 2", fontsize=15)
    figure.legend(handles=handles, loc="outside lower right", ncols=6, frameon=False, fontsize=11)
    return figure


def _draw_strip(axes: Sequence[Axes], strip: Strip) -> None:
    row = strip.row
    titles = (
        f"{row.title}",
        _arm_title("raw", row.objects_raw, row.ap50_raw),
        _arm_title("preprocessed", row.objects_preprocessed, row.ap50_preprocessed),
        f"gained {row.gained}, lost {row.lost}, split {row.split}, merged {row.merged}",
    )
    for axis, picture, title in zip(axes, strip.pictures, titles, strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_axis_off()


def _arm_title(arm: Arm, objects: int, ap50: float | None) -> str:
    score = "" if ap50 is None else f", AP50 {ap50:.2f}"
    return f"{arm}: {objects} object{'' if objects == 1 else 's'}{score}"
