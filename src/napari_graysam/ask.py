"""Fragments asked for together: the model says whether neighbours are one object."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from napari_graysam.masks import Box, Mask
from napari_graysam.masks.regions import innermost
from napari_graysam.progress import Progress, renamed
from napari_graysam.recipe import Prompt

if TYPE_CHECKING:
    from napari_graysam.prompt import Predictor
    from napari_graysam.select.regrouping.asked import Answers

STAGE = "ask"


def ask_together(
    pairs: Sequence[tuple[Mask, Mask]], predictor: Predictor
) -> Generator[Progress, None, Answers]:
    """Ask for each pair with a point in both, yielding `Progress`; closing cancels.

    Parameters
    ----------
    pairs
        Neighbouring masks.
    predictor
        Of the view in which they were found.

    Returns
    -------
    Answers
        As the model drew them; whether one shows two masks as one object is judged where they
        are merged.

    Notes
    -----
    Masks of the same crop are asked for there, others in the whole image.
    """
    from napari_graysam.select.regrouping.asked import answered

    height, width = predictor.view.shape[:2]
    asked: dict[Box, list[tuple[Mask, Mask]]] = {}
    for one, other in pairs:
        # A mask without candidates comes from a window that the generator has no crop for.
        together = one.crop_box == other.crop_box and one.candidates and other.candidates
        box = one.crop_box if together else (0, 0, width, height)
        asked.setdefault(box, []).append((one, other))
    answers = answered([], [])
    for box, of_crop in asked.items():
        prompts = [Prompt(positive=(innermost(one), innermost(two))) for one, two in of_crop]
        found = yield from renamed(predictor.ask_each(prompts, box), STAGE)
        answers |= answered(of_crop, found)
    return answers
