"""What every parameter of a recipe is: its path, range and explanation, read off the fields."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from napari_graysam.parameters import Part

_NONE: Any = object()


@dataclass(frozen=True)
class Parameter:
    """One parameter, or one choice among parts, in words.

    Attributes
    ----------
    path
        Dotted path. Where a part is chosen by its kind, ``preprocess.0.sigma`` in a given
        recipe and ``preprocess[gaussian].sigma`` among all that a recipe can hold.
    title, description
        Label and explanation.
    allowed
        Type and range, such as "a whole number from 1 to 512, or null".
    default, value
        As written in a recipe file; `default` is "required" where there is none, and `value`
        is the default where no recipe was given.
    unit
        Such as "px"; empty where there is none.
    """

    path: str
    title: str
    allowed: str
    default: str
    value: str
    unit: str
    description: str


def parameters(part: Part | type[Part], prefix: str = "") -> Iterator[Parameter]:
    """Yield what there is to know about every parameter.

    Parameters
    ----------
    part
        A recipe, for the parameters it holds with their values; or the class `Recipe`, for
        every parameter that a recipe can hold, each kind of step and window once.
    prefix
        Put before every path.
    """
    if isinstance(part, type):
        yield from _possible(part, prefix, set())
    else:
        yield from _actual(part, prefix)


def _actual(part: Part, prefix: str) -> Iterator[Parameter]:
    for name, field in type(part).model_fields.items():
        value, path = getattr(part, name), prefix + name
        items = value if isinstance(value, tuple) else ()
        if isinstance(value, Part):
            yield from _actual(value, f"{path}.")
        elif items and isinstance(items[0], Part):
            for index, item in enumerate(items):
                yield from _actual(item, f"{path}.{index}.")
        elif name == "kind":
            yield _choice(type(part), path)
        else:
            yield _parameter(path, field, value)


def _possible(part: type[Part], prefix: str, seen: set[type[Part]]) -> Iterator[Parameter]:
    for name, field in part.model_fields.items():
        path, choices = prefix + name, parts_in(field.annotation)
        if name == "kind":
            continue
        if not choices:
            yield _parameter(path, field)
        elif not is_choice(choices):
            yield from _possible(choices[0], f"{path}.", seen)
        else:
            yield _parameter(path, field)
            for choice in choices:
                if choice not in seen:
                    seen.add(choice)
                    yield _choice(choice, f"{path}[{kind_of(choice)}]")
                    yield from _possible(choice, f"{path}[{kind_of(choice)}].", seen)


def _choice(part: type[Part], path: str) -> Parameter:
    kind = kind_of(part)
    return Parameter(path, title_of(part), kind, kind, kind, "", description_of(part))


def _parameter(path: str, field: FieldInfo, value: Any = _NONE) -> Parameter:
    default = "required" if field.is_required() else as_text(field.default)
    return Parameter(
        path=path,
        title=field.title or "",
        allowed=allowed(field),
        default=default,
        value=default if value is _NONE else as_text(value),
        unit=str(extra(field, "unit") or ""),
        description=field.description or "",
    )


def extra(field: FieldInfo, key: str) -> Any:
    """Entry of a field's ``json_schema_extra``, or None."""
    return field.json_schema_extra.get(key) if isinstance(field.json_schema_extra, dict) else None


def parts_in(annotation: Any) -> tuple[type[Part], ...]:
    """Part classes that a field may hold, alone, as a choice or in a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return (annotation,)
    return tuple(part for inner in get_args(annotation) for part in parts_in(inner))


def is_choice(parts: tuple[type[Part], ...]) -> bool:
    """Whether the parts are told apart by their ``kind``."""
    return bool(parts) and "kind" in parts[0].model_fields


def kind_of(part: type[Part]) -> str:
    """Name that chooses this part in a recipe file."""
    return str(part.model_fields["kind"].default)


def title_of(part: type[Part]) -> str:
    """Label of a part that is chosen by its kind."""
    return part.model_config.get("title") or kind_of(part).replace("_", " ").capitalize()


def description_of(part: type[Part]) -> str:
    """Docstring of a part, on one line."""
    return " ".join(inspect.cleandoc(part.__doc__ or "").split())


def as_text(value: Any) -> str:
    """Value as a recipe file writes it, on one line."""
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def allowed(field: FieldInfo) -> str:
    """Type and range of a field in words."""
    given = extra(field, "allowed")
    if given is not None:
        return str(given)
    parts = parts_in(field.annotation)
    if is_choice(parts):
        kinds = listed([kind_of(part) for part in parts])
        many = get_origin(field.annotation) is tuple
        return f"{'a list of mappings, each' if many else 'a mapping'} with the kind {kinds}"
    if parts:
        return f"a mapping with the keys {', '.join(parts[0].model_fields)}"
    return _type_text(field.annotation, _bounds(field))


def listed(words: list[str]) -> str:
    """Join words as "a, b or c"."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _type_text(annotation: Any, bounds: str) -> str:
    simple = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if annotation in simple:
        return simple[annotation] + bounds
    if get_origin(annotation) is Annotated:
        return _type_text(get_args(annotation)[0], bounds)
    if get_origin(annotation) is Literal:
        return listed([str(choice) for choice in get_args(annotation)])
    if get_origin(annotation) is tuple:
        return "a list"
    inner = [arg for arg in get_args(annotation) if arg is not NoneType]
    return f"{listed([_type_text(arg, bounds) for arg in inner])}, or null"


def _bounds(field: FieldInfo) -> str:
    found = {
        name: bound
        for constraint in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if (bound := getattr(constraint, name, None)) is not None
    }
    words = {"ge": "from {:g}", "gt": "above {:g}", "le": "to {:g}", "lt": "below {:g}"}
    if not {"ge", "gt"} & set(found):
        words["le"] = "up to {:g}"
    elif "gt" in found:
        words["le"] = "and up to {:g}"
        words["lt"] = "and below {:g}"
    elif "lt" in found:
        words["lt"] = "to below {:g}"
    return "".join(f" {text.format(found[name])}" for name, text in words.items() if name in found)
