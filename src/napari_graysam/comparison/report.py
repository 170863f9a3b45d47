"""The comparison as a picture, a CSV and a JSON text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import hsv_to_rgb, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from napari_graysam.comparison.arms import Comparison
from napari_graysam.comparison.changes import CODES, COLORS
from napari_graysam.comparison.metrics import Scores
from napari_graysam.masks import ARMS, Arm

_PANEL_INCHES = 5.0
_PANEL_PIXELS = 800


def comparison_csv(comparison: Comparison) -> str:
    """Return the objects of both arms as CSV text, one row each.

    See Also
    --------
    comparison_json : Events and counts.

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> from napari_graysam.comparison import compare_labels, comparison_csv
    >>> comparison_csv(compare_labels(raw, preprocessed)).splitlines()[1][:12]
    'raw,1,kept,1'
    """
    return comparison.objects.to_csv(index=False, lineterminator="\n")


def comparison_json(
    comparison: Comparison, scores: Mapping[Arm, Scores] | None = None, **extra: Any
) -> str:
    """Return the comparison as indented JSON text.

    Parameters
    ----------
    comparison
        What differs.
    scores
        Each arm's scores against a ground truth, put under ``"scores"``.
    **extra
        Further plain values, such as the recipe, put beside the comparison.

    See Also
    --------
    comparison_csv : One row per object.

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> import json
    >>> from napari_graysam.comparison import compare_labels, comparison_json
    >>> json.loads(comparison_json(compare_labels(raw, preprocessed)))["counts"]["lost"]
    1
    """
    content = comparison.to_dict()
    if scores is not None:
        content["scores"] = {arm: scores[arm].to_dict() for arm in ARMS}
    return json.dumps({**content, **extra}, indent=2, allow_nan=False) + "\n"


def comparison_figure(
    comparison: Comparison,
    labels: Mapping[Arm, NDArray[np.integer]],
    views: Mapping[Arm, NDArray[np.uint8]],
    *,
    title: str = "",
    scores: Mapping[Arm, Scores] | None = None,
    names: Mapping[Arm, str] | None = None,
) -> Figure:
    """Draw both arms and their difference side by side.

    Parameters
    ----------
    comparison
        What differs.
    labels
        Each arm's label image (H, W).
    views
        What each arm's model saw: uint8 (H, W) or (H, W, 3).
    title
        Printed above, for example the image's name.
    scores
        Each arm's scores against a ground truth, printed above its panel.
    names
        What the arms are called where they are not raw and preprocessed.

    Returns
    -------
    matplotlib.figure.Figure
        On an Agg canvas, free of pyplot's global state; ``savefig`` writes it. Large images
        are thinned out to about `_PANEL_PIXELS` a side before outlines are drawn.

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> from napari_graysam.comparison import compare_labels, comparison_figure
    >>> comparison = compare_labels(raw, preprocessed)
    >>> views = dict.fromkeys(("raw", "preprocessed"), np.zeros((2, 4), np.uint8))
    >>> labels = {"raw": raw, "preprocessed": preprocessed}
    >>> len(comparison_figure(comparison, labels, views).axes)
    3
    """
    height, width = comparison.difference.shape
    figure, axes = _layout(height, width)
    for axis, arm in zip(axes, ARMS, strict=False):
        axis.imshow(_overlay(labels[arm], views[arm]), interpolation="nearest")
        name = arm if names is None else names[arm]
        axis.set_title(_caption(name, arm, comparison, scores), fontsize=11)
    axes[2].imshow(_changes(comparison, labels, views["raw"]), interpolation="nearest")
    what = "what preprocessing changed" if names is None else "what differs"
    axes[2].set_title(what, fontsize=11)
    counts = comparison.counts
    handles = [
        Patch(facecolor=color, edgecolor="black", linewidth=0.5, label=f"{change} {counts[change]}")
        for change, color in COLORS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=11)
    if title:
        figure.suptitle(title, fontsize=13)
    return figure


def _layout(height: int, width: int) -> tuple[Figure, list[Axes]]:
    """Make three empty panels, in a row or, for wide images, in a column."""
    inches = _PANEL_INCHES / max(height, width)
    panel = (max(2.8, width * inches), max(1.2, height * inches) + 0.4)
    rows, columns = (3, 1) if width > 2 * height else (1, 3)
    size = (panel[0] * columns, panel[1] * rows + 0.6)
    figure = Figure(figsize=size, dpi=_PANEL_PIXELS / _PANEL_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns).flat)
    for axis in axes:
        axis.set_axis_off()
    return figure, axes


def _caption(
    name: str, arm: Arm, comparison: Comparison, scores: Mapping[Arm, Scores] | None
) -> str:
    """Name an arm, its objects and, where known, its score."""
    caption = f"{name}: {sum(comparison.count_objects(arm).values())} objects"
    if scores is not None:
        caption += f", AP at IoU 0.5 = {scores[arm].average_precision[0]:.2f}"
    return caption


def _fit(image: NDArray[Any]) -> NDArray[Any]:
    """Thin out or repeat pixels by a whole factor, to about the panel's size."""
    longest = max(image.shape[:2])
    if longest > _PANEL_PIXELS:
        step = math.ceil(longest / _PANEL_PIXELS)
        return image[::step, ::step]
    times = _PANEL_PIXELS // longest
    return image.repeat(times, axis=0).repeat(times, axis=1)


def _backdrop(view: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a view as float RGB in [0, 1]."""
    fitted = _fit(view)
    colored = fitted if fitted.ndim == 3 else np.repeat(fitted[..., None], 3, axis=2)
    return np.asarray(colored / 255.0, dtype=np.float64)


def _outlines(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Mark the objects' outermost pixels."""
    from skimage.segmentation import find_boundaries

    return np.asarray(find_boundaries(_fit(labels), mode="inner"), dtype=np.bool_)


def _blend(
    backdrop: NDArray[np.float64],
    colors: NDArray[np.float64],
    inside: NDArray[np.bool_],
    outline: NDArray[np.bool_],
    opacity: float,
) -> NDArray[np.float64]:
    """Lay colours over the backdrop: translucent inside, solid on outlines."""
    alpha = np.where(outline & inside, 1.0, np.where(inside, opacity, 0.0))[..., None]
    blended: NDArray[np.float64] = backdrop * (1 - alpha) + colors * alpha
    return blended


def _overlay(labels: NDArray[np.integer], view: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Colour every object; neighbouring labels differ clearly in hue."""
    fitted = _fit(labels)
    golden = (np.arange(int(labels.max(initial=0)) + 1) * 0.61803398875) % 1
    saturation, value = np.full_like(golden, 0.85), np.ones_like(golden)
    palette = hsv_to_rgb(np.column_stack([golden, saturation, value]))
    return _blend(_backdrop(view), palette[fitted], fitted > 0, _outlines(labels), 0.3)


def _changes(
    comparison: Comparison, labels: Mapping[Arm, NDArray[np.integer]], view: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Colour every object by what became of it, with the outlines of both arms."""
    codes = _fit(comparison.difference)
    palette = np.zeros((len(CODES) + 1, 3))
    for change, code in CODES.items():
        palette[code] = to_rgb(COLORS[change])
    outline = _outlines(labels["raw"]) | _outlines(labels["preprocessed"])
    pale = np.where(outline[..., None], 0.4 * palette[codes] + 0.6, palette[codes])
    return _blend(_backdrop(view), pale, codes > 0, outline, 0.55)
