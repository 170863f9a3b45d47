"""What a result of both arms says about itself."""

from __future__ import annotations

from collections import Counter

from napari_graysam.masks import ARMS
from napari_graysam.recipe import BothArms
from napari_graysam.select.selection import Selection


def arms_notes(selection: Selection, both: BothArms) -> tuple[str, ...]:
    """Say how many objects come from which arm, and which thresholds counted.

    Parameters
    ----------
    selection
        Of candidates of both arms, or of the raw arm alone where nothing is preprocessed.
    both
        How they became one selection.
    """
    name = "consensus" if both.consensus else "union"
    if len(selection.limits) == 1:
        return (
            f"arms: {name} of both arms is asked for, but the recipe preprocesses nothing: the "
            "raw arm alone is the result",
        )
    counts = Counter(mask.source for mask in selection.masks)
    objects = " and ".join(f"{counts[arm]} objects from the {arm} arm" for arm in ARMS)
    raw, preprocessed = selection.limits
    text = f"arms: {name}, {objects}"
    if both.matched:
        text += (
            f"; predicted IoU above {raw:.3g} in the raw arm, above {preprocessed:.3g} in the "
            "preprocessed arm, where it keeps as many candidates"
        )
    return (text,)
