"""From gray values to what the model sees, of whole images and of tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.preprocess import (
    BaseStep,
    Channels,
    Fitted,
    apply,
    fit,
    fit_blocks,
    halo,
    to_rgb,
)
from napari_graysam.preprocess.chain import Box
from napari_graysam.recipe import Recipe
from napari_graysam.source.gray import GrayImage


class FittedView(NamedTuple):
    """What `make_view` takes from a whole image, so that tiles of it become what it becomes.

    Attributes
    ----------
    preprocess
        Of each enabled step.
    channels
        Of each enabled step of red, green and blue.
    """

    preprocess: tuple[Fitted, ...]
    channels: tuple[tuple[Fitted, ...], ...]

    def at(self, origin: tuple[int, int]) -> FittedView:
        """Return the same for a tile that begins at a row and column of the whole image."""
        return FittedView(
            tuple(one.at(origin) for one in self.preprocess),
            tuple(tuple(one.at(origin) for one in channel) for channel in self.channels),
        )


def fit_view(gray: GrayImage, recipe: Recipe) -> FittedView:
    """Take from a whole image what its tiles need to know of it.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.pipeline import fit_view, read_gray, view_halo
    >>> recipe = Recipe().with_values({"preprocess": "[{kind: rescale}, {kind: gaussian}]"})
    >>> fitted = fit_view(read_gray(np.eye(64), recipe), recipe)
    >>> fitted.preprocess[0].values.tolist(), view_halo(recipe)
    ([0.0, 1.0], 4)

    See Also
    --------
    make_view : Takes what this returns.
    napari_graysam.preprocess.padded : Cuts tiles with their halo.
    """
    chains = _channels(recipe)
    pixels = apply(gray.pixels, recipe.preprocess) if any(chains) else gray.pixels
    fits = tuple(fit(pixels, chain) for chain in chains)
    return FittedView(fit(gray.pixels, recipe.preprocess), fits)


def fit_view_blocks(
    read: Callable[[Box], NDArray[np.float32]],
    shape: tuple[int, int],
    recipe: Recipe,
    blocks: Sequence[Box] | None = None,
) -> FittedView:
    """Do as `fit_view` for an image that does not fit into memory.

    Parameters
    ----------
    read
        Gives the gray values of rows and columns: float32, in [0, 1].
    shape
        (H, W) of the image.
    recipe
        Uses ``preprocess`` and ``rgb``.
    blocks
        What is looked at, as for `napari_graysam.preprocess.fit_blocks`.
    """
    fits = fit_blocks(read, shape, recipe.preprocess, blocks=blocks)
    enabled = (step for step in recipe.preprocess if step.enabled)
    before = tuple(zip(enabled, fits, strict=True))
    red, green, blue = (
        fit_blocks(read, shape, chain, before=before, blocks=blocks) for chain in _channels(recipe)
    )
    return FittedView(fits, (red, green, blue))


def view_halo(recipe: Recipe) -> int:
    """Return the pixels around a tile that decide what `make_view` makes of it."""
    return halo(recipe.preprocess) + max(halo(chain) for chain in _channels(recipe))


def _channels(recipe: Recipe) -> tuple[tuple[BaseStep, ...], ...]:
    """Return the steps of red, green and blue."""
    rgb = recipe.rgb
    return (rgb.red, rgb.green, rgb.blue) if isinstance(rgb, Channels) else ((), (), ())


def make_view(
    gray: GrayImage, recipe: Recipe, fitted: FittedView | None = None
) -> NDArray[np.uint8]:
    """Preprocess a gray image and colour it: what the model is to see.

    Parameters
    ----------
    gray
        Of `read_gray`.
    recipe
        Uses ``preprocess`` and ``rgb``.
    fitted
        Of `fit_view`, at the origin of the tile that ``gray`` is; None for a whole image.

    Returns
    -------
    uint8 (H, W, 3)

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.pipeline import make_view, read_gray
    >>> recipe = Recipe().with_values({"preprocess": "[{kind: invert}]"})
    >>> make_view(read_gray(np.array([[0, 255]]), recipe), recipe)[0].tolist()
    [[255, 255, 255], [0, 0, 0]]

    See Also
    --------
    propose : The next stage.
    """
    if fitted is None:
        return to_rgb(apply(gray.pixels, recipe.preprocess), recipe.rgb)
    return to_rgb(
        apply(gray.pixels, recipe.preprocess, fitted.preprocess), recipe.rgb, fitted.channels
    )


def model_views(gray: GrayImage, recipe: Recipe) -> tuple[NDArray[np.uint8], ...]:
    """Return what the model sees of an image, by the arms that a recipe asks for.

    Parameters
    ----------
    gray
        Of `read_gray`.
    recipe
        Uses ``arms``, ``preprocess`` and ``rgb``.

    Returns
    -------
    tuple of uint8 (H, W, 3)
        Of one arm, or of the raw and the preprocessed one where both are joined.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.pipeline import read_gray
    >>> from napari_graysam.pipeline.view import model_views
    >>> recipe = Recipe().with_values({"preprocess": "[{kind: invert}]", "arms": "union"})
    >>> gray = read_gray(np.array([[0, 255]]), recipe)
    >>> [int(view[0, 0, 0]) for view in model_views(gray, recipe)]
    [0, 255]
    """
    raw, preprocessed = recipe.raw_arm(), recipe.preprocessed_arm()
    if recipe.both_arms is not None and recipe.preprocesses:
        return make_view(gray, raw), make_view(gray, preprocessed)
    return (make_view(gray, raw if recipe.arms == "raw" else preprocessed),)
