"""Both arms of an image that need not fit into memory, compared block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.arms import Comparison
from napari_graysam.comparison.changes import Event, find_label_changes, named_events
from napari_graysam.comparison.objects import BOX, COLUMNS
from napari_graysam.comparison.rules import DEFAULT_RULES, Rules
from napari_graysam.masks import ARMS, Overlaps, OverlapSum

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("predicted_iou", "stability_score")


def compare_sums(
    whole: OverlapSum,
    tables: tuple[pd.DataFrame, pd.DataFrame],
    rules: Rules = DEFAULT_RULES,
    pixel_size: tuple[float, float] | None = None,
) -> Comparison:
    """Compare two label images of which one block each was in memory at a time.

    Objects are sorted as `compare_labels` does, by the pixels that are seen of them; memory
    grows with the number of objects and of pairs that overlap, not with that of pixels.

    Parameters
    ----------
    whole
        To which the same parts of the raw and of the preprocessed labels were added; together
        they cover the image once.
    tables
        Each arm's table of objects, of whose columns ``index`` (the label), box and scores are
        used.
    rules
        The thresholds.
    pixel_size
        (height, width) of a pixel in micrometres; None where it is not known.

    Returns
    -------
    Comparison
        Its ``difference`` is empty; ``area`` counts pixels that are seen.

    See Also
    --------
    compare_labels : Of label images in memory.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> whole = OverlapSum()
    >>> for half in (slice(2), slice(2, 4)):
    ...     _ = whole.add(raw[:, half], preprocessed[:, half])
    >>> tables = (pd.DataFrame({"index": [1, 2]}), pd.DataFrame({"index": [1, 3]}))
    >>> comparison = compare_sums(whole, tables)
    >>> {change: count for change, count in comparison.counts.items() if count}
    {'kept': 1, 'gained': 1, 'lost': 1}
    """
    first, second, overlaps = whole.total()
    events = find_label_changes(overlaps, rules)
    return Comparison(
        events=named_events(events, first, second),
        objects=_objects(events, (first, second), overlaps, tables, pixel_size),
        difference=np.zeros((0, 0), np.uint8),
        rules=rules,
        pixel_size=pixel_size,
    )


def _objects(
    events: Sequence[Event],
    ids: Sequence[NDArray[np.int64]],
    overlaps: Overlaps,
    tables: tuple[pd.DataFrame, pd.DataFrame],
    pixel_size: tuple[float, float] | None,
) -> pd.DataFrame:
    """Return a row for each object of either arm, with the columns of `Comparison`."""
    import pandas as pd

    from napari_graysam.select.table import physical

    pairs = zip(overlaps.a.tolist(), overlaps.b.tolist(), overlaps.iou.tolist(), strict=True)
    iou = {(a, b): value for a, b, value in pairs}
    areas = (overlaps.areas_a, overlaps.areas_b)
    columns = [*BOX, *SCORES]
    known = [
        table.drop_duplicates("index").set_index("index").reindex(index=of_arm, columns=columns)
        for table, of_arm in zip(tables, ids, strict=True)
    ]
    boxes = [one[list(BOX)].fillna(0).to_numpy(np.int64) for one in known]
    scores = [one[list(SCORES)].to_numpy(np.float64) for one in known]
    rows: list[tuple[Any, ...]] = []
    for number, event in enumerate(events, start=1):
        members = (list(event.raw), list(event.preprocessed))
        deltas = [np.nan] * 3
        if all(members):
            sums = [int(areas[side][members[side]].sum()) for side in (0, 1)]
            means = [scores[side][members[side]].mean(axis=0) for side in (0, 1)]
            deltas = [float(sums[1] - sums[0]), *(means[1] - means[0]).tolist()]
        for side, arm in enumerate(ARMS):
            others = members[1 - side]
            partners = " ".join(str(ids[1 - side][one]) for one in others)
            for at in members[side]:
                shared = [iou.get((at, one) if side == 0 else (one, at), 0.0) for one in others]
                rows.append((
                    arm, int(ids[side][at]), event.change, number, partners,
                    max(shared, default=np.nan), int(areas[side][at]), *boxes[side][at].tolist(),
                    *scores[side][at].tolist(), *deltas,
                ))  # fmt: skip
    values = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    table = pd.DataFrame(
        {
            name: pd.Series(list(column), dtype=kind)
            for (name, kind), column in zip(COLUMNS.items(), values, strict=True)
        }
    )
    table = table.sort_values(["arm", "index"], ascending=[False, True], ignore_index=True)
    return physical(table, pixel_size)
