"""One object of an image, asked for by points or a box."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_graysam.errors import UsageError
from napari_graysam.fingerprint import array_digest
from napari_graysam.pipeline.segmenting import OnProgress
from napari_graysam.pipeline.stages import arm_of, read_gray
from napari_graysam.pipeline.view import model_views
from napari_graysam.progress import Progress, run
from napari_graysam.recipe import GivenRecipe, Prompt, for_image, recipe_of
from napari_graysam.results import Arm

if TYPE_CHECKING:
    from napari_graysam.prompt import Answer, Predictor
    from napari_graysam.propose.cache import Cache


def segment_one(
    image: Any,
    recipe: GivenRecipe = None,
    *,
    positive: Sequence[tuple[float, float]] = (),
    negative: Sequence[tuple[float, float]] = (),
    box: tuple[float, float, float, float] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    cache: Cache | None = None,
    on_progress: OnProgress | None = None,
) -> Answer:
    """Segment one object of a grayscale image, named by points or a box.

    Parameters
    ----------
    image, recipe, contrast_limits, cache, on_progress
        As for `napari_graysam.segment`.
    positive, negative
        Points ``(x, y)`` on the object and off it, in pixels of the image.
    box
        ``(x0, y0, x1, y1)`` around the object.

    Returns
    -------
    Answer
        The model's masks, best first. Its ``pin()`` is an entry for the recipe's
        ``labels.pinned``: whatever that recipe segments the image with, the object is there.

    Raises
    ------
    UsageError
        If there is neither a point on the object nor a box, or one lies outside of the image.
    GraysamError
        As for `napari_graysam.segment`.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, segment, segment_one
    >>> y, x = np.ogrid[:128, :128]
    >>> image = np.where((y - 64) ** 2 + (x - 64) ** 2 < 400, 200, 30).astype(np.uint8)
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> answer = segment_one(image, recipe, positive=[(64, 64)])
    >>> labels = recipe.labels.replace(pinned=(answer.pin(),))
    >>> result = segment(image, recipe.replace(labels=labels))
    >>> result.masks[-1].pinned, result.masks[-1].area == answer.masks[0].area
    (True, True)

    See Also
    --------
    napari_graysam.segment : All objects.
    predictor_steps : Keeps what answers to further prompts need.
    """
    try:
        prompt = Prompt(positive=tuple(positive), negative=tuple(negative), box=box)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise UsageError(f"this prompt is of no use: {problem['msg']}") from None
    steps = _ask(image, recipe, prompt, contrast_limits, cache)
    return run(steps, on_progress)


def predictor_steps(
    image: Any,
    recipe: GivenRecipe = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
    source: Arm | None = None,
    cache: Cache | None = None,
) -> Generator[Progress, None, Predictor]:
    """Prepare an image for prompts, yielding `Progress`; closing the generator cancels.

    Parameters
    ----------
    image, recipe, contrast_limits, source, cache
        As for `napari_graysam.segment_steps`. The image is encoded when it is first asked.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import run
    >>> from napari_graysam.pipeline import predictor_steps
    >>> from napari_graysam.recipe import Prompt
    >>> y, x = np.ogrid[:128, :128]
    >>> image = np.where((y - 64) ** 2 + (x - 64) ** 2 < 400, 200, 30).astype(np.uint8)
    >>> predictor = run(predictor_steps(image))
    >>> answers = [run(predictor.ask(Prompt(positive=((x, 64),)))) for x in (60, 64)]
    >>> all(answer.masks[0].predicted_iou > 0 for answer in answers)
    True

    See Also
    --------
    segment_one : Answers a single prompt.
    """
    recipe = recipe_of(recipe)
    yield Progress("image", 0, 1)
    gray = read_gray(image, recipe, contrast_limits=contrast_limits)
    recipe = for_image(recipe, gray.pixels.shape)
    yield Progress("preprocess", 0, 1)
    # Of a recipe that joins both arms, the preprocessed one is asked.
    view = model_views(gray, recipe)[-1]

    from napari_graysam.model import load_steps

    model = yield from load_steps(recipe.model)

    from napari_graysam.prompt import Predictor
    from napari_graysam.propose.cache import Cache

    return Predictor(
        view=view,
        model=model,
        generator=recipe.generator,
        labels=recipe.labels,
        image=array_digest(gray.raw),
        source=source or arm_of(recipe),
        cache=Cache() if cache is None else cache,
    )


def _ask(
    image: Any,
    recipe: GivenRecipe,
    prompt: Prompt,
    contrast_limits: tuple[float, float] | None,
    cache: Cache | None,
) -> Generator[Progress, None, Answer]:
    predictor = yield from predictor_steps(
        image, recipe, contrast_limits=contrast_limits, cache=cache
    )
    return (yield from predictor.ask(prompt))
