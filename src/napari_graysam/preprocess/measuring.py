"""What steps take from a whole image: of an array in memory, or added up block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_graysam.preprocess.base import Fitted, Image

DROPPED_BITS = 8
"""Last bits of a float32 that a bin leaves open: values in it differ by less than 2**-15."""
LARGEST = np.float32(64)
"""Larger values than any step measures count as this one."""

Values: TypeAlias = "Callable[[Image, Fitted | None], NDArray[Any]]"
"""Takes pixels, of a whole image (None) or at a tile's place; gives a value for each."""
Survey: TypeAlias = "Generator[Sequence[Values], Sequence[Measured], Sequence[float]]"
"""Asks for values of all pixels, one round after the other, and returns a step's statistics."""


class Measured(ABC):
    """Values of all pixels of an image: non-negative float32, or whole numbers up to 65535."""

    @abstractmethod
    def percentile(self, percent: float) -> float:
        """Return a percentile, interpolated linearly as `numpy.percentile` does."""

    @abstractmethod
    def min(self) -> float:
        """Return the smallest value."""

    @abstractmethod
    def max(self) -> float:
        """Return the largest value."""

    @abstractmethod
    def mean(self) -> float:
        """Return the mean."""

    @abstractmethod
    def counts(self) -> NDArray[np.int64]:
        """Return how often each whole number from 0 to 65535 occurs."""


class Whole(Measured):
    """Values that are in memory."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values

    def percentile(self, percent: float) -> float:
        """Return a percentile."""
        return float(np.percentile(self._values, percent))

    def min(self) -> float:
        """Return the smallest value."""
        return float(self._values.min())

    def max(self) -> float:
        """Return the largest value."""
        return float(self._values.max())

    def mean(self) -> float:
        """Return the mean."""
        return float(self._values.mean(dtype=np.float64))

    def counts(self) -> NDArray[np.int64]:
        """Return how often each whole number occurs."""
        return np.bincount(self._values.ravel(), minlength=2**16).astype(np.int64)


class Tally(Measured):
    """Values that come block by block and are not kept.

    Percentiles are exact to one part in 30,000; those of values that are equal are exact.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.preprocess.measuring import Tally
    >>> tally = Tally()
    >>> for block in np.split(np.linspace(0, 1, 1000, dtype=np.float32), 10):
    ...     tally.add(block)
    >>> round(tally.percentile(25), 4), tally.max()
    (0.25, 1.0)
    """

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self._sums: NDArray[np.float64] = np.zeros(0)
        self._least, self._most, self._total = np.inf, -np.inf, 0.0
        self._of_integers = False

    def add(self, values: NDArray[Any]) -> None:
        """Count values, of any shape, at least one."""
        self._least = min(self._least, float(values.min()))
        self._most = max(self._most, float(values.max()))
        self._total += float(values.sum(dtype=np.float64))
        self._of_integers = values.dtype.kind == "u"
        if self._of_integers:
            self._add(np.bincount(values.ravel(), minlength=2**16), np.zeros(0))
            return
        # The bits of a non-negative float, read as a number, are in the order of the floats.
        positive = np.minimum(values.ravel().astype(np.float32) + np.float32(0), LARGEST)
        bins = positive.view(np.uint32) >> DROPPED_BITS
        sums = np.bincount(bins, weights=positive).astype(np.float64)
        self._add(np.bincount(bins), sums)

    def _add(self, counts: NDArray[np.int64], sums: NDArray[np.float64]) -> None:
        if counts.size > self._counts.size:
            self._counts.resize(counts.size, refcheck=False)
            self._sums.resize(sums.size, refcheck=False)
        self._counts[: counts.size] += counts
        self._sums[: sums.size] += sums

    def percentile(self, percent: float) -> float:
        """Return a percentile."""
        below = np.cumsum(self._counts)
        rank = percent / 100 * (int(below[-1]) - 1)
        first = int(rank)
        low, high = np.searchsorted(below, [first, min(first + 1, int(below[-1]) - 1)], "right")
        one, other = (float(self._sums[at] / self._counts[at]) for at in (low, high))
        return one + (rank - first) * (other - one)

    def min(self) -> float:
        """Return the smallest value."""
        return self._least

    def max(self) -> float:
        """Return the largest value."""
        return self._most

    def mean(self) -> float:
        """Return the mean."""
        return self._total / int(self._counts.sum())

    def counts(self) -> NDArray[np.int64]:
        """Return how often each whole number occurs."""
        assert self._of_integers
        return self._counts


class Block(NamedTuple):
    """A block of an image with the halo that a step needs around it."""

    pixels: Image
    place: Fitted
    inside: tuple[slice, slice]


def answer(
    survey: Survey, measure: Callable[[Sequence[Values]], Sequence[Measured]]
) -> list[float]:
    """Run a survey: answer every round that it asks for, and return the statistics."""
    try:
        asked = next(survey)
        while True:
            asked = survey.send(measure(asked))
    except StopIteration as stop:
        return [float(number) for number in stop.value]


def of_image(image: Image) -> Callable[[Sequence[Values]], Sequence[Measured]]:
    """Measure a whole image in memory."""
    return lambda asked: [Whole(values(image, None)) for values in asked]


def of_blocks(
    blocks: Callable[[], Iterable[Block]],
) -> Callable[[Sequence[Values]], Sequence[Measured]]:
    """Measure an image block by block; ``blocks`` begins anew with every call."""

    def measure(asked: Sequence[Values]) -> Sequence[Measured]:
        tallies = [Tally() for _ in asked]
        for block in blocks():
            for values, tally in zip(asked, tallies, strict=True):
                tally.add(values(block.pixels, block.place)[block.inside])
        return tallies

    return measure
