"""The model's answers about planes of a stack, read and encoded only where it is asked."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from napari_graysam import pipeline
from napari_graysam.masks import Box, Mask
from napari_graysam.masks.regions import innermost
from napari_graysam.progress import Progress
from napari_graysam.recipe import Prompt
from napari_graysam.source.stack import Stack


class Asking:
    """Asks about one plane after the other; features are kept in memory as a `Cache` does.

    Parameters
    ----------
    stack
        The planes.
    """

    def __init__(self, stack: Stack) -> None:
        from napari_graysam.propose.cache import Cache

        self._stack, self._features = stack, Cache()

    def __call__(
        self, number: int, masks: Sequence[Mask]
    ) -> Generator[Progress, None, list[Mask | None]]:
        """Ask for objects in a plane, by the masks that they have in another one.

        Parameters
        ----------
        number
            Of the plane, among those that are segmented.
        masks
            Of the objects, none empty.

        Returns
        -------
        list of Mask or None
            The best mask of each; None where the model draws none. Each is asked for by its box
            and innermost point, and by its mask too; the surer answer counts.
        """
        from napari_graysam.prompt.predictor import crops_around

        position = self._stack.positions[number]
        recipe = self._stack.plane_recipe(position)
        image = self._stack.plane(position)
        predictor = yield from pipeline.predictor_steps(image, recipe, cache=self._features)
        size = (predictor.view.shape[0], predictor.view.shape[1])
        crops: dict[Box, list[int]] = {}
        prompts = [Prompt(box=mask.box, positive=(innermost(mask),)) for mask in masks]
        for index, prompt in enumerate(prompts):
            # The smallest crop shows it largest.
            crop = crops_around(prompt, size, predictor.generator)[-1]
            crops.setdefault(crop, []).append(index)
        answers: list[Mask | None] = [None] * len(masks)
        for crop, asked in crops.items():
            some = [prompts[index] for index in asked]
            drawn = [masks[index] for index in asked]
            alone = yield from predictor.ask_each(some, crop)
            guided = yield from predictor.ask_each(some, crop, drawn)
            for index, *both in zip(asked, alone, guided, strict=True):
                there = [answer for answer in both if answer is not None]
                surest = max(there, key=lambda answer: answer.predicted_iou, default=None)
                answers[index] = surest
        return answers
