"""Masks that a recipe pins by point, crop and number: which candidates they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_graysam.errors import ProposalsError
from napari_graysam.masks import ARMS
from napari_graysam.propose import Proposals
from napari_graysam.propose.arms import candidate_arms
from napari_graysam.recipe import PinnedMask

# Points are stored in float32 and written to recipes in decimals.
_POINT_TOLERANCE = 0.01


def pinned_mask(proposals: Proposals, candidate: int) -> PinnedMask:
    """Return the entry of ``labels.keep`` that pins a candidate.

    Raises
    ------
    ProposalsError
        If the proposals were made with floors, which leaves the masks of a point uncounted.
    """
    _check_complete(proposals)
    x, y = proposals.point[candidate].tolist()
    arms = candidate_arms(proposals)
    return PinnedMask(
        point=(round(x, 3), round(y, 3)),
        crop=int(proposals.crop[candidate]),
        mask=int(_mask_numbers(proposals)[candidate]),
        arm=None if arms is None else ARMS[arms[candidate]],
    )


def is_pinned(proposals: Proposals, keep: Sequence[PinnedMask]) -> npt.NDArray[np.bool_]:
    """Tell which candidates a recipe pins; entries that name none are skipped.

    Parameters
    ----------
    proposals
        All candidates of an image, made with floors of 0.
    keep
        The recipe's ``labels.keep``.

    Returns
    -------
    bool (N,).

    Raises
    ------
    ProposalsError
        If there is an entry and the proposals were made with floors.
    """
    pinned = np.zeros(len(proposals), bool)
    found = _candidates(proposals, keep)
    pinned[[candidate for candidate in found if candidate is not None]] = True
    return pinned


def missing_pinned(proposals: Proposals, keep: Sequence[PinnedMask]) -> tuple[PinnedMask, ...]:
    """List the entries of ``labels.keep`` that name no candidate: of other points or crops."""
    found = _candidates(proposals, keep)
    return tuple(entry for entry, candidate in zip(keep, found, strict=True) if candidate is None)


def _candidates(proposals: Proposals, keep: Sequence[PinnedMask]) -> list[int | None]:
    """Return the candidate that each entry names."""
    if not keep:
        return []
    _check_complete(proposals)
    numbers, arms = _mask_numbers(proposals), candidate_arms(proposals)
    found: list[int | None] = []
    for entry in keep:
        near = np.abs(proposals.point - np.array(entry.point)).max(axis=1) < _POINT_TOLERANCE
        if arms is not None:
            near &= arms == ARMS.index(entry.arm or "preprocessed")
        same = np.flatnonzero(near & (proposals.crop == entry.crop) & (numbers == entry.mask))
        found.append(int(same[0]) if same.size else None)
    return found


def _check_complete(proposals: Proposals) -> None:
    """Refuse proposals in which masks of a point are missing."""
    if proposals.record["iou_floor"] > 0 or proposals.record["stability_floor"] > 0:
        raise ProposalsError(
            "pinned masks are found only where every candidate was stored, but these proposals "
            f"hold only what passed a predicted IoU of {proposals.record['iou_floor']} and a "
            f"stability of {proposals.record['stability_floor']}: run the model again with "
            "floors of 0, or empty labels.keep"
        )


def _mask_numbers(proposals: Proposals) -> npt.NDArray[np.intp]:
    """Count each candidate among the masks of its point, intp (N,) from 0."""
    arms = candidate_arms(proposals)
    arm = np.zeros(len(proposals)) if arms is None else arms
    places = np.column_stack([arm, proposals.crop, proposals.point])
    first = np.ones(len(places), bool)
    first[1:] = (places[1:] != places[:-1]).any(axis=1)
    index = np.arange(len(places))
    numbers: npt.NDArray[np.intp] = index - np.maximum.accumulate(np.where(first, index, 0))
    return numbers
