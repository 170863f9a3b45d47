"""Which stage of the pipeline a change of parameters invalidates first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args

from napari_graysam.parameters import Part
from napari_graysam.recipe.reference import extra

Stage: TypeAlias = Literal["encode", "decode", "logits", "scores", "nms", "labels"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""From the first and most costly to the last and cheapest."""


def changed_stage(before: Part, after: Part) -> Stage | None:
    """Return the earliest stage whose parameters differ between two recipes, or None.

    A field names its stage in its schema entry ``stage``; one without changes no result.
    A disabled step counts as absent.
    """
    return min(_changed(before, after), key=STAGES.index, default=None)


def _changed(before: Part, after: Part) -> Iterator[Stage]:
    for name, field in type(before).model_fields.items():
        old, new, stage = getattr(before, name), getattr(after, name), extra(field, "stage")
        if stage is not None and _effective(old) != _effective(new):
            yield stage
        elif stage is None and isinstance(old, Part):
            yield from _changed(old, new)


def _effective(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_effective(item) for item in value if getattr(item, "enabled", True))
    if isinstance(value, Part):
        return {name: _effective(inner) for name, inner in value}
    return value
