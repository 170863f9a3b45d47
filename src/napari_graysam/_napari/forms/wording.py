"""What a field says about itself, in words for its widget: label, explanation, range."""

from __future__ import annotations

import re
from html import escape
from textwrap import fill
from types import NoneType
from typing import Any, get_args

from pydantic.fields import FieldInfo

from napari_graysam._napari.forms.fields import usual_decimals
from napari_graysam.parameters import Part
from napari_graysam.recipe.reference import allowed, extra, parts_in

MODEL_SYMBOL = "↻"
"""Behind the label of a parameter whose change needs the model again."""

_FROM_START = "Needs the model again, from its start (encoder and decoder)."
_MODEL_STAGES = {
    "image": _FROM_START,
    "view": _FROM_START,
    "encode": _FROM_START,
    "decode": "Needs the model again (decoder).",
}
_WRITTEN = {"iou": "IoU", "coco": "COCO", "rle": "RLE"}
LABEL_LETTERS = 19


def choice_text(choice: str) -> str:
    """Write a choice for people: ``smaller_on_top`` as "smaller on top"."""
    return " ".join(_WRITTEN.get(word, word) for word in str(choice).split("_"))


def sentence(text: str) -> str:
    """Begin a text with a capital; a name, such as a file's, that begins it stays as it is."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text


def tooltip(part_type: type[Part], name: str, stage: str | None = None) -> str:
    """Explanation of a field as rich text, which Qt wraps.

    Parameters
    ----------
    part_type, name
        The part's class and the name of its field.
    stage
        Stage of the part, for fields that name none themselves.
    """
    field = part_type.model_fields[name]
    text = field.description or ""
    if none_text(field) is not None:
        text = re.sub(r"\s*Null [^.]*\.", "", text)
    unit = extra(field, "unit")
    range_text = re.sub(r", or null$", "", allowed(field))
    lines = [escape(text)]
    if field.annotation is not bool and not parts_in(field.annotation):
        lines.append(f"<i>{escape(range_text)}{f' ({escape(str(unit))})' if unit else ''}</i>")
    again = _MODEL_STAGES.get(stage_of(field, stage))
    if again:
        lines.append(f"{MODEL_SYMBOL} {again}")
    return f"<qt>{'<br>'.join(lines)}</qt>"


def label_text(field: FieldInfo, stage: str | None) -> str:
    """Return a field's label, broken into short lines and marked where the model is needed."""
    text = field.title or ""
    if stage_of(field, stage) in _MODEL_STAGES:
        text += f"\N{NO-BREAK SPACE}{MODEL_SYMBOL}"
    return fill(text, LABEL_LETTERS).replace("\N{NO-BREAK SPACE}", " ")


def stage_of(field: FieldInfo, stage: str | None) -> str:
    """Return the stage that a field names, or that of its part."""
    return str(extra(field, "stage") or stage or "")


def none_text(field: FieldInfo) -> str | None:
    """Return what None means in a field, in a word or two."""
    text = extra(field, "none")
    return None if text is None else str(text)


def without_none(annotation: Any) -> tuple[Any, bool]:
    """Take None out of a union; Annotated wrappers around the rest are removed."""
    members = [member for member in get_args(annotation) if member is not NoneType]
    optional = NoneType in get_args(annotation)
    inner = members[0] if optional and len(members) == 1 else annotation
    while hasattr(inner, "__metadata__"):
        inner = get_args(inner)[0]
    return inner, optional


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """Return the ends of a field's range, inclusive."""
    found: dict[str, float] = {}
    for constraint in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if (bound := getattr(constraint, name, None)) is not None:
                found[name] = bound
    span = max(found.values(), default=0) - min(found.values(), default=0)
    whole = without_none(field.annotation)[0] is int
    tick = 1 if whole else 10 ** -usual_decimals(span)
    low = found["gt"] + tick if "gt" in found else found.get("ge")
    high = found["lt"] - tick if "lt" in found else found.get("le")
    return low, high
