"""A tile in the place of an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_graysam.recipe import Recipe

if TYPE_CHECKING:
    from napari_graysam.propose.points import PointSource


@dataclass(frozen=True)
class Cut:
    """What differs where a tile of an image is segmented, and not an image.

    Attributes
    ----------
    view
        Gives the view for a recipe, uint8 (H, W, 3), in place of `make_view`.
    points
        Where the model is asked, in place of the recipe's grid over the image.
    """

    view: Callable[[Recipe], NDArray[np.uint8]]
    points: PointSource
