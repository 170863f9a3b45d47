"""What follows from the size of the objects: points, frame, crops and range of areas."""

from __future__ import annotations

import math
from typing import Any

from napari_graysam.errors import RecipeError
from napari_graysam.recipe.document import Recipe
from napari_graysam.recipe.options import ModelOptions

SEEN, ENOUGH = 40, 32
"""Pixels of the model's frame that objects should have, and that are enough, by diameter."""
POINTS_ACROSS = 1.5
"""Points of the grid on an object's diameter."""
FEWEST, MOST = 16, 128
SPREAD = 8
"""Areas may be so many times as small or as large as that of a typical object."""
SMALLEST = 3.0
_FRAMES = 512, 1024
_SCALES = 0.5, 4.0
_LAYERS = 5
_OWN_FRAME = 1024


def for_objects(recipe: Recipe, diameter: float, shape: tuple[int, ...]) -> Recipe:
    """Return a recipe for objects of a known size in an image of a known size.

    Parameters
    ----------
    recipe
        Values that differ from those of its own preset were edited, and stay.
    diameter
        Of a typical object, in pixels of the image.
    shape
        (H, W) of the image.

    Returns
    -------
    Recipe
        With ``generator.points_per_side``, ``crop_n_layers`` and
        ``crop_n_points_downscale_factor``, ``model.frame_scale``, ``labels.min_area`` and
        ``max_area`` set, and without ``image.object_diameter``.

    Raises
    ------
    RecipeError
        If the diameter is no size of an object in such an image.

    Notes
    -----
    On 3,957 objects of eleven kinds of images the bundled model found 82 % or more of those with
    32 to 130 pixels in its frame, but 37 to 40 % of those with 12 to 25 and hardly any below
    10; and 81 % or more of those wider than a step of the grid, but 33 % of those of half to 0.7
    steps. 94 % of the objects of an image had areas within 8 times that of the median diameter.

    Examples
    --------
    >>> small = for_objects(Recipe.preset("raw"), 20, (512, 512))
    >>> small.generator.points_per_side, small.model.frame_scale, small.labels.min_area
    (39, 2.0, 39)
    """
    if not SMALLEST <= diameter <= max(shape):
        raise RecipeError(
            f"image.object_diameter is {diameter:g} pixels, but the image has {shape[0]} × "
            f"{shape[1]}: give the diameter of a typical object in pixels of the image, from "
            f"{SMALLEST:g} to its longer side"
        )
    values, own = _values(recipe, diameter, shape), recipe.own_preset(recipe.model.name)
    if recipe.generator.point_grids is not None:
        for name in ("points_per_side", "crop_n_layers", "crop_n_points_downscale_factor"):
            values.pop(f"generator.{name}", None)
    changes = {path: value for path, value in values.items() if _at(recipe, path) == _at(own, path)}
    return recipe.with_values({"image.object_diameter": None, **changes})


def for_image(recipe: Recipe, shape: tuple[int, ...]) -> Recipe:
    """Return `for_objects` where the recipe says how large objects are; else the recipe itself."""
    diameter = recipe.image.object_diameter
    return recipe if diameter is None else for_objects(recipe, diameter, shape)


def objects_notes(recipe: Recipe, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Say what follows from the size of the objects, and what was edited and stays.

    Parameters
    ----------
    recipe
        As asked for.
    shape
        (H, W) of the image.
    """
    diameter = recipe.image.object_diameter
    if diameter is None:
        return ()
    wanted, set_to = _values(recipe, diameter, shape), for_objects(recipe, diameter, shape)
    said = ", ".join(f"{path} {_at(set_to, path)}" for path in wanted)
    kept = [path for path, value in wanted.items() if _at(set_to, path) != value]
    stays = f"; {' and '.join(kept)} as in the recipe" if kept else ""
    return (f"objects of {diameter:g} pixels: {said}{stays}",)


def _values(recipe: Recipe, diameter: float, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return what suits objects of a size, by dotted path."""
    side = math.sqrt(shape[0] * shape[1])
    area = math.pi * diameter**2 / 4
    points = math.ceil(POINTS_ACROSS * max(shape) / diameter)
    found: dict[str, Any] = {}
    model = recipe.model
    frame = float(model.frame or _OWN_FRAME)
    bundled = model.name == ModelOptions.model_fields["name"].default and model.checkpoint is None
    if bundled and model.frame is None:
        frame = min(max(SEEN / diameter * side, _FRAMES[0]), _FRAMES[1])
        scale = min(max(frame / side, _SCALES[0]), _SCALES[1])
        found["model.frame_scale"] = round(scale, 2)
    short = ENOUGH * side / (diameter * frame)
    layers = min(_LAYERS, max(0, math.ceil(round(math.log2(short), 6))))
    points = max(min(max(points, FEWEST), MOST), 2**layers)
    return {
        **found,
        "generator.points_per_side": points,
        "generator.crop_n_layers": layers,
        # As many points in all crops of a layer as in the image: the same distance.
        "generator.crop_n_points_downscale_factor": 2 if layers else 1,
        "labels.min_area": max(1, round(area / SPREAD)),
        "labels.max_area": math.ceil(area * SPREAD),
    }


def _at(recipe: Recipe, path: str) -> Any:
    part, name = path.split(".")
    return getattr(getattr(recipe, part), name)
