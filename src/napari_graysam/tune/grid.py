"""The settings that a search tries: every combination of some values of some parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import UsageError
from napari_graysam.masks import Level
from napari_graysam.recipe import GeneratorOptions, LabelOptions, Recipe

Values = tuple[Any, ...]
SUPPRESSION = "suppression"
"""Kind and threshold of suppression together: a box threshold says nothing about masks."""


class Setting(NamedTuple):
    """One combination: its values, and what they make of a recipe."""

    values: Values
    generator: GeneratorOptions
    labels: LabelOptions


def default_grid(recipe: Recipe) -> dict[str, Values]:
    """Return the values to try, by dotted path; the recipe's own are among them.

    Parameters
    ----------
    recipe
        To start from.

    Examples
    --------
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.tune import default_grid
    >>> grid = default_grid(Recipe.preset("raw"))
    >>> len(grid["generator.pred_iou_thresh"])
    13
    """
    labels = recipe.labels
    suppressions = [
        ("containment", 0.3), ("containment", 0.45), ("containment", 0.6), ("containment", 0.8),
        ("mask_iou", 0.3), ("mask_iou", 0.5), ("mask_iou", 0.7), ("box", 0.5), ("box", 0.7),
    ]  # fmt: skip
    own = (labels.suppression, _threshold(recipe))
    if own not in suppressions:
        suppressions.append(own)
    iou = np.round(np.arange(0.2, 0.81, 0.05), 2).tolist()
    return {
        SUPPRESSION: tuple(suppressions),
        "generator.pred_iou_thresh": _with(recipe.generator.pred_iou_thresh, iou),
        "generator.stability_score_thresh": _with(
            recipe.generator.stability_score_thresh, (0.0, 0.3, 0.5, 0.7, 0.85)
        ),
        "labels.level": _with(labels.level, get_args(Level)),
        "labels.min_area": _with(labels.min_area, (0, 12, 50)),
    }


def _threshold(recipe: Recipe) -> float:
    if recipe.labels.suppression == "box":
        return recipe.generator.box_nms_thresh
    return recipe.labels.suppression_thresh


def _with(own: Any, values: Sequence[Any]) -> Values:
    """Return the values and the recipe's own, in order where they are numbers."""
    every = [*values] if own in values else [*values, own]
    return tuple(every if isinstance(own, str) else sorted(every))


def own_values(recipe: Recipe, names: Sequence[str]) -> Values:
    """Return what the recipe has for each name of a grid."""
    found: list[Any] = []
    for name in names:
        part, _, field = name.partition(".")
        if name == SUPPRESSION:
            found.append((recipe.labels.suppression, _threshold(recipe)))
        else:
            found.append(getattr(getattr(recipe, part), field))
    return tuple(found)


def changes(names: Sequence[str], values: Values) -> dict[str, Any]:
    """Return values of a grid as values of a recipe, by dotted path."""
    found: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        if name != SUPPRESSION:
            found[name] = value
            continue
        kind, threshold = value
        found["labels.suppression"] = kind
        place = "generator.box_nms_thresh" if kind == "box" else "labels.suppression_thresh"
        found[place] = threshold
    return found


def settings(recipe: Recipe, grid: Mapping[str, Values]) -> Iterator[Setting]:
    """Yield every combination; what is costly to change changes least often.

    Raises
    ------
    RecipeError
        If a value is not one that the recipe can have.
    UsageError
        If a parameter is not one of thresholds, suppression and labels.
    """
    for name in grid:
        if name != SUPPRESSION and name.partition(".")[0] not in ("generator", "labels"):
            raise UsageError(
                f"{name} cannot be searched on kept candidates: expected {SUPPRESSION} or a "
                "parameter of generator or labels"
            )
    names = list(grid)
    for name, values in grid.items():
        for value in values:
            recipe.with_values(changes([name], (value,)))  # Combinations are not checked again.
    for values in product(*grid.values()):
        parts: dict[str, dict[str, Any]] = {"generator": {}, "labels": {}}
        for path, value in changes(names, values).items():
            part, _, field = path.partition(".")
            parts[part][field] = value
        yield Setting(
            values,
            recipe.generator.model_copy(update=parts["generator"]),
            recipe.labels.model_copy(update=parts["labels"]),
        )


def distances(grid: Mapping[str, Values], own: Values) -> NDArray[np.float64]:
    """Return how far each combination is from the recipe's own, in steps of the grid."""
    steps = []
    for values, mine in zip(grid.values(), own, strict=True):
        place = values.index(mine)
        ordered = isinstance(mine, int | float)
        steps.append([abs(i - place) if ordered else float(i != place) for i in range(len(values))])
    return np.array([float(sum(combination)) for combination in product(*steps)])
