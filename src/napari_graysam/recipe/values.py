"""Single values set by their dotted path, as ``--set generator.points_per_side=16`` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_graysam.documents import load_yaml
from napari_graysam.errors import RecipeError
from napari_graysam.parameters import Part
from napari_graysam.recipe.problems import did_you_mean


def set_values(part: Part, values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data of a recipe with some values changed, not validated yet.

    Parameters
    ----------
    part
        The recipe to start from; it stays as it is.
    values
        New values by dotted path. A text is read as YAML ("0.5", "null", "[{kind: clahe}]"),
        except where the parameter is a text itself. A new ``kind`` is set before its siblings
        and takes the defaults for them.

    Raises
    ------
    RecipeError
        If a path leads nowhere, or a text is not valid YAML.
    """
    data: dict[str, Any] = part.model_dump(mode="json")
    for path in sorted(values, key=lambda path: (path.count("."), not path.endswith("kind"))):
        value = values[path]
        if isinstance(value, str) and not _is_text(part, path):
            value = load_yaml(value, f"the value of {path}")
        _set(data, path, value)
    return data


def _is_text(part: Part, path: str) -> bool:
    *parents, name = path.split(".")
    owner: Any = part
    for parent in parents:
        owner = getattr(owner, parent, None)
    field = type(owner).model_fields.get(name) if isinstance(owner, Part) else None
    return field is not None and field.annotation is str


def _set(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    node: Any = data
    for depth, parent in enumerate(parents):
        node = _entry(node, parent, ".".join(parents[: depth + 1]), path)
    if isinstance(node, list):
        _entry(node, name, path, path)
        node[int(name)] = value
    elif not isinstance(node, dict):
        raise RecipeError(
            f"cannot set {path}: {'.'.join(parents)} has no parts, its value is {node!r}"
        )
    elif name == "kind" and node.get(name) != value:
        node.clear()
        node[name] = value
    else:
        node[name] = value


def _entry(node: Any, key: str, here: str, path: str) -> Any:
    if isinstance(node, dict) and key in node:
        return node[key]
    if isinstance(node, list):
        if key.isdecimal() and int(key) < len(node):
            return node[int(key)]
        raise RecipeError(
            f"cannot set {path}: the list has {len(node)} entries, counted from 0; "
            f"there is no {here}"
        )
    known = list(node) if isinstance(node, dict) else []
    raise RecipeError(f"cannot set {path}: there is no {here}{did_you_mean(key, known)}")
