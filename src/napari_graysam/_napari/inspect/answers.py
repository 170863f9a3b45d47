"""What the inspector asks of a selector in a worker thread, and how it says the answers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_graysam.recipe import Recipe, for_image

if TYPE_CHECKING:
    from napari_graysam._napari.canvas.placement import Placement
    from napari_graysam.masks import Mask
    from napari_graysam.recipe import Pin
    from napari_graysam.results import Segmentation
    from napari_graysam.select.explanation import Explanation
    from napari_graysam.select.selector import Selector


class Answer(NamedTuple):
    """The candidates that cover a pixel ``(x, y)``.

    Attributes
    ----------
    selector
        That knows the candidates.
    pixel
        Where they were asked for.
    explanations
        What became of each.
    placement
        Where the candidates' pixels lie; None where the whole result does.
    later
        Candidates that the selector made objects, and that something else dropped.
    notes
        What else is to be said, in sentences.
    pin
        Makes a candidate an entry of ``labels.pinned``; None where one is named in
        ``labels.keep`` instead.
    """

    selector: Selector
    pixel: tuple[int, int]
    explanations: Sequence[Explanation]
    placement: Placement | None = None
    later: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    pin: Callable[[Explanation], Pin] | None = None


class Relaxed(NamedTuple):
    """Values at which a recipe would keep a candidate, by dotted path; None if there are none."""

    recipe: Recipe
    values: dict[str, Any] | None


def explain(
    selector: Selector, pixel: tuple[int, int], result: Segmentation
) -> Generator[Answer, None, None]:
    """Yield what became of every candidate that covers a pixel."""
    sized = for_image(result.recipe, selector.proposals.image_size)
    x, y = pixel
    found = selector.explain(x, y, sized.generator, sized.labels, result.masks, result.regroupings)
    yield Answer(selector, pixel, found)


def read_mask(
    explanation: Explanation, placement: Placement
) -> Generator[tuple[Mask, Placement], None, None]:
    """Yield a candidate's pixels, unpacked, and where the image lies."""
    yield explanation.mask, placement


def pinned(
    pin: Callable[[Explanation], Pin], explanation: Explanation
) -> Generator[Pin, None, None]:
    """Yield the entry of ``labels.pinned`` that makes a candidate an object."""
    yield pin(explanation)


def relax(selector: Selector, candidate: int, recipe: Recipe) -> Generator[Relaxed, None, None]:
    """Yield the values nearest to a recipe's at which no filter drops a candidate."""
    sized = for_image(recipe, selector.proposals.image_size)
    yield Relaxed(recipe, selector.relax(candidate, sized.generator, sized.labels))


def relax_tip(explanation: Explanation | None) -> str:
    """Say what relaxing would change."""
    text = "Change the parameter that dropped this mask, by as little as needed"
    if explanation is None or explanation.parameter is None:
        return text
    part, name = explanation.parameter.split(".")
    title = type(getattr(Recipe(), part)).model_fields[name].title
    return f"{text}:\n{title} becomes {explanation.relaxed}"


def summary(x: int, y: int, explanations: Sequence[Explanation]) -> str:
    """Say what was found at a pixel."""
    if not explanations:
        return (
            f"Pixel x {x}, y {y}: no candidate covers it. More points, or preprocessing that makes "
            "the object stand out, may find one."
        )
    shown = [explanation for explanation in explanations if explanation.label is not None]
    objects = f"{len(shown)} in the result" if shown else "none in the result"
    count = "1 candidate" if len(explanations) == 1 else f"{len(explanations)} candidates"
    return f"Pixel x {x}, y {y}: {count}, {objects}."
