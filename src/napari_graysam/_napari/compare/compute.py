"""What is computed in the background: the comparison, and scores against a ground truth."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison import ARMS, Arm, Comparison, Rules, Scores
from napari_graysam.comparison.objects import BOX
from napari_graysam.errors import GraysamError
from napari_graysam.masks import Mask
from napari_graysam.masks.regions import covers
from napari_graysam.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from napari_graysam._napari.compare.levels import Levels

    Tables = tuple[pd.DataFrame | None, pd.DataFrame | None]

Plane = NDArray[np.integer]
Masks = dict[Arm, tuple[Mask, ...]]


class Written(NamedTuple):
    """A result's labels and masks; its candidates, which are large, are not held on to."""

    labels: Plane
    masks: tuple[Mask, ...]


@dataclass(frozen=True, eq=False)
class Request:
    """Two layers to compare, and how.

    Attributes
    ----------
    number
        Counts the requests: an outcome with another number than the latest is out of date.
    read
        Reads each arm's label image (H, W); called in the background.
    tables
        Each arm's table of objects, from which the scores of label images are taken.
    rules
        The thresholds.
    pixel_size
        (height, width) of a pixel in micrometres; None where it is not known.
    results
        What the panel has written into each arm's layer, as far as it is known.
    read_truth
        Reads the ground truth, if there is one.
    previous
        What is shown; it comes back as it is if nothing has changed since.
    levels
        What is compared block by block; None for planes that are read whole.
    """

    number: int
    read: dict[Arm, Callable[[], Plane]]
    tables: Tables
    rules: Rules
    pixel_size: tuple[float, float] | None = None
    results: Mapping[Arm, Written] = field(default_factory=dict)
    read_truth: Callable[[], Plane] | None = None
    previous: Outcome | None = None
    levels: Levels | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A comparison, what it was made of, and scores against the ground truth.

    ``labels`` can be sliced. ``masks`` are whole, also where others cover them; None where label
    images were compared.
    """

    comparison: Comparison
    labels: dict[Arm, Any]
    masks: Masks | None
    tables: Tables
    truth: Plane | None
    scores: dict[Arm, Scores] | None

    def is_of(
        self,
        labels: dict[Arm, Plane],
        masks: Masks | None,
        truth: Plane | None,
        request: Request,
    ) -> bool:
        """Whether the same labels, masks, tables, rules, pixels and truth would give this again."""
        planes = zip((*labels.values(), truth), (*self.labels.values(), self.truth), strict=True)
        tables = zip(request.tables, self.tables, strict=True)
        if masks is None or self.masks is None:
            unchanged = masks is self.masks and all(same(one, other) for one, other in tables)
        else:
            unchanged = all(masks[arm] is self.masks[arm] for arm in ARMS)
        return (
            unchanged
            and request.rules == self.comparison.rules
            and request.pixel_size == self.comparison.pixel_size
            and all(same(one, other) for one, other in planes)
        )

    def masks_of(self, labels: Mapping[Arm, Sequence[int]]) -> dict[Arm, list[Mask]]:
        """Return objects by their labels: whole where masks were compared, else as seen."""
        return {arm: [self._mask(arm, label) for label in labels[arm]] for arm in labels}

    def _mask(self, arm: Arm, label: int) -> Mask:
        if self.masks is not None:
            return self.masks[arm][label - 1]
        objects = self.comparison.objects
        (place,) = np.flatnonzero((objects["arm"] == arm) & (objects["index"] == label))
        x0, y0, x1, y1 = map(int, objects.iloc[place][list(BOX)])
        seen = np.asarray(self.labels[arm][y0:y1, x0:x1])
        return Mask(seen == label, (x0, y0, x1, y1))

    def outlined(self, labels: Mapping[Arm, Sequence[int]]) -> dict[Arm, list[Mask]] | None:
        """Return the objects of a change, as `masks_of`; None where they cannot be outlined."""
        return self.masks_of(labels)

    def label_at(self, arm: Arm, x: int, y: int) -> int:
        """Return the label that is seen at a pixel; 0 for none."""
        return int(np.asarray(self.labels[arm][y : y + 1, x : x + 1])[0, 0])

    def code_at(self, x: int, y: int) -> int:
        """Return the code of the class that is seen at a pixel; 0 for none."""
        return int(self.comparison.difference[y, x])

    def regrouped_at(self, arm: Arm, x: int, y: int) -> int:
        """Return the label of the merged, split or pinned object at a pixel, also a hidden one.

        Where there is none, that of the object seen there; 0 for none.
        """
        masks = () if self.masks is None else self.masks[arm]
        found = (
            label
            for label, mask in enumerate(masks, start=1)
            if mask.regrouped and covers(mask, x, y)
        )
        return next(found, self.label_at(arm, x, y))

    def hides(self, arm: Arm, label: int) -> bool:
        """Whether an object is covered by others, so that its layer shows none of it."""
        return not (self.labels[arm] == label).any()


@dataclass(frozen=True)
class Failure:
    """Why a request has no outcome."""

    message: str


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of the request with a number, or how far it has come."""

    number: int
    result: Outcome | Failure | Progress


def same(one: Any, other: Any) -> bool:
    """Whether two arrays or tables, or nothing, are the same."""
    if one is None or other is None:
        return one is other
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return bool(one.equals(other))


def compare(request: Request) -> Generator[Answer, None, None]:
    """Compare, and yield the one answer.

    Libraries that only plots and tables need are imported here, off the GUI thread.
    """
    import matplotlib.figure  # noqa: F401 - for the plots

    from napari_graysam.comparison import score

    try:
        labels = {arm: request.read[arm]() for arm in ARMS}
        truth = None if request.read_truth is None else request.read_truth()
        masks = _masks(request.results, labels)
        previous = request.previous
        if previous is not None and previous.is_of(labels, masks, truth, request):
            yield Answer(request.number, previous)
            return
        comparison = _compared(labels, masks, request)
        scores = None if truth is None else {arm: score(labels[arm], truth) for arm in ARMS}
    except GraysamError as error:
        yield Answer(request.number, Failure(str(error)))
        return
    outcome = Outcome(comparison, labels, masks, request.tables, truth, scores)
    yield Answer(request.number, outcome)


def _masks(results: Mapping[Arm, Written], labels: dict[Arm, Plane]) -> Masks | None:
    """Return the masks of both layers; None unless both still show what the results hold."""
    if not all(arm in results and same(labels[arm], results[arm].labels) for arm in ARMS):
        return None
    return {arm: results[arm].masks for arm in ARMS}


def _compared(labels: dict[Arm, Plane], masks: Masks | None, request: Request) -> Comparison:
    """Compare the masks where they are known, or else the label images."""
    from napari_graysam.comparison import compare_labels, compare_masks

    rules, size = request.rules, request.pixel_size
    if masks is None:
        raw, preprocessed = (labels[arm] for arm in ARMS)
        return compare_labels(raw, preprocessed, rules, request.tables, size)
    height, width = labels["raw"].shape
    return compare_masks(masks["raw"], masks["preprocessed"], (height, width), rules, size)
