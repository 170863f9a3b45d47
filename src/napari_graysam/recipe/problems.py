"""From pydantic's list of errors to one message that names key, value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from napari_graysam.errors import RecipeError
from napari_graysam.parameters import Part
from napari_graysam.recipe.reference import (
    allowed,
    as_text,
    is_choice,
    kind_of,
    listed,
    parts_in,
)

MOST = 20
"""Problems that one message lists."""


def recipe_error(error: ValidationError, part: type[Part], source: str) -> RecipeError:
    """Translate a validation error.

    Parameters
    ----------
    error
        What pydantic raised for `part`.
    part
        The class that was validated, such as `Recipe`.
    source
        What was validated, as the message's subject: "recipe.yaml", "the recipe".

    Returns
    -------
    RecipeError
        With a line for every problem: dotted path, value that came, what is allowed.
    """
    found = error.errors(include_url=False)
    # A list whose items are wrong is reported again as a whole: the items say more.
    parents = {details["loc"][:end] for details in found for end in range(len(details["loc"]))}
    found = [details for details in found if details["loc"] not in parents]
    lines = [f"  {_describe(details, part)}" for details in found[:MOST]]
    if len(found) > MOST:
        lines.append(f"  … and {len(found) - MOST} more")
    return RecipeError("\n".join([f"{source} is not a valid recipe:", *lines]))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Text that proposes the known word closest to a mistyped one, or nothing."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


class _Place(NamedTuple):
    path: str
    owner: type[Part]
    field: FieldInfo | None
    choices: tuple[type[Part], ...]


def _place(loc: tuple[int | str, ...], part: type[Part]) -> _Place:
    """Follow pydantic's location, in which a chosen kind is an entry of its own."""
    path: list[str] = []
    owner, field, choices = part, None, ()  # type: type[Part], FieldInfo | None, Any
    for entry in loc:
        chosen = [choice for choice in choices if kind_of(choice) == entry]
        if chosen:
            owner, field, choices = chosen[0], None, ()
            continue
        if isinstance(entry, str) and field is not None and not parts_in(field.annotation):
            continue  # The branch of a union, which is no entry of the document.
        path.append(str(entry))
        if isinstance(entry, int):
            continue
        if field is not None and parts_in(field.annotation) and not choices:
            owner = parts_in(field.annotation)[0]
        field = owner.model_fields.get(entry)
        parts = parts_in(field.annotation) if field else ()
        choices = parts if is_choice(parts) else ()
    return _Place(".".join(path), owner, field, choices)


def _describe(details: ErrorDetails, part: type[Part]) -> str:
    place = _place(details["loc"], part)
    kind, came = details["type"], details["input"]
    if kind == "json_invalid":
        return "a text in it is not valid Unicode"
    if kind == "value_error":
        reason = str(details["ctx"]["error"])
        is_leaf = place.field is not None and not parts_in(place.field.annotation)
        text = f"{_came(came)} came; {reason}" if is_leaf else reason
    elif kind == "extra_forbidden":
        word = str(details["loc"][-1])
        known = list(place.owner.model_fields)
        hint = did_you_mean(word, known) or f"; known here: {', '.join(known)}"
        text = f"unknown key{hint}"
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        return f"{place.path}.kind: {_wrong_kind(came, place.choices)}"
    elif place.choices and isinstance(details["loc"][-1], int):
        kinds = listed([kind_of(choice) for choice in place.choices])
        text = f"{_came(came)} came; allowed is a mapping with the kind {kinds}"
    elif place.field is None:
        text = f"{_came(came)} came; {details['msg']}"
    elif kind == "missing":
        text = f"missing; allowed is {allowed(place.field)}"
    else:
        hint = (
            did_you_mean(came, map(str, get_args(place.field.annotation)))
            if (kind == "literal_error" and isinstance(came, str))
            else ""
        )
        text = f"{_came(came)} came; allowed is {allowed(place.field)}{hint}"
    return f"{place.path}: {text}" if place.path else text


def _wrong_kind(came: Any, choices: tuple[type[Part], ...]) -> str:
    kinds = [kind_of(choice) for choice in choices]
    word = came.get("kind") if isinstance(came, dict) else None
    if word is None:
        return f"missing; allowed is {', '.join(kinds)}"
    return f"{_came(word)} came; allowed is {', '.join(kinds)}{did_you_mean(str(word), kinds)}"


def _came(value: Any) -> str:
    text = as_text(value)
    if len(text) > 60:
        text = f"{text[:57]}…"
    return f"{text} (text)" if isinstance(value, str) else text
