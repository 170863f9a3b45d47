"""What the model sees of a tile: cut from what it would see of the whole image."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.limits import available_memory, readable
from napari_graysam.pipeline import FittedView, fit_view_blocks, make_view, view_halo
from napari_graysam.preprocess import BaseStep, Channels, Fitted, padded, squares
from napari_graysam.preprocess.chain import BLOCK, Box, name_of
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.source.gray import BYTES_PER_PIXEL, GrayImage
from napari_graysam.tiles.image import LargeImage

MOST_FITTED = 2**28
"""Pixels that preprocessing is fitted to; of more, evenly spaced squares are looked at."""


@dataclass(frozen=True, eq=False)
class LargeView:
    """A large image and what its preprocessing knows of the whole; can be sent elsewhere.

    Attributes
    ----------
    image
        The image.
    fitted
        What the steps of each recipe take from it: the recipe's own, and the raw arm's.
    """

    image: LargeImage
    fitted: tuple[tuple[Recipe, FittedView], ...]
    notes: tuple[str, ...] = ()

    def of(self, recipe: Recipe, window: Box) -> NDArray[np.uint8]:
        """Return the view of rows and columns, uint8 (h, w, 3).

        Parameters
        ----------
        recipe
            One of those that the view was fitted for, as far as ``preprocess`` and ``rgb`` go.
        window
            Rows and columns of the image.
        """
        fitted = next(
            fits for one, fits in self.fitted
            if (one.preprocess, one.rgb) == (recipe.preprocess, recipe.rgb)
        )  # fmt: skip
        area = padded(window, view_halo(recipe), self.image.shape)
        around = self.image.read(area.cut)
        view = make_view(around, recipe, fitted.at(area.origin))
        return np.ascontiguousarray(view[area.tile])

    def gray(self, window: Box) -> GrayImage:
        """Return the gray values of rows and columns."""
        gray = self.image.read(window)
        return replace(gray, record={**gray.record, "notes": []})


def fit_large(
    image: LargeImage, recipe: Recipe, size: int, most: int = MOST_FITTED
) -> Generator[Progress, None, LargeView]:
    """Take from a large image what its preprocessing needs to know of the whole, block by block.

    Parameters
    ----------
    image
        Of `open_large`.
    recipe
        Uses ``preprocess``, ``rgb`` and ``arms``.
    size
        Side of a tile.
    most
        Pixels to look at; of a larger image, evenly spaced squares, which a note says.

    Yields
    ------
    Progress
        "fit", once for every recipe that is fitted.

    Raises
    ------
    ImageError
        If a step looks so far around that a tile with what it needs would not fit into memory.
    """
    wanted = [recipe.preprocessed_arm()] if recipe.arms != "raw" else []
    if recipe.both_arms is not None or recipe.arms == "raw":
        wanted.append(recipe.raw_arm())
    fits = []
    notes: list[str] = []
    for number, one in enumerate(wanted):
        yield Progress("fit", number, len(wanted))
        _check_reach(image, one, size)
        blocks, told = _blocks(image.shape, most, max(BLOCK, 2 * view_halo(one)))
        view = fit_view_blocks(image.pixels, image.shape, one, blocks)
        fits.append((one, view))
        if any(fitted.values.size for fitted in _all(view)):
            notes += told
    yield Progress("fit", len(wanted), len(wanted))
    return LargeView(image, tuple(fits), tuple(dict.fromkeys(notes)))


def _all(view: FittedView) -> list[Fitted]:
    return [*view.preprocess, *(one for channel in view.channels for one in channel)]


def _blocks(shape: tuple[int, int], most: int, side: int) -> tuple[list[Box], tuple[str, ...]]:
    """Return the squares to look at, and a note where that is not all of the image."""
    blocks = list(squares(shape, side))
    step = -(-shape[0] * shape[1] // most)
    if step <= 1:
        return blocks, ()
    # In both directions, so that no row or column of squares is left out as a whole.
    across = -(-shape[1] // side)
    chosen = [b for n, b in enumerate(blocks) if (n % across + 3 * (n // across)) % step == 0]
    note = (
        f"preprocessing was fitted to {len(chosen)} evenly spaced squares of {side} pixels, "
        f"1/{step} of the image"
    )
    return chosen, (note,)


def _check_reach(image: LargeImage, recipe: Recipe, size: int) -> None:
    """Refuse a chain whose tiles would need more memory than there is."""
    reach = view_halo(recipe)
    rows, columns = (min(length, size + 2 * reach) for length in image.shape)
    needed, available = rows * columns * BYTES_PER_PIXEL, available_memory()
    if needed <= available:
        return
    step = max(_steps(recipe), key=lambda one: one.halo)
    raise ImageError(
        f"{name_of(step)} looks {step.halo} pixels around every pixel: a tile of {size} pixels "
        f"would need {readable(needed)} of memory with them; {readable(available)} are free. Lower "
        "the step's radius or scale, or work on a coarser level with tiles.level."
    )


def _steps(recipe: Recipe) -> list[BaseStep]:
    rgb = recipe.rgb
    channels = (*rgb.red, *rgb.green, *rgb.blue) if isinstance(rgb, Channels) else ()
    return [step for step in (*recipe.preprocess, *channels) if step.enabled]
