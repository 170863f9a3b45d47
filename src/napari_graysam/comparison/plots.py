"""Plots of a comparison: areas, IoU and scores of both arms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_graysam.comparison.arms import Comparison
from napari_graysam.comparison.changes import COLORS
from napari_graysam.comparison.summary import matched_pairs
from napari_graysam.masks import ARMS, Arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 24
_NARROW = 50
"""Ratio of areas up to which an axis has ticks within the decades, too: there is room."""


@dataclass(frozen=True)
class PlotStyle:
    """Colours and names of a plot.

    Parameters
    ----------
    text
        Colour of text, axes and ticks.
    background
        Colour behind the data.
    arms
        Colour of each arm.
    names
        What each arm is called.
    """

    text: str = "black"
    background: str = "white"
    arms: dict[Arm, str] = field(
        default_factory=lambda: {"raw": "#E69F00", "preprocessed": "#56B4E9"}
    )
    names: dict[Arm, str] = field(default_factory=lambda: {arm: arm for arm in ARMS})


def draw_areas(axis: Axes, comparison: Comparison, style: PlotStyle) -> None:
    """Draw how large the objects of both arms are, in µm² where known, in bins of equal ratio.

    Parameters
    ----------
    axis
        Cleared first.
    comparison
        What differs.
    style
        Colours and names.

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> from matplotlib.figure import Figure
    >>> from napari_graysam.comparison import PlotStyle, compare_labels, draw_areas
    >>> axis = Figure().subplots()
    >>> draw_areas(axis, compare_labels(raw, preprocessed), PlotStyle())
    >>> axis.get_xlabel()
    'Object area (px²)'
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    objects = comparison.objects
    column, unit = ("area", "px²") if comparison.pixel_size is None else ("area_um2", "µm²")
    _prepare(axis, style, f"Object area ({unit})", "objects")
    areas = {arm: objects.loc[objects["arm"] == arm, column].to_numpy() for arm in ARMS}
    both = np.concatenate(list(areas.values()))
    if both.size == 0:
        _show_message(axis, style, "no objects")
        return
    low, high = both.min(), both.max()
    bins = np.geomspace(low * 0.97, high * 1.03, _BINS + 1).tolist()
    for arm, values in areas.items():
        name, color = f"{style.names[arm]} ({values.size})", style.arms[arm]
        axis.hist(values, bins=bins, color=color, alpha=0.25)
        axis.hist(values, bins=bins, color=color, histtype="step", linewidth=1.6, label=name)
    if high > 8 * low:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _NARROW * low else (1,)))
        axis.xaxis.set_major_formatter("{x:,g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.locator_params("y", nbins=5, integer=True)
    _legend(axis, style)


def draw_ious(axis: Axes, comparison: Comparison, style: PlotStyle) -> None:
    """Draw how well the objects that have one partner overlap it.

    Parameters
    ----------
    axis, comparison, style
        As for `draw_areas`.

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> from matplotlib.figure import Figure
    >>> from napari_graysam.comparison import PlotStyle, compare_labels, draw_ious
    >>> axis = Figure().subplots()
    >>> draw_ious(axis, compare_labels(raw, preprocessed), PlotStyle())
    >>> axis.get_xlabel()
    'IoU of matched pairs'
    """
    _prepare(axis, style, "IoU of matched pairs", "pairs")
    pairs = matched_pairs(comparison)
    if pairs.empty:
        _show_message(axis, style, "no matched pairs")
        return
    low = min(comparison.rules.match_iou, float(pairs["iou"].min()))
    axis.hist(
        [pairs.loc[pairs["change"] == change, "iou"] for change in ("kept", "changed")],
        bins=np.linspace(low, 1, _BINS + 1).tolist(),
        stacked=True,
        color=[COLORS["kept"], COLORS["changed"]],
        edgecolor=style.text,
        linewidth=0.4,
        label=["kept", "changed"],
    )
    axis.locator_params("y", nbins=5, integer=True)
    axis.axvline(comparison.rules.kept_iou, color=style.text, linestyle=":", linewidth=1)
    _legend(axis, style)


def draw_scores(axis: Axes, comparison: Comparison, style: PlotStyle) -> None:
    """Draw the predicted IoU of both arms against each other, a pair to a point.

    Parameters
    ----------
    axis, comparison, style
        As for `draw_areas`.

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> from matplotlib.figure import Figure
    >>> from napari_graysam.comparison import PlotStyle, compare_labels, draw_scores
    >>> axis = Figure().subplots()
    >>> draw_scores(axis, compare_labels(raw, preprocessed), PlotStyle())
    >>> axis.get_xlabel()
    'Predicted IoU, raw'
    """
    _prepare(axis, style, f"Predicted IoU, {style.names['raw']}", style.names["preprocessed"])
    columns = ["predicted_iou_raw", "predicted_iou_preprocessed"]
    pairs = matched_pairs(comparison).dropna(subset=columns)
    if pairs.empty:
        _show_message(axis, style, "no pairs with scores")
        return
    values = pairs[columns].to_numpy()
    margin = 0.02
    low, high = float(values.min()) - margin, float(values.max()) + margin
    axis.plot([low, high], [low, high], color=style.text, linewidth=0.8, alpha=0.6)
    for change in ("changed", "kept"):
        of_change = values[(pairs["change"] == change).to_numpy()]
        x, y = of_change.T
        axis.scatter(x, y, s=14, color=COLORS[change], edgecolors=style.text, linewidths=0.4)
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)


def _prepare(axis: Axes, style: PlotStyle, x: str, y: str) -> None:
    """Clear an axis and give it the style's colours."""
    axis.clear()
    axis.set_facecolor(style.background)
    axis.set_xlabel(x, color=style.text, fontsize=9)
    axis.set_ylabel(y, color=style.text, fontsize=9)
    axis.tick_params(which="both", colors=style.text, labelsize=8)
    for side, spine in axis.spines.items():
        spine.set_color(style.text)
        spine.set_visible(side in ("left", "bottom"))


def _legend(axis: Axes, style: PlotStyle) -> None:
    axis.legend(frameon=False, labelcolor=style.text, fontsize=8)


def _show_message(axis: Axes, style: PlotStyle, text: str) -> None:
    """Say why there is nothing to see."""
    axis.set_xticks([])
    axis.set_yticks([])
    middle = axis.transAxes
    axis.text(0.5, 0.5, text, color=style.text, fontsize=9, ha="center", transform=middle)
