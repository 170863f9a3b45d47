"""Segmentation of an image, by the arm or arms that its recipe asks for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.pipeline.arm import one_arm
from napari_graysam.pipeline.both import combine, floors_for_both
from napari_graysam.pipeline.cut import Cut
from napari_graysam.pipeline.stages import ScoreFloors, arm_of, read_gray
from napari_graysam.progress import Progress, renamed, run
from napari_graysam.recipe import GivenRecipe, recipe_of
from napari_graysam.results import Arm, LiveSegmentation, Segmentation

if TYPE_CHECKING:
    from napari_graysam.propose.cache import Cache

OnProgress = Callable[[Progress], None]


def segment(
    image: Any,
    recipe: GivenRecipe = None,
    *,
    region: NDArray[np.bool_] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    cache: Cache | None = None,
    on_progress: OnProgress | None = None,
) -> Segmentation:
    """Segment everything in a grayscale image.

    Parameters
    ----------
    image
        Any array that holds one image, as ``recipe.image`` says; the path of an image file; or
        a `GrayImage`, as `read_image` gives it.
    recipe
        Every parameter: a `Recipe`, the name of a preset, or a recipe file; the preset ``raw``
        if omitted.
    region
        bool (H, W); points are set only where it is True. In place of ``recipe.image.region``.
    contrast_limits
        ``(low, high)`` for a recipe whose window is ``limits``.
    cache
        Features and proposals of earlier runs, so that this one starts from what has changed.
    on_progress
        Called with each `Progress`.

    Raises
    ------
    GraysamError
        If the image, the model, the device or the recipe does not allow it.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, segment
    >>> image = np.zeros((64, 64), np.uint8)
    >>> image[16:40, 20:44] = 200
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> result = segment(image, recipe)
    >>> result.labels.shape, int(result.labels.max()) == len(result.masks)
    ((64, 64), True)

    See Also
    --------
    napari_graysam.compare : Without and with preprocessing.
    segment_steps : With progress, to be cancelled.
    """
    steps = segment_steps(
        image, recipe, region=region, contrast_limits=contrast_limits, cache=cache
    )
    return run(steps, on_progress)


def segment_steps(
    image: Any,
    recipe: GivenRecipe = None,
    *,
    region: NDArray[np.bool_] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    source: Arm | None = None,
    cache: Cache | None = None,
    cut: Cut | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Do as `segment`, yielding `Progress`; closing the generator cancels.

    Parameters
    ----------
    image, recipe, region, contrast_limits
        As for `segment`.
    source
        The arm that the masks name; if omitted, ``raw`` where the recipe asks for that or
        preprocesses nothing. Those of both arms together name their own.
    cache
        Features and proposals of earlier runs, so that this one starts from what has changed.
    cut
        What differs where the image is a tile of a larger one.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import segment_steps
    >>> steps = segment_steps(np.eye(64))
    >>> next(steps)
    Progress(stage='image', done=0, total=1)
    >>> steps.close()  # cancels

    See Also
    --------
    napari_graysam.run : Exhausts such a generator.
    live_steps : Keeps the candidates too.
    """
    live = yield from _stages(image, recipe, region, contrast_limits, source, None, cache, cut)
    return live.result


def live_steps(
    image: Any,
    recipe: GivenRecipe = None,
    *,
    region: NDArray[np.bool_] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    source: Arm | None = None,
    score_floors: ScoreFloors | None = None,
    cache: Cache | None = None,
    cut: Cut | None = None,
) -> Generator[Progress, None, LiveSegmentation]:
    """Do as `segment_steps`, and keep the candidates, from which `retune` selects again.

    Parameters
    ----------
    image, recipe, region, contrast_limits, source, cache, cut
        As for `segment_steps`.
    score_floors
        Candidates above these scores are kept; all if omitted.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, run
    >>> from napari_graysam.pipeline import live_steps, retune
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> live = run(live_steps(np.eye(64), recipe))
    >>> none = retune(live, recipe.with_values({"generator.pred_iou_thresh": 1}))
    >>> len(none.masks), len(live.selector.proposals)
    (0, 48)
    """
    floors = ScoreFloors() if score_floors is None else score_floors
    return (yield from _stages(image, recipe, region, contrast_limits, source, floors, cache, cut))


def _stages(
    image: Any,
    recipe: GivenRecipe,
    region: NDArray[np.bool_] | None,
    contrast_limits: tuple[float, float] | None,
    source: Arm | None,
    score_floors: ScoreFloors | None,
    cache: Cache | None,
    cut: Cut | None = None,
) -> Generator[Progress, None, LiveSegmentation]:
    """Run the arm that the recipe asks for, or both and join them."""
    recipe = recipe_of(recipe)
    if recipe.both_arms is None or not recipe.preprocesses:
        source = source or arm_of(recipe)
        steps = one_arm(image, recipe, region, contrast_limits, source, score_floors, cache, cut)
        return (yield from steps)
    gray = read_gray(image, recipe, contrast_limits=contrast_limits)
    floors = floors_for_both(recipe, score_floors)
    steps = one_arm(gray, recipe.raw_arm(), region, None, "raw", floors, cache, cut)
    raw = yield from renamed(steps, "raw")
    of_arm = recipe.preprocessed_arm()
    steps = one_arm(gray, of_arm, region, None, "preprocessed", floors, cache, cut)
    preprocessed = yield from renamed(steps, "preprocessed")
    return combine(raw, preprocessed, recipe)
