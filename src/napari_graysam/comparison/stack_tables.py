"""The objects of both arms of a stack as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.changes import CHANGES, Change, Event
from napari_graysam.masks import ARMS, Overlaps

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: dict[str, str] = {
    "arm": "str",
    "index": "int64",
    "change": "str",
    "event": "int64",
    "partners": "str",
    "iou": "float64",
    "voxels": "int64",
    "delta_voxels": "float64",
    "first": "int64",
    "last": "int64",
    "planes": "int64",
    **{str(change): "int64" for change in CHANGES},
}


@dataclass
class Seen:
    """Where the objects of an arm are, and what became of their sections."""

    _spans: dict[int, list[int]] = field(default_factory=dict)
    _changes: dict[int, Counter[Change]] = field(default_factory=dict)

    def add(self, position: int, change: Change, labels: Iterable[int]) -> None:
        """Note a change of sections in a plane; planes come in their order."""
        for label in labels:
            span = self._spans.setdefault(label, [position, position])
            span[1] = position
            self._changes.setdefault(label, Counter())[change] += 1

    def row(self, label: int) -> dict[str, int]:
        """Return the columns of an object."""
        first, last = self._spans[label]
        count = self._changes[label]
        return {
            "first": first,
            "last": last,
            "planes": count.total(),
            **{change: count[change] for change in CHANGES},
        }


def stack_objects(
    events: Sequence[Event],
    ids: tuple[NDArray[np.int64], NDArray[np.int64]],
    overlaps: Overlaps,
    seen: tuple[Seen, Seen],
) -> pd.DataFrame:
    """Return a row for each object of either arm, as `StackComparison` tells.

    Parameters
    ----------
    events
        What became of the objects, which they name by their positions.
    ids
        Numbers of the objects of each arm, ascending.
    overlaps
        Of the volumes.
    seen
        What the planes say of each arm.
    """
    import pandas as pd

    pairs = zip(overlaps.a.tolist(), overlaps.b.tolist(), overlaps.iou.tolist(), strict=True)
    iou = {(a, b): value for a, b, value in pairs}
    areas = (overlaps.areas_a, overlaps.areas_b)
    rows: list[dict[str, Any]] = []
    for number, event in enumerate(events, start=1):
        members = (event.raw, event.preprocessed)
        sums = [int(areas[side][list(members[side])].sum()) for side in (0, 1)]
        delta = float(sums[1] - sums[0]) if all(members) else np.nan
        for side, arm in enumerate(ARMS):
            for at in members[side]:
                others = members[1 - side]
                shared = [iou.get((at, one) if side == 0 else (one, at), 0.0) for one in others]
                label = int(ids[side][at])
                rows.append(
                    {
                        "arm": arm,
                        "index": label,
                        "change": event.change,
                        "event": number,
                        "partners": " ".join(str(ids[1 - side][one]) for one in others),
                        "iou": max(shared, default=np.nan),
                        "voxels": int(areas[side][at]),
                        "delta_voxels": delta,
                        **seen[side].row(label),
                    }
                )
    table = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in COLUMNS.items()}
    )
    return table.sort_values(["arm", "index"], ascending=[False, True], ignore_index=True)
