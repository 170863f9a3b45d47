"""The whole flow: image → view → proposals → masks → labels, for one arm or for both."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError, ProposalsError, TruthError
from napari_graysam.fingerprint import Fingerprint, Inputs
from napari_graysam.masks.mask import Mask
from napari_graysam.preprocess import apply
from napari_graysam.preprocess.rgb import to_rgb
from napari_graysam.progress import Progress, run
from napari_graysam.recipe import MODEL_STAGES, Recipe
from napari_graysam.results import Arm, Arms, Segmentation
from napari_graysam.source.gray import GrayImage, to_gray

if TYPE_CHECKING:
    from napari_graysam.comparison import Scores
    from napari_graysam.propose.cache import Cache
    from napari_graysam.select.selector import Selector

OnProgress = Callable[[Progress], None]


class ScoreFloors(NamedTuple):
    """Scores down to which candidates are kept, so that thresholds can be lowered later."""

    predicted_iou: float = 0.0
    stability: float = 0.0


def segment(
    image: Any,
    recipe: Recipe | None = None,
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
        Any array that holds one image, as ``recipe.image`` says, or a `GrayImage`.
    recipe
        Every parameter; the preset ``raw`` if omitted.
    region
        bool (H, W); points are set only where it is True.
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
    >>> recipe = Recipe.preset("raw")
    >>> few_points = recipe.generator.replace(points_per_side=4)
    >>> result = segment(image, recipe.replace(generator=few_points))
    >>> result.labels.shape, int(result.labels.max()) == len(result.masks)
    ((64, 64), True)

    See Also
    --------
    compare : Without and with preprocessing.
    segment_steps : With progress, to be cancelled.
    """
    steps = segment_steps(
        image, recipe, region=region, contrast_limits=contrast_limits, cache=cache
    )
    return run(steps, on_progress)


def compare(
    image: Any,
    recipe: Recipe,
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
    >>> recipe = Recipe.preset("low-contrast")
    >>> few_points = recipe.generator.replace(points_per_side=4)
    >>> arms = compare(truth * 200, recipe.replace(generator=few_points), truth=truth)
    >>> sorted(arms.scores), arms.raw.labels.shape
    (['preprocessed', 'raw'], (64, 64))

    See Also
    --------
    segment : One arm only.
    """
    steps = compare_steps(
        image, recipe, truth=truth, region=region, contrast_limits=contrast_limits, cache=cache
    )
    return run(steps, on_progress)


def segment_steps(
    image: Any,
    recipe: Recipe | None = None,
    *,
    region: NDArray[np.bool_] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    source: Arm = "preprocessed",
    score_floors: ScoreFloors | None = None,
    cache: Cache | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Do as `segment`, yielding `Progress`; closing the generator cancels.

    Parameters
    ----------
    image, recipe, region, contrast_limits
        As for `segment`.
    source
        The arm that the masks name.
    score_floors
        Keep the candidates above these scores, and let `retune` choose among them.
    cache
        Features and proposals of earlier runs, so that this one starts from what has changed.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, segment_steps
    >>> recipe = Recipe.preset("raw")
    >>> few_points = recipe.generator.replace(points_per_side=4)
    >>> image = np.eye(64)
    >>> steps = segment_steps(image, recipe.replace(generator=few_points))
    >>> next(steps)
    Progress(stage='image', done=0, total=1)
    >>> steps.close()  # cancels

    See Also
    --------
    run : Exhausts such a generator.
    """
    recipe = Recipe.preset() if recipe is None else recipe
    clock = _Clock()
    yield Progress("image", 0, 1)
    gray = _gray(image, recipe, contrast_limits)
    _check_region(region, gray)
    clock.lap("image")
    yield Progress("image", 1, 1)
    yield Progress("preprocess", 0, 1)
    view = to_rgb(apply(gray.pixels, recipe.preprocess), recipe.rgb)
    clock.lap("preprocess")
    yield Progress("preprocess", 1, 1)

    from napari_graysam.model import load_steps
    from napari_graysam.model.identity import identify
    from napari_graysam.propose import propose
    from napari_graysam.select.selector import Selector

    inputs = Inputs.of(gray, identify(recipe.model), region)
    model = yield from load_steps(recipe.model)
    clock.lap("model")
    iou_floor, stability_floor = _floors(recipe, score_floors)
    proposals = yield from propose(
        view,
        model,
        recipe.generator,
        region=region,
        iou_floor=iou_floor,
        stability_floor=stability_floor,
        cache=cache,
    )
    clock.lap("propose")
    yield Progress("select", 0, 1)
    selector = Selector(proposals)
    masks, labels = _select(selector, recipe, source)
    clock.lap("select")
    yield Progress("select", 1, 1)
    provenance = {
        "fingerprint": Fingerprint.of(recipe, inputs).model_dump(),
        "versions": inputs.versions,
        "model": model.record,
        "image": gray.record,
        "proposals": {"kept": len(proposals.predicted_iou), **proposals.record},
        "selection": {"notes": _unknown(selector, recipe)},
        "seconds": clock.seconds,
        "source": source,
    }
    return Segmentation(
        labels=labels,
        masks=masks,
        recipe=recipe,
        provenance=provenance,
        unmasked=float(np.mean(labels == 0)),
        view=view,
        raw=gray.raw,
        selector=None if score_floors is None else selector,
    )


def retune(result: Segmentation, recipe: Recipe) -> Segmentation:
    """Select and paint again, without the model.

    Parameters
    ----------
    result
        Of `segment_steps` with ``score_floors``.
    recipe
        May differ from ``result.recipe`` from the stage "logits" on.

    Raises
    ------
    ProposalsError
        If the recipe differs before that, or asks for candidates that the result does not hold.
    """
    changed = result.recipe.changed_stage(recipe)
    if changed in MODEL_STAGES:
        raise ProposalsError(
            f"the recipe differs from the result's in the stage {changed!r}, which needs the "
            "model: segment again"
        )
    if result.selector is None:
        raise ProposalsError(
            "this result kept no candidates to choose from: segment with score_floors=ScoreFloors()"
        )
    source = result.provenance["source"]
    masks, labels = _select(result.selector, recipe, source)
    provenance = {
        **result.provenance,
        "selection": {"notes": _unknown(result.selector, recipe)},
        "fingerprint": result.fingerprint.with_recipe(recipe).model_dump(),
    }
    return replace(
        result,
        provenance=provenance,
        labels=labels,
        masks=masks,
        recipe=recipe,
        unmasked=float(np.mean(labels == 0)),
    )


def compare_steps(
    image: Any,
    recipe: Recipe,
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
    gray = _gray(image, recipe, contrast_limits)
    if truth is not None and np.shape(truth) != gray.pixels.shape:
        raise TruthError(
            f"the ground truth has shape {np.shape(truth)}, the image {gray.pixels.shape}: "
            "give labels of the same height and width"
        )
    arms: dict[Arm, Segmentation] = {}
    recipes: dict[Arm, Recipe] = {"raw": recipe.raw_arm(), "preprocessed": recipe}
    for arm, of_arm in recipes.items():
        steps = segment_steps(gray, of_arm, region=region, source=arm, cache=cache)
        arms[arm] = yield from _named(arm, steps)

    from napari_graysam.comparison import compare_masks, score

    yield Progress("compare", 0, 1)
    shape = (gray.pixels.shape[0], gray.pixels.shape[1])
    changes = compare_masks(arms["raw"].masks, arms["preprocessed"].masks, shape)
    scores: dict[Arm, Scores] | None = None
    if truth is not None:
        scores = {arm: score(result.labels, truth) for arm, result in arms.items()}
    yield Progress("compare", 1, 1)
    return Arms(arms["raw"], arms["preprocessed"], changes, scores)


def _named(
    arm: Arm, steps: Generator[Progress, None, Segmentation]
) -> Generator[Progress, None, Segmentation]:
    """Prefix the stages with the arm."""
    try:
        while True:
            progress = next(steps)
            yield progress._replace(stage=f"{arm}: {progress.stage}")
    except StopIteration as stop:
        result: Segmentation = stop.value
        return result
    finally:
        steps.close()


def _floors(recipe: Recipe, score_floors: ScoreFloors | None) -> ScoreFloors:
    """Return the recipe's own thresholds, or lower ones where asked for or masks are kept."""
    if recipe.labels.keep:
        return ScoreFloors()
    generator = recipe.generator
    own = ScoreFloors(generator.pred_iou_thresh, generator.stability_score_thresh)
    if score_floors is None:
        return own
    return ScoreFloors(*(min(pair) for pair in zip(own, score_floors, strict=True)))


def _select(
    selector: Selector, recipe: Recipe, source: str
) -> tuple[tuple[Mask, ...], NDArray[np.uint32]]:
    """Return the masks that a recipe selects, and their label image."""
    from napari_graysam.select import paint

    masks = selector.select(recipe.generator, recipe.labels, source)
    return masks, paint(masks, selector.proposals.image_size, recipe.labels)


def _unknown(selector: Selector, recipe: Recipe) -> list[str]:
    """Say which masks to keep are not there."""
    return [
        f"labels.keep names mask {kept.mask} of the point {kept.point[0]:g}, {kept.point[1]:g} "
        f"in crop {kept.crop}, but this run has no such mask: it was kept in another image, "
        "with another grid or by another model"
        for kept in selector.missing_pinned(recipe.labels)
    ]


def _gray(image: Any, recipe: Recipe, contrast_limits: tuple[float, float] | None) -> GrayImage:
    if isinstance(image, GrayImage):
        return image
    return to_gray(image, recipe.image, contrast_limits=contrast_limits)


def _check_region(region: NDArray[np.bool_] | None, gray: GrayImage) -> None:
    if region is None:
        return
    if region.shape != gray.pixels.shape:
        raise ImageError(
            f"the region has shape {region.shape}, the image {gray.pixels.shape}: "
            "give a region of the same height and width"
        )
    if not region.any():
        raise ImageError("the region is empty: no point could be set; mark at least one pixel")


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 4)
        self._last = now
