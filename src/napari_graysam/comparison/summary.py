"""What tables and plots show of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_graysam.comparison.arms import Comparison
from napari_graysam.comparison.metrics import IOU_THRESHOLDS, Scores
from napari_graysam.comparison.objects import BOX
from napari_graysam.masks import ARMS, Arm

if TYPE_CHECKING:
    import pandas as pd

_MEASURES = {
    "f1": "F1 at IoU 0.5",
    "precision": "Precision at IoU 0.5",
    "recall": "Recall at IoU 0.5",
    "panoptic_quality": "Panoptic quality",
    "mean_matched_iou": "Mean matched IoU",
    "n_predicted": "Found objects",
    "n_matched": "Matched objects",
    "n_true": "True objects",
}


def matched_pairs(comparison: Comparison) -> pd.DataFrame:
    """Return the objects that have one partner, a pair to a row.

    Parameters
    ----------
    comparison
        What differs.

    Returns
    -------
    DataFrame
        One row per event that is kept or changed: ``event``, ``change``, ``iou`` and, for each
        arm, ``index_raw``, ``area_raw``, ``predicted_iou_raw``, ``stability_score_raw``,
        ``index_preprocessed`` and so on. Scores are NaN where the label images carry none.

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> from napari_graysam.comparison import compare_labels, matched_pairs
    >>> matched_pairs(compare_labels(raw, preprocessed))[["change", "iou"]].values.tolist()
    [['kept', 1.0]]
    """
    objects = comparison.objects
    paired = objects[objects["change"].isin(["kept", "changed"])]
    own = ["event", "index", "area", "predicted_iou", "stability_score"]
    raw = paired.loc[paired["arm"] == "raw", [*own, "change", "iou"]]
    preprocessed = paired.loc[paired["arm"] == "preprocessed", own]
    pairs = raw.merge(preprocessed, on="event", suffixes=("_raw", "_preprocessed"))
    return pairs.sort_values("event", ignore_index=True)


def event_box(comparison: Comparison, number: int) -> tuple[int, int, int, int]:
    """Return the box around all objects of one event of either arm.

    Parameters
    ----------
    comparison
        What differs.
    number
        The event's number as in ``comparison.objects["event"]``, from 1.

    Returns
    -------
    tuple of int
        ``(x0, y0, x1, y1)`` in image pixels, half-open.

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> from napari_graysam.comparison import compare_labels, event_box
    >>> event_box(compare_labels(raw, preprocessed), 1)
    (0, 0, 2, 2)
    """
    boxes = comparison.objects.loc[comparison.objects["event"] == number, list(BOX)]
    low, high = boxes.min(), boxes.max()
    return int(low[BOX[0]]), int(low[BOX[1]]), int(high[BOX[2]]), int(high[BOX[3]])


def score_table(scores: Mapping[Arm, Scores]) -> pd.DataFrame:
    """Set both arms' scores beside each other.

    Parameters
    ----------
    scores
        Each arm's scores against the same ground truth.

    Returns
    -------
    DataFrame
        A row per measure, average precision first: ``measure`` (its name), ``raw``,
        ``preprocessed`` and ``difference``, which is preprocessed minus raw.

    See Also
    --------
    score : Scores one arm.

    Examples
    --------
    >>> from napari_graysam.comparison import score, score_table
    >>> truth = [[1, 1, 0, 2]]
    >>> raw, preprocessed = score([[1, 1, 0, 0]], truth), score(truth, truth)
    >>> table = score_table({"raw": raw, "preprocessed": preprocessed})
    >>> table.set_index("measure").loc["Recall at IoU 0.5"].tolist()
    [0.5, 1.0, 0.5]
    """
    import pandas as pd

    rows = [("AP, mean 0.5–0.95", *(scores[arm].mean_average_precision for arm in ARMS))]
    rows += [
        (f"AP at IoU {threshold:.2f}", *(scores[arm].average_precision[at] for arm in ARMS))
        for at, threshold in enumerate(IOU_THRESHOLDS)
    ]
    rows += [
        (name, *(float(getattr(scores[arm], field)) for arm in ARMS))
        for field, name in _MEASURES.items()
    ]
    table = pd.DataFrame(rows, columns=["measure", *ARMS])
    return table.assign(difference=table["preprocessed"] - table["raw"])
