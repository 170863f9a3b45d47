"""What becomes of a selection: fragments asked for, refined masks, those of a second look."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING

from napari_graysam.masks import Mask, nest
from napari_graysam.pipeline.stages import Selected
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe

if TYPE_CHECKING:
    from napari_graysam.prompt import Predictor
    from napari_graysam.select.selector import Selector


def ask_fragments(
    selector: Selector, recipe: Recipe, source: str, predictor: Predictor
) -> Generator[Progress, None, int]:
    """Ask the model which neighbours are one object, and let the selector know.

    Parameters
    ----------
    selector
        Of the candidates.
    recipe
        Uses ``generator`` and ``labels``.
    source
        The arm.
    predictor
        Of the view.

    Returns
    -------
    int
        For how many pairs it was asked.
    """
    from napari_graysam.ask import ask_together

    pairs = selector.with_regrouper(
        lambda one: one.neighbours(), recipe.generator, recipe.labels, source
    )
    selector.learn((yield from ask_together(pairs, predictor)))
    return len(pairs)


def ask_new_fragments(
    selector: Selector,
    selected: Selected,
    found: Sequence[Mask],
    recipe: Recipe,
    source: str,
    predictor: Predictor,
) -> Generator[Progress, None, int]:
    """Do as `ask_fragments` for the masks of a second look and their neighbours.

    Parameters
    ----------
    selector, recipe, source, predictor
        As for `ask_fragments`.
    selected
        What they join.
    found
        Of `napari_graysam.second_look.look_again`.
    """
    from napari_graysam.ask import ask_together

    masks, new = _joined(selected, found, recipe, selector), len(selected.masks)
    pairs = selector.with_regrouper(
        lambda one: one.new_neighbours(masks, new, selected.regroupings),
        recipe.generator,
        recipe.labels,
        source,
    )
    selector.learn((yield from ask_together(pairs, predictor)))
    return len(pairs)


def with_second_look(
    selected: Selected, found: Sequence[Mask], recipe: Recipe, selector: Selector, source: str
) -> Selected:
    """Add the masks of a second look where nothing was selected, and merge them with the rest.

    Parameters
    ----------
    selected
        Of `select`.
    found
        Of `napari_graysam.second_look.look_again`.
    recipe
        Uses ``second_look``, ``generator`` and ``labels``.
    selector, source
        Of the selection.
    """
    if not found:
        return selected
    from napari_graysam.select.regrouping.objects import summary

    masks, new = _joined(selected, found, recipe, selector), len(selected.masks)
    if recipe.labels.merging.merge > 0 and len(masks) > new:
        merged, regroupings = selector.with_regrouper(
            lambda one: one.add(masks, new, selected.regroupings),
            recipe.generator,
            recipe.labels,
            source,
            recipe.both_arms,
        )
        if regroupings != selected.regroupings:
            masks = nest(merged)
            before = summary(selected.regroupings)
            notes = (note for note in selected.notes if note not in before)
            selected = selected._replace(
                regroupings=regroupings, notes=(*notes, *summary(regroupings))
            )
    return _repainted(selected, masks, recipe)


def _joined(
    selected: Selected, found: Sequence[Mask], recipe: Recipe, selector: Selector
) -> tuple[Mask, ...]:
    """Return the selected masks, then those of a second look that join."""
    from napari_graysam.second_look import join

    shape = (selected.labels.shape[0], selected.labels.shape[1])
    wanted = selector.wanted(found, recipe.labels)
    return join(selected.masks, wanted, shape, recipe.second_look)


def with_redrawn(
    selected: Selected, redrawn: Mapping[tuple[int, ...], Mask], recipe: Recipe
) -> Selected:
    """Put refined masks in the place of those that were selected.

    Parameters
    ----------
    selected
        Of `select`.
    redrawn
        Of `napari_graysam.refine.refine`, by the candidates of the mask that each replaces.
    recipe
        Uses ``refine`` and ``labels``.
    """
    if not recipe.refine or not redrawn:
        return selected
    masks = tuple(
        redrawn.get(mask.candidates, mask).marked(
            candidates=mask.candidates,
            parent=mask.parent,
            depth=mask.depth,
            regrouped=mask.regrouped,
            evidence=mask.evidence,
        )
        for mask in selected.masks
    )
    return _repainted(selected, masks, recipe)


def _repainted(selected: Selected, masks: tuple[Mask, ...], recipe: Recipe) -> Selected:
    """Return other masks with their own label image."""
    from napari_graysam.masks import paint, separate

    if recipe.labels.overlap == "disjoint":
        masks = tuple(separate(masks))
    shape = (selected.labels.shape[0], selected.labels.shape[1])
    return selected._replace(masks=masks, labels=paint(masks, shape, recipe.labels.overlap))
