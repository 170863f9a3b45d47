"""Recipes as callers give them: as such, by the name of a preset, or as a file."""

from __future__ import annotations

import os
from pathlib import Path

from napari_graysam.errors import RecipeError
from napari_graysam.recipe.document import Recipe
from napari_graysam.recipe.storage import SUFFIXES

GivenRecipe = Recipe | str | os.PathLike[str] | None
"""A recipe, the name of a preset, a recipe file, or None for the preset ``raw``."""


def recipe_of(given: GivenRecipe, model: str | None = None) -> Recipe:
    """Return the recipe that is meant.

    Parameters
    ----------
    given
        A recipe, which is returned as it is; a file of one (.yaml, .yml, .json); the name of a
        preset; None for the preset ``raw``.
    model
        Catalogue name of another model for a preset, as for `Recipe.preset`; not used otherwise.

    Raises
    ------
    RecipeError
        If there is no such preset or file, the file is no recipe, or it is something else.

    Examples
    --------
    >>> from napari_graysam.recipe import Recipe
    >>> recipe_of("membranes") == Recipe.preset("membranes")
    True
    >>> recipe_of(None).name
    'raw'
    """
    if isinstance(given, Recipe):
        return given
    if given is None:
        return Recipe.preset(model=model)
    if not isinstance(given, str | os.PathLike):
        raise RecipeError(
            f"a recipe is a Recipe, the name of a preset or a recipe file; "
            f"a {type(given).__name__} came"
        )
    if is_file(given):
        return Recipe.from_file(given)
    try:
        return Recipe.preset(os.fspath(given), model)
    except RecipeError as error:
        raise RecipeError(f"{error}; a recipe file ends in {', '.join(SUFFIXES)}") from None


def is_file(given: str | os.PathLike[str]) -> bool:
    """Tell whether a file is meant, not a preset: it has a suffix, or its folder is named."""
    path = Path(given)
    return path.suffix.lower() in SUFFIXES or path.name != os.fspath(given)
