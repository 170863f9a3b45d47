"""Refinement: each object is asked for once more, with its box and points on its neighbours.

A box says where an object ends and points on its neighbours what it is not: together they draw
a better outline than the single point that found it. Such prompts, after a first pass with
points, are the authors' own way to prompt SAM (Kirillov et al. 2023, section 5).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_graysam.masks import Box, Mask, mask_iou, shared_pixels
from napari_graysam.masks.regions import innermost
from napari_graysam.progress import Progress, renamed
from napari_graysam.recipe import LabelOptions, Prompt

if TYPE_CHECKING:
    from napari_graysam.prompt import Predictor

STAGE = "refine"
SAME = 0.7
"""Least IoU of an object before and after."""
TAKEN = 0.05
"""Most of its area that a redrawn object may take from another one, beyond what it had."""
SURE = 0.75
"""Quantile of the predicted IoU above which objects are left as they are: they gain nothing."""
NEIGHBOURS = 4
_NEAR = 4
"""Pixels between boxes up to which objects are neighbours."""
_ANOTHER = 0.5
"""Share of the smaller of two masks above which they are no neighbours, but nested."""


@dataclass(frozen=True)
class Refinement:
    """Redrawn masks.

    Attributes
    ----------
    masks
        By the candidates that the mask was made of.
    asked
        Number of objects asked for once more.
    """

    masks: Mapping[tuple[int, ...], Mask] = field(default_factory=dict)
    asked: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, in sentences."""
        if not self.asked:
            return ()
        return (f"refinement: {len(self.masks)} of {self.asked} objects drawn anew",)


def refine(
    masks: Sequence[Mask], predictor: Predictor, labels: LabelOptions
) -> Generator[Progress, None, Refinement]:
    """Ask for each object once more, yielding `Progress`; closing the generator cancels.

    Parameters
    ----------
    masks
        What was selected. Pinned masks are left as they are.
    predictor
        Of the view in which they were found.
    labels
        Uses ``min_area`` and ``max_area``: an object that would leave them is not redrawn.

    Returns
    -------
    Refinement

    Notes
    -----
    The surest quarter of the objects is not asked for (`SURE`): on nine kinds of images it had
    4 % of what refinement gained. An answer is taken if it is the same object (`SAME`), the model
    thinks no less of it, and it takes next to nothing from others (`TAKEN`). Objects of a crop are
    asked for in that crop.
    """
    around = _Neighbours(masks)
    sure = np.quantile([mask.predicted_iou for mask in masks], SURE) if masks else 1.0
    prompts: dict[Box, list[tuple[int, Prompt]]] = {}
    for index, mask in enumerate(masks):
        if mask.candidates and not mask.pinned and mask.area and mask.predicted_iou <= sure:
            prompt = Prompt(
                box=mask.box, positive=(mask.point,), negative=around.places(index)[:NEIGHBOURS]
            )
            prompts.setdefault(mask.crop_box, []).append((index, prompt))
    redrawn: dict[tuple[int, ...], Mask] = {}
    for box, asked in prompts.items():
        steps = predictor.ask_each([prompt for _, prompt in asked], box)
        answers = yield from renamed(steps, STAGE)
        for (index, _), answer in zip(asked, answers, strict=True):
            if answer is not None and _accepted(answer, index, around, labels):
                mask = masks[index]
                redrawn[mask.candidates] = mask.replace(
                    bits=answer.bits,
                    box=answer.box,
                    predicted_iou=answer.predicted_iou,
                    stability=answer.stability,
                )
    return Refinement(redrawn, sum(len(asked) for asked in prompts.values()))


class _Neighbours:
    """Which masks lie beside or across each other."""

    def __init__(self, masks: Sequence[Mask]) -> None:
        self.masks = masks
        self._boxes = np.array([mask.box for mask in masks], np.int64).reshape(-1, 4)
        self._inside = np.array([innermost(mask) for mask in masks]).reshape(-1, 2)

    def near(self, box: Box, margin: int = 0) -> list[int]:
        """Return the masks whose boxes are no farther than a margin from a box."""
        x0, y0, x1, y1 = box
        a, b, c, d = self._boxes.T
        gap = np.max([a - x1, x0 - c, b - y1, y0 - d], axis=0)
        return np.flatnonzero(gap <= margin).tolist()

    def places(self, index: int) -> tuple[tuple[float, float], ...]:
        """Return a place within each neighbour of a mask, in its crop, the nearest first."""
        mask = self.masks[index]
        left, top, right, bottom = mask.crop_box
        found = []
        for number in self.near(mask.box, _NEAR):
            other, (x, y) = self.masks[number], self._inside[number]
            nested = shared_pixels(mask, other) >= _ANOTHER * min(mask.area, other.area)
            if number != index and not nested and left <= x < right and top <= y < bottom:
                distance = float(np.hypot(*(self._inside[number] - self._inside[index])))
                found.append((distance, (float(x), float(y))))
        return tuple(place for _, place in sorted(found))


def _accepted(answer: Mask, index: int, around: _Neighbours, labels: LabelOptions) -> bool:
    """Tell whether an answer is the same object, no less sure, and takes nothing from others."""
    mask = around.masks[index]
    if answer.predicted_iou < mask.predicted_iou or mask_iou(answer, mask) < SAME:
        return False
    if answer.area < labels.min_area or answer.area > (labels.max_area or np.inf):
        return False
    others = (around.masks[number] for number in around.near(answer.box) if number != index)
    return all(
        shared_pixels(answer, other) - shared_pixels(mask, other)
        <= TAKEN * min(answer.area, other.area)
        for other in others
    )
