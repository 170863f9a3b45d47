"""The text of recipe files: YAML 1.2's plain values, and JSON, into plain data and back."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

from napari_graysam.errors import RecipeError

_PLAIN_VALUES = (
    ("null", r"^(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^([-+]?[0-9]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    (
        "float",
        r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values (``1e-3`` is a number, ``no`` is text); no key may come twice."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):  # a few of them can unfold to gigabytes
            raise yaml.MarkedYAMLError(
                problem="an alias (*name) is not allowed: write the value out",
                problem_mark=self.get_mark(),
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key must be a plain word"
            elif key.value in seen:
                problem = f"the key {key.value!r} comes twice"
            else:
                seen.add(key.value)
                continue
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = node.value
        return int(text, 16 if text.startswith("0x") else 10)


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would not read back as text; short lists go on one line."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    flat = not any(isinstance(value, dict | list) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flat)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # Unless escaped, these line separators are written raw and read back as spaces.
    style = '"' if set(text) & set("\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)
for _kind, _pattern, _first in _PLAIN_VALUES:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), _first)


def load_yaml(text: str, source: str) -> Any:
    """Plain data of a YAML text.

    Parameters
    ----------
    text
        One YAML document.
    source
        What the text is, for the error message: a file's name, or "the recipe".

    Raises
    ------
    RecipeError
        If the text is no YAML, repeats a key, or uses aliases or tags.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = error.problem or error.context
        raise RecipeError(f"{source} is not valid YAML{where}: {reason}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"{source} is not valid YAML: {error}") from error
    except RecursionError as error:
        raise RecipeError(f"{source} is nested too deeply for a recipe") from error


def dump_yaml(data: Any) -> str:
    """YAML text of plain data, keys in their order."""
    return yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=96,
    )


def load_json(text: str, source: str) -> Any:
    """Plain data of a JSON text; errors as for `load_yaml`."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise RecipeError(f"{source} is not a recipe: the key {twice!r} comes twice")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise RecipeError(
            f"{source} is not valid JSON, line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f"{source} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise RecipeError(f"{source} is nested too deeply for a recipe") from error


def dump_json(data: Any) -> str:
    """JSON text of plain data, keys in their order."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
