"""Objects that a recipe adds, removes, merges or splits by hand, in an image in tiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_graysam.masks import touches_border
from napari_graysam.recipe import Recipe
from napari_graysam.select.pins import Edit, edits_of, replaces
from napari_graysam.tiles.grid import TileGrid
from napari_graysam.tiles.objects import Seen
from napari_graysam.tiles.pieces import BORDER, PINNED
from napari_graysam.tiles.seams import duplicates


def with_pins(
    objects: Seen,
    stays: NDArray[np.bool_],
    recipe: Recipe,
    grid: TileGrid,
    image: str | None,
) -> tuple[Seen, NDArray[np.bool_]]:
    """Do what pins say, in their order, once the tiles have competed.

    Parameters
    ----------
    objects, stays
        All objects, and which of them are left.
    recipe
        Uses ``labels``, whose pins are in pixels of the whole image, and ``generator``.
    grid
        The tiles; an added object belongs to that whose core holds its point.
    image
        As of `napari_graysam.tiles.resolve.resolve`.

    Returns
    -------
    objects, stays
        With the added ones.
    """
    by_tiles = len(objects.found)
    for edit in edits_of(recipe.labels, grid.shape, image):
        stays = stays.copy()
        stays[_replaced(objects, stays, edit)] = False
        if not edit.added:
            continue
        count = len(objects.found)
        cuts = [PINNED | (BORDER if touches_border(mask, grid.shape) else 0) for mask in edit.added]
        owners = [grid.holding(*mask.point) for mask in edit.added]
        objects = objects.with_masks(edit.added, owners, cuts)
        found = objects.found
        new = objects.pairs.only(objects.pairs.b >= count)
        iou = new.shared / (found.area[new.a] + found.area[new.b] - new.shared)
        doubled = new.a[duplicates(found, new, iou, recipe)]
        stays[doubled[doubled < by_tiles]] = False
        stays = np.concatenate([stays, np.ones(len(edit.added), bool)])
    return objects, stays


def _replaced(objects: Seen, stays: NDArray[np.bool_], edit: Edit) -> list[int]:
    """Return the objects that are the same as those that a pin adds or removes, or their parts."""
    near = [objects.near(mask.box) for mask in (*edit.gone, *edit.added)]
    some = np.unique(np.concatenate([np.zeros(0, np.intp), *near]))
    return [one for one in some[stays[some]].tolist() if replaces(edit, objects.mask(one))]
