"""Whether objects could have been too small for the model, which sees large images reduced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from napari_graysam.masks import Mask
from napari_graysam.recipe import Recipe

SMALLEST = 10
"""Pixels of the model's frame below which objects are missed, by diameter."""
_LAYERS = 5
_FRAME = 2048


def too_small_notes(
    masks: Sequence[Mask],
    unmasked: float,
    shape: tuple[int, ...],
    frame: int | None,
    recipe: Recipe,
) -> tuple[str, ...]:
    """Say that small objects could not be found, where the result looks like it.

    That is where the model saw the image, or the smallest of its crops, at half its size or less,
    and found nothing or only what is hardly larger than it can see; or saw it at a quarter or
    less and found little.

    Parameters
    ----------
    masks
        What was found.
    unmasked
        Fraction of the image outside all objects.
    shape
        (H, W) of the image.
    frame
        Side of the square in which the model sees a picture; nothing is said of None.
    recipe
        Uses ``generator.crop_n_layers`` and ``model.name``.

    Examples
    --------
    >>> too_small_notes((), 1.0, (8192, 8192), 1024, Recipe())[0].partition(",")[0]
    'the model saw the image reduced to 1/8'
    >>> too_small_notes((), 1.0, (1200, 1600), 1024, Recipe())
    ()
    """
    if frame is None:
        return ()
    layers = recipe.generator.crop_n_layers
    reduced = math.sqrt(shape[0] * shape[1]) / 2**layers / frame
    limit = SMALLEST * reduced
    diameters = [2 * math.sqrt(mask.area / math.pi) for mask in masks]
    tiny = not diameters or median(diameters) < 1.5 * limit
    if not (reduced >= 2 and tiny) and not (reduced >= 4 and unmasked >= 0.9):
        return ()
    wanted = min(_LAYERS, layers + math.ceil(math.log2(reduced)))
    advice = f"set generator.crop_n_layers={wanted}" if wanted > layers else "segment parts of it"
    from napari_graysam.model import BUNDLED

    if recipe.model.frame is None and recipe.model.name == BUNDLED.name:
        advice += f", or model.frame={_FRAME} where that is enough"
    seen = "the image" if layers == 0 else "even the smallest crops"
    return (
        f"the model saw {seen} reduced to 1/{reduced:.0f}, in its frame of {frame} pixels: objects "
        f"below some {limit:.0f} pixels are missed; {advice}",
    )
