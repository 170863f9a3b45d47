"""Results and places without a model or a viewer."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_graysam._napari.canvas.placement import Placement
from napari_graysam.masks import Mask, paint
from napari_graysam.recipe import Recipe
from napari_graysam.results import Segmentation

SHAPE = (40, 60)


def square(y: int, x: int, side: int = 4, **scores: float) -> Mask:
    """Mask of a square, by its upper left corner."""
    return Mask(np.ones((side, side), bool), (x, y, x + side, y + side), **scores)


def result(masks: tuple[Mask, ...], recipe: Recipe | None = None) -> Segmentation:
    """Segmentation of an image of `SHAPE`."""
    recipe = Recipe.preset() if recipe is None else recipe
    labels = paint(masks, SHAPE, recipe.labels.overlap)
    return Segmentation(
        labels=labels,
        masks=masks,
        recipe=recipe,
        provenance={},
        unmasked=float(np.mean(labels == 0)),
        view=np.zeros((*SHAPE, 3), np.uint8),
        raw=np.zeros(SHAPE),
    )


def placement(
    shape: tuple[int, ...] = SHAPE, axes: tuple[int, int] = (-2, -1), **options: Any
) -> Placement:
    """Place of an image, at the origin unless told otherwise."""
    ndim = len(shape)
    defaults = {
        "scale": np.ones(ndim),
        "translate": np.zeros(ndim),
        "rotate": np.eye(ndim),
        "shear": np.zeros(ndim * (ndim - 1) // 2),
        "affine": np.eye(ndim + 1),
    }
    first, last = (axis % ndim for axis in axes)
    return Placement(shape=shape, axes=(first, last), options={**defaults, **options})
