"""Which stage of the pipeline each parameter decides first.

======  ===========================================================================
stage   what it makes
======  ===========================================================================
image   one grayscale plane, cut to its window
view    the preprocessed RGB picture that the model sees
encode  the model's features of the view and its crops
decode  a mask for every point that is asked
logits  the cut of each mask, its stability, area and box
scores  which masks are sure and stable enough
nms     which of them are no duplicates
labels  objects, their labels and their table
======  ===========================================================================
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

from pydantic.fields import FieldInfo

from napari_graysam.parameters import Part
from napari_graysam.recipe.reference import extra

Stage: TypeAlias = Literal["image", "view", "encode", "decode", "logits", "scores", "nms", "labels"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""From the first and most costly to the last and cheapest."""
MODEL_STAGES = STAGES[: STAGES.index("decode") + 1]
"""Those whose change needs a new run; later ones select again among the candidates."""


def changed_stage(before: Part, after: Part) -> Stage | None:
    """Return the earliest stage whose parameters differ between two recipes, or None.

    See `by_stage` for what counts as a difference.
    """
    old, new = by_stage(before), by_stage(after)
    return next((stage for stage in STAGES if old[stage] != new[stage]), None)


def by_stage(part: Part) -> dict[Stage, dict[str, Any]]:
    """Return the values that decide each stage first, in plain data by their dotted paths.

    Parameters
    ----------
    part
        A recipe or a part of one. A field names its stage in its schema entry ``stage``; one
        without, and in no part with one, changes no result and is left out. So is a step, or a
        part, that is not enabled. Where values decide different stages, the entry ``effects``
        says for each what decides which; an ``optional`` field counts once it is set.

    Examples
    --------
    >>> from napari_graysam.recipe import GeneratorOptions
    >>> by_stage(GeneratorOptions())["scores"]
    {'pred_iou_thresh': 0.8, 'stability_score_thresh': 0.95}
    >>> by_stage(GeneratorOptions(grid="adaptive"))["scores"]
    {}
    """
    found: dict[Stage, dict[str, Any]] = {stage: {} for stage in STAGES}
    _collect(part, "", found)
    return found


def _collect(part: Part, prefix: str, found: dict[Stage, dict[str, Any]]) -> None:
    for name, field in type(part).model_fields.items():
        value, stage = getattr(part, name), stage_of(part, field)
        effects = extra(field, "effects") or {}
        if value in effects:
            for one, effect in effects[value].items():
                found[one][prefix + name] = effect
        elif extra(field, "optional") and value == field.default:
            continue
        elif stage is not None:
            found[stage][prefix + name] = _effective(value)
        elif isinstance(value, Part) and getattr(value, "enabled", True):
            _collect(value, f"{prefix}{name}.", found)


def stage_of(part: Part, field: FieldInfo) -> Stage | None:
    """Return the stage that a field of a part names; None where its part may name one.

    An adaptive grid chooses its points by thresholds that otherwise count later.
    """
    searching = extra(field, "stage_if_adaptive") if getattr(part, "searches", False) else None
    stage: Stage | None = searching or extra(field, "stage")
    return stage


def _effective(value: Any) -> Any:
    """Return plain data in which equal values look alike."""
    if isinstance(value, tuple):
        return [_effective(item) for item in value if getattr(item, "enabled", True)]
    if isinstance(value, Part):
        fields = type(value).model_fields
        return {
            name: _effective(inner)
            for name, inner in value
            if not (extra(fields[name], "optional") and inner == fields[name].default)
        }
    return value + 0.0 if isinstance(value, float) else value
