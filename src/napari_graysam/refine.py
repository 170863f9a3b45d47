"""Refinement: each object is asked for once more, with its box and points on its neighbours.

A box says where an object ends and points on its neighbours what it is not: together they draw
a better outline than the single point that found it. Such prompts, after a first pass with
points, are the authors' own way to prompt SAM (Kirillov et al. 2023, section 5).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_graysam.masks import Box, Mask, mask_iou, shared_pixels
from napari_graysam.progress import Progress, renamed
from napari_graysam.recipe import LabelOptions, Prompt

if TYPE_CHECKING:
    from napari_graysam.prompt import Predictor

STAGE = "refine"
SAME = 0.7
"""Least IoU of an object before and after."""
TAKEN = 0.05
"""Most of its area that a redrawn object may take from another one, beyond what it had."""
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

    def of(self, masks: Iterable[Mask]) -> tuple[Mask, ...]:
        """Return masks, those that are redrawn in their new outline."""
        return tuple(self.masks.get(mask.candidates, mask) for mask in masks)


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
    An answer is taken if it is the same object (`SAME`), the model thinks no less of it, and it
    takes next to nothing from others (`TAKEN`). Objects of a crop are asked for in that crop.
    """
    places = [_inside(mask) for mask in masks]
    prompts: dict[Box, list[tuple[int, Prompt]]] = {}
    for index, mask in enumerate(masks):
        if mask.candidates and not mask.pinned and mask.area:
            prompt = _prompt(index, masks, places)
            prompts.setdefault(mask.crop_box, []).append((index, prompt))
    redrawn: dict[tuple[int, ...], Mask] = {}
    for box, asked in prompts.items():
        steps = predictor.ask_each([prompt for _, prompt in asked], box)
        answers = yield from renamed(steps, STAGE)
        for (index, _), answer in zip(asked, answers, strict=True):
            if answer is not None and _accepted(answer, index, masks, labels):
                mask = masks[index]
                redrawn[mask.candidates] = mask.replace(
                    bits=answer.bits,
                    box=answer.box,
                    predicted_iou=answer.predicted_iou,
                    stability=answer.stability,
                )
    return Refinement(redrawn, sum(len(asked) for asked in prompts.values()))


def _prompt(index: int, masks: Sequence[Mask], places: Sequence[tuple[float, float]]) -> Prompt:
    """Return the box and the point of a mask, and points in its nearest neighbours."""
    mask, (x, y) = masks[index], places[index]
    x0, y0, x1, y1 = mask.box
    left, top, right, bottom = mask.crop_box
    off = []
    for other, place in zip(masks, places, strict=True):
        if other is mask or not (left <= place[0] < right and top <= place[1] < bottom):
            continue
        a, b, c, d = other.box
        if max(a - x1, x0 - c, b - y1, y0 - d) > _NEAR:
            continue
        if shared_pixels(mask, other) < _ANOTHER * min(mask.area, other.area):
            off.append((np.hypot(place[0] - x, place[1] - y), place))
    nearest = tuple(place for _, place in sorted(off)[:NEIGHBOURS])
    return Prompt(box=(x0, y0, x1, y1), positive=(mask.point,), negative=nearest)


def _accepted(
    answer: Mask, index: int, masks: Sequence[Mask], labels: LabelOptions
) -> bool:
    """Tell whether an answer is the same object, surer, and takes nothing from others."""
    mask = masks[index]
    largest = np.inf if labels.max_area is None else labels.max_area
    if answer.predicted_iou < mask.predicted_iou or mask_iou(answer, mask) < SAME:
        return False
    if not labels.min_area <= answer.area <= largest:
        return False
    return all(
        shared_pixels(answer, other) - shared_pixels(mask, other)
        <= TAKEN * min(answer.area, other.area)
        for other in masks
        if other is not mask
    )


def _inside(mask: Mask) -> tuple[float, float]:
    """Return the place of a mask that is farthest from its border."""
    depth = ndimage.distance_transform_edt(np.pad(mask.bits, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape) if depth.size else (0, 0)
    return float(column + mask.box[0]), float(row + mask.box[1])
