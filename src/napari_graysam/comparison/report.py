"""The comparison as a picture, a CSV and a JSON text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.arms import Comparison
from napari_graysam.comparison.changes import CODES, COLORS
from napari_graysam.comparison.events import shared_labels
from napari_graysam.comparison.metrics import Scores
from napari_graysam.masks import ARMS, Arm
from napari_graysam.masks.overlay import outlines, overlay_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_INCHES = 5.0
_PANEL_PIXELS = 800
_FILL = 0.45
"""Opacity of a change inside an object."""
_DIMMING = 0.3
"""How much darker the image is outside of them."""


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
        On an Agg canvas, free of pyplot's global state; ``savefig`` writes it. Objects that are
        kept or changed have the same colour in both arms. Large images are thinned out to about
        `_PANEL_PIXELS` a side before outlines are drawn.

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
    from matplotlib.patches import Patch

    height, width = comparison.difference.shape
    figure, axes = _layout(height, width)
    fitted = shared_labels(comparison, {arm: _fit(labels[arm]) for arm in ARMS})
    for axis, arm in zip(axes, ARMS, strict=False):
        picture = overlay_rgb(_rgb(_fit(views[arm])), fitted[arm])
        axis.imshow(picture, interpolation="nearest")
        name = arm if names is None else names[arm]
        axis.set_title(_caption(name, arm, comparison, scores), fontsize=11)
    edges = outlines(fitted["raw"]) | outlines(fitted["preprocessed"])
    changes = changes_rgb(_fit(views["raw"]), _fit(comparison.difference), edges)
    axes[2].imshow(changes, interpolation="nearest")
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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

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


def changes_rgb(
    view: NDArray[np.uint8], difference: NDArray[np.uint8], outline: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Colour what became of every object over a dimmed view.

    Parameters
    ----------
    view
        uint8 (H, W) or (H, W, 3).
    difference
        uint8 (H, W), codes as in `Comparison`.
    outline
        bool (H, W), outlines of the objects, drawn opaque.

    Returns
    -------
    ndarray
        uint8 (H, W, 3).
    """
    from matplotlib.colors import to_rgb

    palette = np.zeros((len(CODES) + 1, 3))
    for change, code in CODES.items():
        palette[code] = 255 * np.array(to_rgb(COLORS[change]))
    inside = difference > 0
    opacity = np.where(inside & outline, 1.0, np.where(inside, _FILL, _DIMMING))[..., None]
    picture = opacity * palette[difference] + (1 - opacity) * _rgb(view)
    return np.rint(picture).astype(np.uint8)


def _rgb(view: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return view if view.ndim == 3 else np.repeat(view[..., None], 3, axis=2)
