"""How well a label volume or a labelled time series agrees with a ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_graysam.comparison.metrics import Scores, checked_pair, mean_scores, scores_of
from napari_graysam.errors import TruthError
from napari_graysam.masks import Overlaps, OverlapSum, match

Pair = tuple[NDArray[np.integer], NDArray[np.integer]]


@dataclass(frozen=True)
class VolumeScores:
    """Agreement of predicted with true objects of a stack.

    Parameters
    ----------
    volume
        Of whole objects: an object is all voxels with its number, and IoU is of these.
    planes
        Of the sections in each plane by itself, whatever their numbers.
    """

    volume: Scores
    planes: tuple[Scores, ...]

    @property
    def plane_mean(self) -> Scores:
        """The scores of the planes, averaged."""
        return mean_scores(self.planes)

    def to_dict(self) -> dict[str, Any]:
        """Return the scores of the volume as plain values, with those of the planes' mean."""
        about = {"n_planes": len(self.planes), "plane_mean": self.plane_mean.to_dict()}
        return self.volume.to_dict() | about


def score_volume(predicted: Iterable[ArrayLike], truth: Iterable[ArrayLike]) -> VolumeScores:
    """Score a label volume or a labelled time series against a ground truth.

    The measures are those of `score`, with the IoU of whole objects, so that a number that changes
    from plane to plane costs as much as an outline that is wrong. Planes are read one at a time;
    memory grows with the number of objects.

    Parameters
    ----------
    predicted, truth
        The planes of each, label images (H, W) of any integer dtype: an array (P, H, W), or
        anything that yields plane by plane. 0 is background.

    Returns
    -------
    VolumeScores
        Of the volume and of each plane.

    Raises
    ------
    TruthError
        If the numbers of planes or their shapes differ, there is none, or a plane holds no
        integers or negative ones.

    See Also
    --------
    score : One label image.
    score_tracks : What the Cell Tracking Challenge measures.

    Examples
    --------
    >>> from napari_graysam.comparison import score_volume
    >>> truth = [[[1, 1, 0]], [[1, 1, 0]]]
    >>> scores = score_volume([[[1, 1, 0]], [[2, 2, 0]]], truth)
    >>> scores.plane_mean.average_precision[0], scores.volume.average_precision[0]
    (1.0, 0.5)
    """
    whole, planes = OverlapSum(), []
    for found, true in plane_pairs(predicted, truth):
        planes.append(_scores(whole.add(found, true)[2]))
    return VolumeScores(_scores(whole.total()[2]), tuple(planes))


def plane_pairs(predicted: Iterable[ArrayLike], truth: Iterable[ArrayLike]) -> Iterator[Pair]:
    """Yield the planes of a stack with those of its ground truth.

    Raises
    ------
    TruthError
        If one has more planes than the other, there is none, or two do not fit together.
    """
    number = -1
    for number, (found, true) in enumerate(zip_longest(predicted, truth)):
        if found is None or true is None:
            more, less = ("prediction", "ground truth")[:: 1 if true is None else -1]
            raise TruthError(
                f"The {more} has more planes than the {less}, which ends after {number}. Give the "
                "ground truth of this stack, with all its planes."
            )
        try:
            yield checked_pair(found, true)
        except TruthError as error:
            raise TruthError(f"Plane {number}: {error}") from None
    if number < 0:
        raise TruthError("There are no planes to score.")


def _scores(overlaps: Overlaps) -> Scores:
    iou = overlaps.iou[match(overlaps, 0.5)]
    return scores_of(iou, overlaps.areas_a.size, overlaps.areas_b.size)
