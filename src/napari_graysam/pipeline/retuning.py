"""Selection again from the candidates of a result: what a moving slider asks for."""

from __future__ import annotations

from dataclasses import replace

from napari_graysam.errors import ProposalsError
from napari_graysam.masks import ARMS
from napari_graysam.masks.painting import fraction_unmasked
from napari_graysam.pipeline.later import with_redrawn, with_second_look
from napari_graysam.pipeline.resolution import too_small_notes
from napari_graysam.pipeline.stages import select, selection_record
from napari_graysam.recipe import MODEL_STAGES, Recipe, for_image, objects_notes
from napari_graysam.results import LiveSegmentation, Segmentation


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
