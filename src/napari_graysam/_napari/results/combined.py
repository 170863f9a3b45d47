"""The combined result: union or consensus of both arms, of the candidates that they kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from napari_graysam._napari.results.inputs import Run
from napari_graysam.comparison import ARMS
from napari_graysam.masks import Arm
from napari_graysam.recipe import MODEL_STAGES, Recipe
from napari_graysam.results import Segmentation

Shown = Arm | Literal["combined"]
"""What a result of the panel is: an arm, or both together."""
COMBINED: Literal["combined"] = "combined"
SHOWN: tuple[Shown, ...] = (*ARMS, COMBINED)
NOT_ASKED = "The recipe's arms ask for one arm only: choose union or consensus to update it."


@dataclass(frozen=True, eq=False)
class CombinedRun(Run):
    """A result of both arms, and the runs that it was made of."""

    parts: tuple[Run, Run]

    def is_of(self, runs: Mapping[Shown, Run]) -> bool:
        """Whether it is made of what is shown."""
        return all(runs.get(arm) is part for arm, part in zip(ARMS, self.parts, strict=True))


def parts_to_combine(runs: Mapping[Shown, Run], recipe: Recipe) -> tuple[Run, Run] | None:
    """Return the runs of both arms where the recipe asks to combine them and they are up to date.

    None also where they are combined already, and where nothing is preprocessed.
    """
    if recipe.both_arms is None or not recipe.preprocesses:
        return None
    found = [runs[arm] for arm in ARMS if arm in runs]
    there = runs.get(COMBINED)
    if len(found) < len(ARMS) or (isinstance(there, CombinedRun) and there.is_of(runs)):
        return None
    for arm, run in zip(ARMS, found, strict=True):
        if of_arm(arm, run.asked).changed_stage(of_arm(arm, recipe)) in MODEL_STAGES:
            return None
    return found[0], found[1]


def of_arm(arm: Shown, recipe: Recipe) -> Recipe:
    """Return the recipe of an arm, or of both together."""
    if arm == COMBINED:
        return recipe
    return recipe.raw_arm() if arm == "raw" else recipe.preprocessed_arm()


def as_read(recipe: Recipe, result: Segmentation) -> Recipe:
    """Return a recipe with the image's options of a result, which name its axes and plane.

    What is said of stacks is the result's, too: it is of one plane.
    """
    image = result.recipe.image.replace(object_diameter=recipe.image.object_diameter)
    return recipe.replace(image=image, stack=result.recipe.stack)


def combined(parts: tuple[Run, Run], recipe: Recipe) -> CombinedRun:
    """Make one result of both arms, without the model.

    Parameters
    ----------
    parts
        The runs of the raw and the preprocessed arm.
    recipe
        Asks for both.
    """
    from napari_graysam.pipeline import combine

    raw, preprocessed = parts
    asked = as_read(recipe, preprocessed.live.result)
    live = combine(raw.live, preprocessed.live, asked)
    return CombinedRun(recipe, preprocessed.source, live, parts)
