"""One arm: the four stages in a row, and selecting again from their candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ProposalsError
from napari_graysam.fingerprint import Fingerprint, Inputs, array_digest
from napari_graysam.masks import ARMS
from napari_graysam.masks.painting import fraction_unmasked
from napari_graysam.pipeline.both import combine, floors_for_both
from napari_graysam.pipeline.cut import Cut
from napari_graysam.pipeline.later import (
    ask_fragments,
    ask_new_fragments,
    with_redrawn,
    with_second_look,
)
from napari_graysam.pipeline.resolution import too_small_notes
from napari_graysam.pipeline.stages import (
    ScoreFloors,
    arm_of,
    find_region,
    propose,
    read_gray,
    select,
    selection_record,
)
from napari_graysam.pipeline.view import make_view
from napari_graysam.progress import Progress, renamed, run
from napari_graysam.recipe import (
    MODEL_STAGES,
    GivenRecipe,
    Recipe,
    for_image,
    objects_notes,
    recipe_of,
)
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
) -> Generator[Progress, None, LiveSegmentation]:
    """Do as `segment_steps`, and keep the candidates, from which `retune` selects again.

    Parameters
    ----------
    image, recipe, region, contrast_limits, source, cache
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
    return (yield from _stages(image, recipe, region, contrast_limits, source, floors, cache))


def retune(live: LiveSegmentation, recipe: Recipe) -> Segmentation:
    """Select and paint again, without the model.

    Parameters
    ----------
    live
        Of `live_steps`.
    recipe
        May differ from that of ``live.result`` from the stage "logits" on.

    Raises
    ------
    ProposalsError
        If the recipe differs before that, or asks for candidates that were not kept.

    Examples
    --------
    See `live_steps`.
    """
    result = live.result
    notes = objects_notes(recipe, result.labels.shape)
    recipe = for_image(recipe, result.labels.shape)
    changed = result.recipe.changed_stage(recipe)
    if changed in MODEL_STAGES:
        raise ProposalsError(
            f"the recipe differs from the result's in the stage {changed!r}, which needs the "
            "model: segment again"
        )
    source = result.provenance["source"]
    if source not in ARMS:
        source = recipe.arms
    selected = select(live.selector, recipe, source=source)
    selected = with_redrawn(selected, live.redrawn, recipe)
    selected = with_second_look(selected, live.again, recipe, live.selector, source)
    unmasked = fraction_unmasked(selected.labels, live.region)
    frame = result.provenance["model"].get("image_size")
    lost = too_small_notes(selected.masks, unmasked, result.labels.shape, frame, recipe)
    provenance = {
        **result.provenance,
        "source": source,
        "selection": selection_record(selected, [*notes, *lost]),
        "fingerprint": result.fingerprint.with_recipe(recipe).model_dump(),
    }
    return replace(
        result,
        labels=selected.labels,
        masks=selected.masks,
        recipe=recipe,
        provenance=provenance,
        unmasked=unmasked,
        regroupings=selected.regroupings,
    )


def fingerprint_of(
    image: Any,
    recipe: GivenRecipe,
    *,
    region: NDArray[np.bool_] | None = None,
    contrast_limits: tuple[float, float] | None = None,
) -> Fingerprint:
    """Return the fingerprint that `segment` would give its result, without loading the model.

    Parameters
    ----------
    image, recipe, region, contrast_limits
        As for `segment`.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, segment
    >>> from napari_graysam.pipeline import fingerprint_of
    >>> image = np.eye(64)
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> result = segment(image, recipe)
    >>> fingerprint_of(image, recipe) == result.fingerprint
    True
    >>> fingerprint_of(image * 2, recipe) == result.fingerprint
    False

    See Also
    --------
    napari_graysam.fingerprint.outdated_from : Says from which stage two differ.
    """
    from napari_graysam.model.identity import identify

    recipe = recipe_of(recipe)
    gray = read_gray(image, recipe, contrast_limits=contrast_limits)
    recipe = for_image(recipe, gray.pixels.shape)
    mask = find_region(recipe, gray.pixels.shape, region)
    return Fingerprint.of(recipe, Inputs.of(gray, identify(recipe.model), mask))


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
        steps = _one_arm(image, recipe, region, contrast_limits, source, score_floors, cache, cut)
        return (yield from steps)
    gray = read_gray(image, recipe, contrast_limits=contrast_limits)
    floors = floors_for_both(recipe, score_floors)
    steps = _one_arm(gray, recipe.raw_arm(), region, None, "raw", floors, cache, cut)
    raw = yield from renamed(steps, "raw")
    of_arm = recipe.preprocessed_arm()
    steps = _one_arm(gray, of_arm, region, None, "preprocessed", floors, cache, cut)
    preprocessed = yield from renamed(steps, "preprocessed")
    return combine(raw, preprocessed, recipe)


def _one_arm(
    image: Any,
    recipe: Recipe,
    region: NDArray[np.bool_] | None,
    contrast_limits: tuple[float, float] | None,
    source: Arm,
    score_floors: ScoreFloors | None,
    cache: Cache | None,
    cut: Cut | None,
) -> Generator[Progress, None, LiveSegmentation]:
    """Call the four stages one after the other."""
    clock = _Clock()
    yield Progress("image", 0, 1)
    gray = read_gray(image, recipe, contrast_limits=contrast_limits)
    notes = objects_notes(recipe, gray.pixels.shape)
    recipe = for_image(recipe, gray.pixels.shape)
    shown = recipe if recipe.arms == "preprocessed" else recipe.raw_arm()
    region = find_region(recipe, gray.pixels.shape, region)
    clock.lap("image")
    yield Progress("image", 1, 1)
    yield Progress("preprocess", 0, 1)
    view = make_view(gray, shown) if cut is None else cut.view(shown)
    clock.lap("preprocess")
    yield Progress("preprocess", 1, 1)

    from napari_graysam.model import load_steps
    from napari_graysam.prompt import Predictor
    from napari_graysam.propose.cache import Cache
    from napari_graysam.refine import Refinement, refine
    from napari_graysam.second_look import SecondLook, look_again
    from napari_graysam.select.selector import Selector

    fingerprint = fingerprint_of(gray, recipe, region=region)
    asks = recipe.labels.merging.ask
    if cache is None and (recipe.refine or asks):
        cache = Cache()  # The features are needed twice.
    proposals = yield from propose(
        view,
        recipe,
        region=region,
        score_floors=score_floors,
        cache=cache,
        points=None if cut is None else cut.points,
    )
    clock.lap("propose")
    yield Progress("select", 0, 1)
    digest = array_digest(gray.raw)
    selector = Selector(proposals, image=digest, raw=gray.raw, views=[view])
    selected = select(selector, recipe, source=source)
    clock.lap("select")
    yield Progress("select", 1, 1)
    predictor, asked = None, 0
    if recipe.refine or asks:
        assert cache is not None
        model = yield from load_steps(recipe.model)
        predictor = Predictor(view, model, recipe.generator, recipe.labels, digest, source, cache)
    if predictor is not None and asks:
        asked = yield from ask_fragments(selector, recipe, source, predictor)
        selected = select(selector, recipe, source=source)
        clock.lap("ask")
    refined = Refinement()
    if predictor is not None and recipe.refine:
        refined = yield from refine(selected.masks, predictor, recipe.labels)
        selected = with_redrawn(selected, refined.masks, recipe)
        clock.lap("refine")
    again = SecondLook()
    if recipe.second_look.enabled:
        model = yield from load_steps(recipe.model)
        again = yield from look_again(gray.pixels, selected.masks, shown, model, region)
        if predictor is not None and asks:
            steps = ask_new_fragments(selector, selected, again.found, recipe, source, predictor)
            asked += yield from steps
        selected = with_second_look(selected, again.found, recipe, selector, source)
        clock.lap("second look")
    about = dict(proposals.record)
    model_record = about.pop("model")
    unmasked, frame = fraction_unmasked(selected.labels, region), model_record.get("image_size")
    lost = too_small_notes(selected.masks, unmasked, gray.pixels.shape, frame, recipe)
    provenance = {
        "fingerprint": fingerprint.model_dump(),
        "versions": fingerprint.inputs.versions,
        "model": model_record,
        "image": {**gray.record, "digest": digest},
        "proposals": {"kept": len(proposals), **about},
        "selection": selection_record(selected, [*notes, *refined.notes, *again.notes, *lost]),
        "merging": {"asked": asked},
        "refinement": {"asked": refined.asked, "redrawn": len(refined.masks)},
        "second_look": again.rounds,
        "seconds": clock.seconds,
        "source": source,
    }
    result = Segmentation(
        labels=selected.labels,
        masks=selected.masks,
        recipe=recipe,
        provenance=provenance,
        unmasked=unmasked,
        view=view,
        raw=gray.raw,
        regroupings=selected.regroupings,
    )
    return LiveSegmentation(result, selector, again.found, refined.masks, region)


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 4)
        self._last = now
