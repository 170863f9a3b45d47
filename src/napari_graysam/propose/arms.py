"""Candidates of the raw and the preprocessed image, side by side in one list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_graysam.masks import ARMS
from napari_graysam.propose.proposals import Proposals
from napari_graysam.propose.rescoring import rescore
from napari_graysam.recipe import GeneratorOptions


def join_arms(raw: Proposals, preprocessed: Proposals, generator: GeneratorOptions) -> Proposals:
    """Join the candidates of both arms of one image.

    Parameters
    ----------
    raw, preprocessed
        Of the same image size, model and points.
    generator
        With which both were made; thresholds of an earlier run do not matter.

    Returns
    -------
    Proposals
        The raw arm's candidates first. The record's ``arms`` counts those of each. Crops keep
        their numbers: those of the same place in both arms are one crop.

    Raises
    ------
    ProposalsError
        If they are of different images or models.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, run
    >>> from napari_graysam.pipeline import propose
    >>> from napari_graysam.propose.arms import candidate_arms, join_arms
    >>> recipe = Recipe().with_values({"generator.points_per_side": 2})
    >>> views = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 9, np.uint8)
    >>> raw, preprocessed = (run(propose(view, recipe)) for view in views)
    >>> joined = join_arms(raw, preprocessed, recipe.generator)
    >>> np.bincount(candidate_arms(joined), minlength=2).tolist() == [len(raw), len(preprocessed)]
    True
    """
    asked = generator.model_dump(mode="json")
    parts = []
    for one in (raw, preprocessed):
        scored = rescore(one, generator)
        parts.append(replace(scored, record={**scored.record, "generator": asked}))
    joined = Proposals.concat(parts)
    record = {
        **joined.record,
        "points": sum(one.record.get("points", 0) for one in parts),
        "arms": {arm: len(one) for arm, one in zip(ARMS, parts, strict=True)},
    }
    return replace(joined, record=record)


def candidate_arms(proposals: Proposals) -> npt.NDArray[np.intp] | None:
    """Return each candidate's place in `ARMS`, intp (N,); None where all are of one arm."""
    counts = proposals.record.get("arms")
    if counts is None:
        return None
    return np.repeat(np.arange(len(ARMS)), [counts[arm] for arm in ARMS])
