"""The objects of a comparison as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.changes import Event
from napari_graysam.masks import ARMS, Mask, mask_iou

if TYPE_CHECKING:
    import pandas as pd

BOX = ("bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1")
COLUMNS = {
    "arm": "str",
    "index": "int64",
    "change": "str",
    "event": "int64",
    "partners": "str",
    "iou": "float64",
    "area": "int64",
    **dict.fromkeys(BOX, "int64"),
    "predicted_iou": "float64",
    "stability_score": "float64",
    "delta_area": "float64",
    "delta_predicted_iou": "float64",
    "delta_stability": "float64",
}
REGROUPED = {"regrouped": "str", "evidence": "float64"}
"""Columns of results in which something was merged or split."""


def compared_objects(
    events: Sequence[Event],
    arms: tuple[Sequence[Mask], Sequence[Mask]],
    labels: tuple[tuple[int, ...], tuple[int, ...]],
    pixel_size: tuple[float, float] | None,
) -> pd.DataFrame:
    """Return a row for each object of either arm; the columns are those of `Comparison`.

    Parameters
    ----------
    events
        What became of the masks, which they name by their places.
    arms, labels
        Masks of each arm, and their labels.
    pixel_size
        (height, width) of a pixel in micrometres; None where it is not known.
    """
    import pandas as pd

    from napari_graysam.select.table import physical

    rows = [
        row for number, event in enumerate(events, start=1) for row in _rows(number, event, arms)
    ]
    for row in rows:
        side = ARMS.index(row["arm"])
        row["partners"] = " ".join(str(labels[1 - side][i]) for i in row["partners"])
        row["index"] = labels[side][row["index"]]
    regrouped = any(row["regrouped"] for row in rows)
    columns = COLUMNS | (REGROUPED if regrouped else {})
    table = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in columns.items()}
    )
    table = table.sort_values(["arm", "index"], ascending=[False, True], ignore_index=True)
    return physical(table, pixel_size)


def _rows(
    number: int, event: Event, arms: tuple[Sequence[Mask], Sequence[Mask]]
) -> list[dict[str, Any]]:
    """Describe each object of one event by its position."""
    members = (event.raw, event.preprocessed)
    deltas = _deltas([arms[0][i] for i in event.raw], [arms[1][i] for i in event.preprocessed])
    rows = []
    for side, arm in enumerate(ARMS):
        for index in members[side]:
            mask, partners, others = arms[side][index], members[1 - side], arms[1 - side]
            rows.append(
                {
                    "arm": arm,
                    "index": index,
                    "change": event.change,
                    "event": number,
                    "partners": partners,
                    "iou": max((mask_iou(mask, others[i]) for i in partners), default=np.nan),
                    "area": mask.area,
                    **dict(zip(BOX, mask.box, strict=True)),
                    "predicted_iou": mask.predicted_iou,
                    "stability_score": mask.stability,
                    "regrouped": mask.regrouped,
                    "evidence": mask.evidence,
                    **deltas,
                }
            )
    return rows


def _deltas(raw: Sequence[Mask], preprocessed: Sequence[Mask]) -> dict[str, float]:
    """Subtract the raw side of an event from the preprocessed one."""
    if not raw or not preprocessed:
        return dict.fromkeys(("delta_area", "delta_predicted_iou", "delta_stability"), np.nan)

    def measure(masks: Sequence[Mask]) -> NDArray[np.float64]:
        scores = np.mean([(mask.predicted_iou, mask.stability) for mask in masks], axis=0)
        return np.array([sum(mask.area for mask in masks), *scores], dtype=np.float64)

    area, predicted_iou, stability = (measure(preprocessed) - measure(raw)).tolist()
    return {
        "delta_area": area,
        "delta_predicted_iou": predicted_iou,
        "delta_stability": stability,
    }
