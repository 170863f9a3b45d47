"""What is computed in the background: the comparison, and scores against a ground truth."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.comparison import ARMS, Arm, Comparison, Rules, Scores
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    import pandas as pd

    Tables = tuple[pd.DataFrame | None, pd.DataFrame | None]

Plane = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Request:
    """Two label images to compare, and how.

    Attributes
    ----------
    number
        Counts the requests: an outcome with another number than the latest is out of date.
    read
        Reads each arm's label image (H, W); called in the background.
    tables
        Each arm's table of objects, from which scores are taken.
    rules
        The thresholds.
    read_truth
        Reads the ground truth, if there is one.
    previous
        What is shown; it comes back as it is if nothing has changed since.
    """

    number: int
    read: dict[Arm, Callable[[], Plane]]
    tables: Tables
    rules: Rules
    read_truth: Callable[[], Plane] | None = None
    previous: Outcome | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A comparison, what it was made of, and scores against the ground truth."""

    comparison: Comparison
    labels: dict[Arm, Plane]
    tables: Tables
    truth: Plane | None
    scores: dict[Arm, Scores] | None

    def is_of(self, labels: dict[Arm, Plane], truth: Plane | None, request: Request) -> bool:
        """Whether the same labels, tables, rules and truth would give this again."""
        planes = zip((*labels.values(), truth), (*self.labels.values(), self.truth), strict=True)
        return (
            request.rules == self.comparison.rules
            and all(
                _same(one, other) for one, other in zip(request.tables, self.tables, strict=True)
            )
            and all(_same(one, other) for one, other in planes)
        )


@dataclass(frozen=True)
class Failure:
    """Why a request has no outcome."""

    message: str


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of the request with a number."""

    number: int
    result: Outcome | Failure


def _same(one: Any, other: Any) -> bool:
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
    from napari_graysam.comparison import compare_labels, draw_areas, score

    assert callable(draw_areas)
    try:
        labels = {arm: request.read[arm]() for arm in ARMS}
        truth = None if request.read_truth is None else request.read_truth()
        if request.previous is not None and request.previous.is_of(labels, truth, request):
            yield Answer(request.number, request.previous)
            return
        arms = labels["raw"], labels["preprocessed"]
        comparison = compare_labels(*arms, request.rules, request.tables)
        scores = None if truth is None else {arm: score(labels[arm], truth) for arm in ARMS}
    except GraysamError as error:
        yield Answer(request.number, Failure(str(error)))
        return
    yield Answer(request.number, Outcome(comparison, labels, request.tables, truth, scores))
