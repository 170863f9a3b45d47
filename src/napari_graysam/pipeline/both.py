"""Both arms as one result: their candidates together, selected once."""

from __future__ import annotations

from dataclasses import replace

from napari_graysam.errors import ImageError
from napari_graysam.fingerprint import array_digest
from napari_graysam.masks.painting import fraction_unmasked
from napari_graysam.pipeline.later import with_redrawn, with_second_look
from napari_graysam.pipeline.resolution import too_small_notes
from napari_graysam.pipeline.stages import (
    ScoreFloors,
    select,
    selection_record,
)
from napari_graysam.recipe import Recipe, for_image, objects_notes
from napari_graysam.results import LiveSegmentation


def combine(
    raw: LiveSegmentation, preprocessed: LiveSegmentation, recipe: Recipe
) -> LiveSegmentation:
    """Make one result of both arms' candidates, without the model.

    Parameters
    ----------
    raw, preprocessed
        Both arms of one image, by the same recipe but for its preprocessing.
    recipe
        Its ``arms`` are ``union`` or ``consensus``.

    Returns
    -------
    LiveSegmentation
        `retune` selects again from it. Masks of both arms' second looks join where nothing was
        selected. Its view is the preprocessed arm's.

    Raises
    ------
    ImageError
        If the two are not of the same pixels, window and region.
    ProposalsError
        If they are of different models or points.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe, run
    >>> from napari_graysam.pipeline import combine, live_steps
    >>> recipe = Recipe.preset("low-contrast").with_values(
    ...     {"generator.points_per_side": 4, "arms": "union"}
    ... )
    >>> raw = run(live_steps(np.eye(64), recipe.raw_arm(), source="raw"))
    >>> preprocessed = run(live_steps(np.eye(64), recipe.preprocessed_arm()))
    >>> live = combine(raw, preprocessed, recipe)
    >>> live.result.provenance["proposals"]["arms"]
    {'raw': 48, 'preprocessed': 48}
    """
    from napari_graysam.propose.arms import join_arms
    from napari_graysam.select.selector import Selector

    one, other = raw.result, preprocessed.result
    notes = objects_notes(recipe, other.labels.shape)
    recipe = for_image(recipe, other.labels.shape)
    before, after = one.fingerprint, other.fingerprint
    if before["image"] != after["image"] or before.inputs.region != after.inputs.region:
        raise ImageError(
            "the raw and the preprocessed arm are of different images, windows or regions and "
            "cannot be joined: segment the same image both times"
        )
    proposals = join_arms(raw.selector.proposals, preprocessed.selector.proposals, recipe.generator)
    selector = Selector(
        proposals, image=array_digest(other.raw), raw=other.raw, views=[one.view, other.view]
    )
    again = (*raw.again, *preprocessed.again)
    behind = len(raw.selector.proposals)
    selector.learn(raw.selector.answers | preprocessed.selector.answers.behind(behind))
    redrawn = dict(raw.redrawn) | {
        tuple(behind + index for index in candidates): mask
        for candidates, mask in preprocessed.redrawn.items()
    }
    selected = with_redrawn(select(selector, recipe, source=recipe.arms), redrawn, recipe)
    selected = with_second_look(selected, again, recipe, selector, recipe.arms)
    seconds = {
        stage: round(one.provenance["seconds"].get(stage, 0.0) + spent, 4)
        for stage, spent in other.provenance["seconds"].items()
    }
    unmasked = fraction_unmasked(selected.labels, preprocessed.region)
    frame = other.provenance["model"].get("image_size")
    lost = too_small_notes(selected.masks, unmasked, selected.labels.shape, frame, recipe)
    about = {name: value for name, value in proposals.record.items() if name != "model"}
    result = replace(
        other,
        labels=selected.labels,
        masks=selected.masks,
        recipe=recipe,
        provenance={
            **other.provenance,
            "fingerprint": after.with_recipe(recipe).model_dump(),
            "proposals": {"kept": len(proposals), **about},
            "selection": selection_record(selected, [*notes, *lost]),
            **{
                part: {
                    key: count + one.provenance[part][key]
                    for key, count in other.provenance[part].items()
                }
                for part in ("merging", "refinement")
            },
            "second_look": one.provenance["second_look"] + other.provenance["second_look"],
            "seconds": seconds,
            "source": recipe.arms,
        },
        unmasked=unmasked,
        regroupings=selected.regroupings,
    )
    return LiveSegmentation(result, selector, again, redrawn, preprocessed.region)


def floors_for_both(recipe: Recipe, asked: ScoreFloors | None) -> ScoreFloors | None:
    """Return the scores down to which both arms keep candidates, so that they can be joined.

    Parameters
    ----------
    recipe
        Uses ``arms_thresholds``: a matched one may be far below the recipe's.
    asked
        Lower ones that are wanted anyway; None for the recipe's own.
    """
    if recipe.arms_thresholds == "same":
        return asked
    stability = recipe.generator.stability_score_thresh
    return ScoreFloors(0.0, stability if asked is None else asked.stability)
