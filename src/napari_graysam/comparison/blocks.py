"""Both arms of an image that need not fit into memory, compared block by block."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison.arms import Comparison
from napari_graysam.comparison.changes import Event, find_label_changes, named_events
from napari_graysam.comparison.metrics import Scores, scores_of
from napari_graysam.comparison.objects import COLUMNS
from napari_graysam.comparison.rules import DEFAULT_RULES, Rules
from napari_graysam.errors import ImageError, TruthError
from napari_graysam.masks import ARMS, Arm, BoxSum, Overlaps, OverlapSum, match
from napari_graysam.preprocess import squares
from napari_graysam.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    Tables = tuple[pd.DataFrame | None, pd.DataFrame | None]

BLOCK = 2048
"""Side of what is compared at once, in pixels."""
SCORES = ("predicted_iou", "stability_score")
_NO_TABLES: Tables = (None, None)


@dataclass(frozen=True, eq=False)
class LabelSums:
    """What a comparison needs of two label images: it grows with the objects, not the pixels.

    Attributes
    ----------
    arms
        Areas, and pixels that objects of both arms share.
    boxes
        Around the objects of each arm.
    truth
        Pixels that each arm's objects share with those of a ground truth; None without one.
    """

    arms: OverlapSum = field(default_factory=OverlapSum)
    boxes: Mapping[Arm, BoxSum] = field(default_factory=lambda: {arm: BoxSum() for arm in ARMS})
    truth: Mapping[Arm, OverlapSum] | None = None

    @property
    def scores(self) -> dict[Arm, Scores] | None:
        """Each arm's scores against the ground truth; None without one."""
        if self.truth is None:
            return None
        totals = {arm: self.truth[arm].total()[2] for arm in ARMS}
        return {
            arm: scores_of(one.iou[match(one, 0.5)], one.areas_a.size, one.areas_b.size)
            for arm, one in totals.items()
        }


def sum_blocks(
    raw: Any, preprocessed: Any, truth: Any = None, block: int | None = None
) -> Generator[Progress, None, LabelSums]:
    """Read two label images block by block, and sum up what a comparison needs.

    Parameters
    ----------
    raw, preprocessed
        Label images (H, W) that can be sliced: NumPy, Zarr, dask or `Plane`. 0 is background.
    truth
        A label image of the same shape, to score both with.
    block
        Side of what is read at once, in pixels; None for `BLOCK`.

    Yields
    ------
    Progress
        Before each block is read, of the stage "compare".

    Returns
    -------
    LabelSums
        For `compare_sums`, with any rules.

    Raises
    ------
    ImageError
        The shapes differ.
    TruthError
        The truth, or what is scored with it, has negative numbers.

    See Also
    --------
    compare_sums : What became of the objects.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.progress import run
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> sums = run(sum_blocks(raw, raw, truth=raw, block=1))
    >>> sums.scores["raw"].f1, sums.boxes["raw"].total()[1].tolist()
    (1.0, [[0, 0, 2, 2], [3, 0, 4, 2]])
    """
    shapes = [tuple(one.shape) for one in (raw, preprocessed, truth) if one is not None]
    if len(shapes[0]) != 2 or len(set(shapes)) > 1:
        raise ImageError(
            f"Label images of the shapes {', '.join(map(str, shapes))} came; a comparison needs "
            "label images (H, W) of one shape."
        )
    planes = dict(zip(ARMS, (raw, preprocessed), strict=True))
    overlaps = None if truth is None else {arm: OverlapSum() for arm in ARMS}
    sums = LabelSums(truth=overlaps)
    blocks = list(squares((shapes[0][0], shapes[0][1]), block or BLOCK))
    for number, (rows, columns) in enumerate(blocks):
        yield Progress("compare", number, len(blocks))
        found = {arm: np.asarray(planes[arm][rows, columns]) for arm in ARMS}
        sums.arms.add(found["raw"], found["preprocessed"])
        for arm in ARMS:
            sums.boxes[arm].add(found[arm], columns.start, rows.start)
        if sums.truth is None:
            continue
        true = np.asarray(truth[rows, columns])
        if min(true.min(), *(found[arm].min() for arm in ARMS)) < 0:
            raise TruthError("Labels to score have negative numbers; expected 0 for none.")
        for arm in ARMS:
            sums.truth[arm].add(found[arm], true)
    return sums


def compare_sums(
    sums: LabelSums,
    tables: Tables = _NO_TABLES,
    rules: Rules = DEFAULT_RULES,
    pixel_size: tuple[float, float] | None = None,
) -> Comparison:
    """Compare two label images of which one block each was in memory at a time.

    Objects are sorted as `compare_labels` does, by the pixels that are seen of them; memory
    grows with the number of objects and of pairs that overlap, not with that of pixels.

    Parameters
    ----------
    sums
        Of `sum_blocks`.
    tables
        Each arm's table of objects, from whose columns ``index`` (the label), ``predicted_iou``
        and ``stability_score`` the scores are taken; without them scores are NaN.
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
    >>> from napari_graysam.progress import run
    >>> raw = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> preprocessed = np.array([[1, 1, 0, 0], [1, 1, 3, 0]])
    >>> comparison = compare_sums(run(sum_blocks(raw, preprocessed, block=2)))
    >>> {change: count for change, count in comparison.counts.items() if count}
    {'kept': 1, 'gained': 1, 'lost': 1}
    """
    first, second, overlaps = sums.arms.total()
    events = find_label_changes(overlaps, rules)
    boxes = (sums.boxes["raw"].total()[1], sums.boxes["preprocessed"].total()[1])
    ids = (first, second)
    scores = [_scores(table, of_arm) for table, of_arm in zip(tables, ids, strict=True)]
    return Comparison(
        events=named_events(events, first, second),
        objects=_objects(events, ids, overlaps, boxes, scores, pixel_size),
        difference=np.zeros((0, 0), np.uint8),
        rules=rules,
        pixel_size=pixel_size,
    )


def _scores(table: pd.DataFrame | None, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return predicted IoU and stability of some labels, (N, 2); NaN where they are not known."""
    if table is None or "index" not in table:
        return np.full((ids.size, len(SCORES)), np.nan)
    known = table.dropna(subset=["index"]).drop_duplicates("index").set_index("index")
    return known.reindex(index=ids, columns=[*SCORES]).to_numpy(np.float64)


def _objects(
    events: Sequence[Event],
    ids: Sequence[NDArray[np.int64]],
    overlaps: Overlaps,
    boxes: Sequence[NDArray[np.int64]],
    scores: Sequence[NDArray[np.float64]],
    pixel_size: tuple[float, float] | None,
) -> pd.DataFrame:
    """Return a row for each object of either arm, with the columns of `Comparison`."""
    import pandas as pd

    from napari_graysam.select.table import physical

    areas = (overlaps.areas_a, overlaps.areas_b)
    members = [[event.raw for event in events], [event.preprocessed for event in events]]
    counts = [np.array([len(one) for one in of_arm], np.int64) for of_arm in members]
    paired = np.minimum(*counts) > 0
    own = [np.zeros(one.size, np.int64) for one in ids]
    sums = []
    for side, of_arm in enumerate(members):
        of_event = np.repeat(np.arange(len(events)), counts[side])
        own[side][[at for one in of_arm for at in one]] = of_event
        values = np.column_stack([areas[side], scores[side]])
        sums.append(_by_event(own[side], values, len(events)))
    means = [one[:, 1:] / np.maximum(1, of[:, None]) for one, of in zip(sums, counts, strict=True)]
    deltas = np.column_stack([sums[1][:, 0] - sums[0][:, 0], means[1] - means[0]])
    deltas[~paired] = np.nan
    best = [np.where(paired[one], 0.0, np.nan) for one in own]
    same = own[0][overlaps.a] == own[1][overlaps.b]
    for side, at in enumerate((overlaps.a[same], overlaps.b[same])):
        np.fmax.at(best[side], at, overlaps.iou[same])
    named = [
        [" ".join(map(str, of[list(one)].tolist())) for one in of_arm]
        for of, of_arm in zip(ids, members, strict=True)
    ]
    names, changes = list(COLUMNS), np.array([event.change for event in events], object)
    tables = []
    for side, arm in enumerate(ARMS):
        at = own[side]
        partners = np.array(named[1 - side], object)[at]
        columns = [
            arm, ids[side], changes[at], at + 1, partners, best[side], areas[side],
            *boxes[side].T, *scores[side].T, *deltas[at].T,
        ]  # fmt: skip
        tables.append(pd.DataFrame(dict(zip(names, columns, strict=True)), index=range(at.size)))
    return physical(pd.concat(tables, ignore_index=True).astype(COLUMNS), pixel_size)


def _by_event(
    events: NDArray[np.int64], values: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Sum the rows of (N, K) values by event, (count, K)."""
    sums = [np.bincount(events, column, minlength=count) for column in values.T]
    return np.stack(sums, axis=1)
