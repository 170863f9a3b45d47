"""How well a label image agrees with a ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_graysam.errors import TruthError
from napari_graysam.masks import label_overlaps, match

IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True)
class Scores:
    """Agreement of predicted with true objects; 1 is perfect, 0 is none.

    Parameters
    ----------
    average_precision
        TP / (TP + FP + FN) at each of `IOU_THRESHOLDS`.
    mean_average_precision
        The mean of ``average_precision`` over the thresholds.
    precision, recall, f1
        TP / (TP + FP), TP / (TP + FN) and their harmonic mean, at IoU 0.5.
    panoptic_quality
        Sum of matched IoU / (TP + FP / 2 + FN / 2), at IoU 0.5 (Kirillov et al. 2019).
    mean_matched_iou
        Mean IoU of the pairs matched at IoU 0.5; 0 where nothing matched.
    n_true, n_predicted, n_matched
        Objects in the truth, in the prediction, and pairs matched at IoU 0.5.
    """

    average_precision: tuple[float, ...]
    mean_average_precision: float
    precision: float
    recall: float
    f1: float
    panoptic_quality: float
    mean_matched_iou: float
    n_true: int
    n_predicted: int
    n_matched: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; average precision is keyed by its IoU threshold."""
        values = asdict(self)
        values["average_precision"] = {
            f"{threshold:.2f}": value
            for threshold, value in zip(IOU_THRESHOLDS, self.average_precision, strict=True)
        }
        return values


def score(predicted: ArrayLike, truth: ArrayLike) -> Scores:
    """Score a label image against a ground truth.

    Average precision is TP / (TP + FP + FN), the convention of the 2018 Data Science Bowl,
    StarDist and Cellpose (not the area under a precision-recall curve as in COCO). A pair counts
    as true positive if its IoU is at least the threshold and each object is used once.

    Parameters
    ----------
    predicted, truth
        Label images of one shape and any integer dtype; 0 is background and every other value
        is one object.

    Returns
    -------
    Scores
        Where both images are empty every score is 1; where only one is, every score is 0.

    Raises
    ------
    TruthError
        If the shapes differ, or an image holds no integers or negative ones.

    See Also
    --------
    mean_scores : Averages several images.

    Examples
    --------
    >>> from napari_graysam import score
    >>> found = score([[1, 1, 0, 2]], [[7, 7, 0, 0]])
    >>> found.n_matched, found.precision, found.recall
    (1, 0.5, 1.0)
    """
    predicted_labels, true_labels = checked_pair(predicted, truth)
    _, _, overlaps = label_overlaps(predicted_labels, true_labels)
    n_predicted, n_true = overlaps.areas_a.size, overlaps.areas_b.size
    # Labels do not overlap, so above 0.5 a partner is unique: one matching serves every threshold.
    iou = overlaps.iou[match(overlaps, IOU_THRESHOLDS[0])]
    return scores_of(iou, n_predicted, n_true)


def checked_pair(
    predicted: ArrayLike, truth: ArrayLike
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return two label images as arrays if they can be compared; errors as of `score`."""
    predicted_labels = _labels(predicted, "predicted labels")
    true_labels = _labels(truth, "ground truth")
    if predicted_labels.shape != true_labels.shape:
        raise TruthError(
            f"The predicted labels have shape {predicted_labels.shape}, the ground truth has "
            f"{true_labels.shape}. Give the ground truth of this image, uncropped and unscaled."
        )
    return predicted_labels, true_labels


def _labels(image: ArrayLike, name: str) -> NDArray[np.integer]:
    """Return the image as an array of labels or say why it is none."""
    labels = np.asarray(image)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TruthError(
            f"The {name} have dtype {labels.dtype}, expected integers: a label image in which "
            "0 is background and every object has its own number. Label a binary mask first "
            "(for example with skimage.measure.label)."
        )
    if np.issubdtype(labels.dtype, np.signedinteger) and labels.size and labels.min() < 0:
        raise TruthError(
            f"The {name} hold the negative value {labels.min()}; labels are 0 for background "
            "and positive for objects. Set ignored regions to 0."
        )
    return labels


def scores_of(iou: NDArray[np.float64], n_predicted: int, n_true: int) -> Scores:
    """Return the scores of pairs matched at IoU 0.5, float (M,), of so many objects.

    See Also
    --------
    score : Matches two label images.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.comparison.metrics import scores_of
    >>> scores_of(np.array([0.9]), 2, 1).precision
    0.5
    """
    empty = float(n_predicted == n_true == 0)

    def ratio(part: float, whole: float) -> float:
        return float(part / whole) if whole else empty

    hits = [int(np.count_nonzero(iou >= threshold)) for threshold in IOU_THRESHOLDS]
    matched = hits[0]
    objects = n_predicted + n_true
    average_precision = tuple(ratio(hit, objects - hit) for hit in hits)
    return Scores(
        average_precision=average_precision,
        mean_average_precision=float(np.mean(average_precision)),
        precision=ratio(matched, n_predicted),
        recall=ratio(matched, n_true),
        f1=ratio(2 * matched, objects),
        panoptic_quality=ratio(2 * float(iou.sum()), objects),
        mean_matched_iou=ratio(float(iou.sum()), matched),
        n_true=n_true,
        n_predicted=n_predicted,
        n_matched=matched,
    )


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Average the scores of several images, each image counting the same; counts are summed.

    Raises
    ------
    TruthError
        If there is no image.

    See Also
    --------
    score : Scores one image.

    Examples
    --------
    >>> from napari_graysam.comparison import mean_scores, score
    >>> mean_scores([score([[1, 0]], [[1, 0]]), score([[1, 0]], [[0, 1]])]).f1
    0.5
    """
    if not scores:
        raise TruthError("No scores to average: give at least one image with its ground truth.")

    def mean(name: str) -> float:
        return float(np.mean([getattr(one, name) for one in scores]))

    return Scores(
        average_precision=tuple(
            float(value) for value in np.mean([one.average_precision for one in scores], axis=0)
        ),
        mean_average_precision=mean("mean_average_precision"),
        precision=mean("precision"),
        recall=mean("recall"),
        f1=mean("f1"),
        panoptic_quality=mean("panoptic_quality"),
        mean_matched_iou=mean("mean_matched_iou"),
        n_true=sum(one.n_true for one in scores),
        n_predicted=sum(one.n_predicted for one in scores),
        n_matched=sum(one.n_matched for one in scores),
    )
