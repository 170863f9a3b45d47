"""Both arms: the same image without and with preprocessing, and how they differ."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import TruthError
from napari_graysam.fingerprint import array_digest
from napari_graysam.pipeline.segmenting import OnProgress, segment_steps
from napari_graysam.pipeline.stages import read_gray
from napari_graysam.progress import Progress, renamed, run
from napari_graysam.recipe import GivenRecipe, Recipe, recipe_of
from napari_graysam.results import Arm, Arms, Segmentation

if TYPE_CHECKING:
    from napari_graysam.comparison import Scores
    from napari_graysam.propose.cache import Cache


def compare(
    image: Any,
    recipe: GivenRecipe,
    *,
    truth: NDArray[np.integer] | None = None,
    region: NDArray[np.bool_] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    cache: Cache | None = None,
    on_progress: OnProgress | None = None,
) -> Arms:
    """Segment an image without and with the recipe's preprocessing, and compare.

    Parameters
    ----------
    image, recipe, region, contrast_limits, cache, on_progress
        As for `segment`.
    truth
        Integer (H, W) labels to score both arms against.

    Raises
    ------
    GraysamError
        As for `segment`; TruthError where the ground truth is of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, compare
    >>> truth = np.zeros((64, 64), int)
    >>> truth[16:40, 20:44] = 1
    >>> recipe = Recipe.preset("low-contrast").with_values({"generator.points_per_side": 4})
    >>> arms = compare(truth * 200, recipe, truth=truth)
    >>> sorted(arms.scores), arms.raw.labels.shape
    (['preprocessed', 'raw'], (64, 64))

    See Also
    --------
    napari_graysam.segment : One arm only.
    """
    steps = compare_steps(
        image, recipe, truth=truth, region=region, contrast_limits=contrast_limits, cache=cache
    )
    return run(steps, on_progress)


def compare_steps(
    image: Any,
    recipe: GivenRecipe,
    *,
    truth: NDArray[np.integer] | None = None,
    region: NDArray[np.bool_] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    cache: Cache | None = None,
) -> Generator[Progress, None, Arms]:
    """Do as `compare`, yielding `Progress`, whose stages name the arm.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, compare_steps
    >>> steps = compare_steps(np.eye(64), Recipe.preset("low-contrast"))
    >>> next(steps).stage
    'raw: image'
    >>> steps.close()  # cancels
    """
    recipe = recipe_of(recipe)
    gray = read_gray(image, recipe, contrast_limits=contrast_limits)
    if truth is not None and np.shape(truth) != gray.pixels.shape:
        raise TruthError(
            f"the ground truth has shape {np.shape(truth)}, the image {gray.pixels.shape}: "
            "give labels of the same height and width"
        )
    arms: dict[Arm, Segmentation] = {}
    recipes: dict[Arm, Recipe] = {
        "raw": recipe.raw_arm(),
        "preprocessed": recipe.preprocessed_arm(),
    }
    for arm, of_arm in recipes.items():
        steps = segment_steps(gray, of_arm, region=region, source=arm, cache=cache)
        arms[arm] = yield from renamed(steps, arm)

    from napari_graysam.comparison import compare_masks, score

    yield Progress("compare", 0, 1)
    shape = (gray.pixels.shape[0], gray.pixels.shape[1])
    raw, preprocessed = arms["raw"], arms["preprocessed"]
    changes = compare_masks(raw.masks, preprocessed.masks, shape, pixel_size=raw.pixel_size)
    scores: dict[Arm, Scores] | None = None
    if truth is not None:
        scores = {arm: score(result.labels, truth) for arm, result in arms.items()}
    yield Progress("compare", 1, 1)
    digest = None if truth is None else array_digest(np.asarray(truth))
    return Arms(raw, preprocessed, changes, scores, digest)
