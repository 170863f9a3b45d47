"""One arm: the four stages in a row, and what the recipe asks for after them."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.fingerprint import Fingerprint, Inputs, array_digest
from napari_graysam.masks.painting import fraction_unmasked
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
    find_region,
    propose,
    read_gray,
    select,
    selection_record,
)
from napari_graysam.pipeline.view import make_view
from napari_graysam.progress import Progress
from napari_graysam.recipe import GivenRecipe, Recipe, for_image, objects_notes, recipe_of
from napari_graysam.results import Arm, LiveSegmentation, Segmentation

if TYPE_CHECKING:
    from napari_graysam.propose.cache import Cache


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


def one_arm(
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
        again = yield from look_again(
            gray.pixels,
            selected.masks,
            shown,
            model,
            region,
            lambda found: selector.wanted(found, recipe.labels),
        )
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
