"""Where the points of a run come from: the full grid, some of it, or points of the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_graysam.errors import ProposalsError
from napari_graysam.propose.adaptive import Search
from napari_graysam.propose.candidates import Candidates
from napari_graysam.propose.grid import Crop, crops, inside
from napari_graysam.recipe import GeneratorOptions

Rounds: TypeAlias = Generator[npt.NDArray[np.intp], Sequence[Candidates], None]
"""Yields numbers of a crop's points to ask, ascending, and is sent their candidates."""
Features: TypeAlias = Callable[[], npt.NDArray[np.float32]]
"""Gives the encoder's features at a crop's points, (P, C)."""


class PointSource(Protocol):
    """Chooses the points of a run."""

    @property
    def name(self) -> str:
        """What proposals remember of it."""

    @property
    def place(self) -> str | None:
        """Names what decides the points besides view, options and region; None: no cache."""

    def crops(
        self,
        image_size: tuple[int, int],
        options: GeneratorOptions,
        region: npt.NDArray[np.bool_] | None,
    ) -> list[Crop]:
        """Return the crops to encode, each with all points that may be asked in it."""

    def rounds(self, crop: Crop, features: Features, options: GeneratorOptions) -> Rounds:
        """Choose the points of a crop, round after round."""


class FullGrid:
    """Every point of the grid that the options describe."""

    name = "full grid"
    place: str | None = ""

    def crops(
        self,
        image_size: tuple[int, int],
        options: GeneratorOptions,
        region: npt.NDArray[np.bool_] | None,
    ) -> list[Crop]:
        """Return the crops that hold at least one point."""
        return crops(image_size, options, region)

    def rounds(self, crop: Crop, features: Features, options: GeneratorOptions) -> Rounds:
        """Choose all points at once."""
        yield np.arange(len(crop.points))


class AdaptiveGrid(FullGrid):
    """Those points of a regular grid that `Search` expects to be answered with new masks."""

    name = "adaptive grid"

    def rounds(self, crop: Crop, features: Features, options: GeneratorOptions) -> Rounds:
        """Choose from the answers so far; all points where they form no regular grid."""
        if crop.place is None:
            yield from super().rounds(crop, features, options)
            return
        search = Search(crop.place, features(), options.pred_iou_thresh)
        while len(asked := search.next()):
            answers = yield asked
            _learn(search, answers, crop, options)


class ExplicitPoints:
    """Points of the caller's own, asked in the whole image.

    Parameters
    ----------
    points
        float (P, 2), ``(x, y)`` in pixels of the image.

    Raises
    ------
    ProposalsError
        If it is another array.
    """

    name = "explicit points"
    place: str | None = None

    def __init__(self, points: npt.ArrayLike) -> None:
        self.points = np.asarray(points, np.float64)
        if self.points.ndim != 2 or self.points.shape[1] != 2 or not len(self.points):
            raise ProposalsError(
                f"points of shape {self.points.shape}: expected (P, 2), x and y of at least one"
            )

    def crops(
        self,
        image_size: tuple[int, int],
        options: GeneratorOptions,
        region: npt.NDArray[np.bool_] | None,
    ) -> list[Crop]:
        """Return the whole image with those points that lie in the region."""
        chosen = self.points if region is None else self.points[inside(self.points, region)]
        height, width = image_size
        return [Crop(0, (0, 0, width, height), chosen)] if len(chosen) else []

    def rounds(self, crop: Crop, features: Features, options: GeneratorOptions) -> Rounds:
        """Choose all points at once."""
        yield np.arange(len(crop.points))


def source_of(options: GeneratorOptions) -> PointSource:
    """Return the grid that the options ask for."""
    return AdaptiveGrid() if options.grid == "adaptive" else FullGrid()


def _learn(
    search: Search, answers: Sequence[Candidates], crop: Crop, options: GeneratorOptions
) -> None:
    """Tell the search about a round: each point's best predicted IoU, and what masks cover."""
    height, width = crop.size
    numbers, scores, covers = [], [], []
    for some in answers:
        sure = some.stability >= options.stability_score_thresh
        if options.pred_iou_thresh > 0:
            sure &= some.predicted_iou > options.pred_iou_thresh
        shape = np.array(some.logits.shape[:0:-1])
        column, row = (crop.points / [width, height] * shape).astype(int).T
        numbers.append(some.number[sure])
        scores.append(some.predicted_iou[sure])
        covers.append(some.logits[sure][:, row, column] > options.mask_threshold)
    search.learn(
        np.concatenate([some.asked for some in answers]),
        np.concatenate([some.best_iou for some in answers]),
        np.concatenate(numbers),
        np.concatenate(scores),
        np.concatenate(covers),
    )
