"""Candidates measured again, at another cut of their masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from napari_graysam.errors import ProposalsError
from napari_graysam.propose.proposals import Proposals
from napari_graysam.propose.statistics import measure
from napari_graysam.recipe import GeneratorOptions


def rescore(proposals: Proposals, generator: GeneratorOptions) -> Proposals:
    """Measure stability, area and box again, for another threshold or offset.

    Parameters
    ----------
    proposals
        Made with a stability floor of 0, unless nothing changes.
    generator
        Uses ``mask_threshold`` and ``stability_score_offset``.

    Returns
    -------
    Proposals
        The same object if both are what it was made with.

    Raises
    ------
    ProposalsError
        If candidates were already dropped by their stability under the old values.
    """
    changed = {
        "mask_threshold": generator.mask_threshold,
        "stability_score_offset": generator.stability_score_offset,
    }
    made_with = proposals.record["generator"]
    if all(made_with[name] == value for name, value in changed.items()):
        return proposals
    if proposals.record["stability_floor"] > 0:
        raise ProposalsError(
            "these proposals hold only masks with a stability of at least "
            f"{proposals.record['stability_floor']} at mask_threshold "
            f"{made_with['mask_threshold']} and stability_score_offset "
            f"{made_with['stability_score_offset']}; to change those, propose with "
            "stability_floor=0"
        )
    if not proposals.holds(generator):
        raise ProposalsError(
            "these proposals are compact and hold no logits low enough for mask_threshold "
            f"{generator.mask_threshold} with stability_score_offset "
            f"{generator.stability_score_offset}: run the model again"
        )
    return remeasure(proposals, **changed)


def remeasure(
    proposals: Proposals, mask_threshold: float, stability_score_offset: float
) -> Proposals:
    """Measure stability, area and box of all candidates, whatever was known of them."""
    scores = np.empty_like(proposals.stability)
    area = np.empty_like(proposals.area)
    box = np.empty_like(proposals.box)
    for some in _few(proposals.crop):
        x0, y0, x1, y1 = proposals.crop_box[some][0].tolist()
        found = measure(
            torch.tensor(proposals.logits[some], device=proposals.device),
            (y1 - y0, x1 - x0),
            group=proposals.record["masks_together"],
            mask_threshold=mask_threshold,
            offset=stability_score_offset,
        )
        scores[some], area[some] = found.stability, found.area
        box[some] = found.box + np.array([x0, y0, x0, y0], np.int32)
    generator = {
        **proposals.record["generator"],
        "mask_threshold": mask_threshold,
        "stability_score_offset": stability_score_offset,
    }
    record = {**proposals.record, "generator": generator}
    return replace(proposals, stability=scores, area=area, box=box, record=record)


def _few(crop: npt.NDArray[np.int32], at_once: int = 96) -> Iterator[slice]:
    """Split candidates into runs of one crop that fit a device's memory."""
    ends = [*np.flatnonzero(np.diff(crop) != 0) + 1, len(crop)]
    start = 0
    for end in ends:
        for first in range(start, end, at_once):
            yield slice(first, min(first + at_once, end))
        start = end
