"""Whether an image is segmented in tiles, and in which, told without the model's libraries."""

from __future__ import annotations

import math

from napari_graysam.limits import available_memory
from napari_graysam.recipe import Recipe
from napari_graysam.source.gray import BYTES_PER_PIXEL, LARGEST_SIDE
from napari_graysam.tiles.grid import SMALLEST_CORE, TileGrid

MOST_PIXELS = 2**27
"""Pixels of an image above which tiles are used."""
HALO = 0.75
"""Of the longest object: half would do for one of two tiles to see it whole, to the pixel."""
LEAST_HALO = 16


def needs_tiles(shape: tuple[int, int], recipe: Recipe) -> str:
    """Say why an image is segmented in tiles; an empty text for one that is not.

    Parameters
    ----------
    shape
        Rows and columns.
    recipe
        Uses ``tiles``.

    Examples
    --------
    >>> needs_tiles((20_000, 20_000), Recipe())
    'the image has 20,000 × 20,000 pixels, more than 2²⁷'
    >>> needs_tiles((500, 500), Recipe())
    ''
    >>> needs_tiles((500, 500), Recipe().with_values({"tiles.level": 1}))
    'tiles.level is 1'
    """
    rows, columns = shape
    size, use = recipe.tiles.size, recipe.tiles.use
    what = f"the image has {rows:,} × {columns:,} pixels"
    if use == "never":
        return ""
    if recipe.tiles.level > 0:
        return f"tiles.level is {recipe.tiles.level}"
    if use == "always":
        return f"{what}, and tiles.use is always" if max(shape) > size else ""
    if rows * columns > MOST_PIXELS:
        return f"{what}, more than 2²⁷"
    if max(shape) > LARGEST_SIDE:
        return f"{what}, and a side is longer than {LARGEST_SIDE:,}"
    if rows * columns * BYTES_PER_PIXEL > available_memory():
        return f"{what}, for which memory does not suffice"
    return ""


def halo_by_diameter(diameter: float, size: int) -> int:
    """Return the halo for objects of a diameter, in tiles of a size, in pixels."""
    return min(max(LEAST_HALO, math.ceil(2 * HALO * diameter)), (size - SMALLEST_CORE) // 2)


def likely_grid(shape: tuple[int, int], recipe: Recipe) -> tuple[TileGrid, bool]:
    """Return the tiles of an image before anything of it is read, and whether they are sure.

    Parameters
    ----------
    shape
        Rows and columns of the level that is segmented.
    recipe
        Where it tells neither halo nor diameter, a trial will; an eighth of a tile is assumed.

    Raises
    ------
    RecipeError
        The halo leaves nothing of a tile.

    Examples
    --------
    >>> grid, sure = likely_grid((4000, 4000), Recipe())
    >>> len(grid), sure
    (25, False)
    """
    size, halo = recipe.tiles.size, recipe.tiles.halo
    sure = halo is not None or recipe.image.object_diameter is not None
    if halo is None:
        diameter = recipe.image.object_diameter
        halo = size // 8 if diameter is None else halo_by_diameter(diameter, size)
    return TileGrid(shape, size, halo), sure
