"""Plain data in text: one reader and writer of YAML 1.2 and JSON, for text that may be hostile.

What is read is dictionaries, lists, texts, numbers, truth values and nothing: no tags, no
aliases and no dates; nested and long only within `DEEPEST` and `MOST`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import BaseResolver

from napari_graysam.errors import GraysamError, RecipeError

DEEPEST = 64
"""Levels that lists and mappings may be nested."""

MOST = 100_000
"""Values, keys included, that one text may hold."""

_TAG = "tag:yaml.org,2002:"
_CORE_SCHEMA = (
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
_VALUES: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text, 16 if text.startswith("0x") else 10),
    "float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
}


class _CoreResolver(BaseResolver):
    """YAML 1.2's core schema: ``1e-3`` is a number; ``no``, ``1_000`` and dates are texts."""

    processing_version = (1, 2)

    def __init__(self, version: Any = None, loader: Any = None, loadumper: Any = None) -> None:
        super().__init__(loader or loadumper)


class _Representer(SafeRepresenter):
    """Writes lists of plain values on one line, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_list(self: _Representer, values: list[Any]) -> Any:
    flat = not any(isinstance(value, dict | list) for value in values)
    return self.represent_sequence(f"{_TAG}seq", values, flow_style=flat)


def _represent_text(self: _Representer, text: str) -> Any:
    # Unless escaped, these line separators are written raw and read back as spaces.
    style = '"' if set(text) & set("\x85\u2028\u2029") else None
    return self.represent_scalar(f"{_TAG}str", text, style=style)


_Representer.add_representer(list, _represent_list)
_Representer.add_representer(str, _represent_text)
for _kind, _pattern, _first in _CORE_SCHEMA:
    _CoreResolver.add_implicit_resolver_base(_TAG + _kind, re.compile(_pattern), _first)


def _yaml() -> Any:
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Resolver = _CoreResolver
    return yaml


class _Refused(MarkedYAMLError):
    """A text that is YAML, but holds what plain data does not need."""

    def __init__(self, problem: str, event: Event) -> None:
        super().__init__(problem=problem, problem_mark=event.start_mark)


class _Builder:
    """Plain data of a stream of YAML events."""

    def __init__(self, yaml: Any, text: str) -> None:
        self.resolver = yaml.resolver
        self.events: Iterator[Any] = yaml.parse(text)
        self.count = 0

    def document(self) -> Any:
        """Return the data of the only document, None where there is none."""
        next(self.events)
        if not isinstance(next(self.events), DocumentStartEvent):
            return None
        data = self.value(next(self.events), 0)
        next(self.events)
        if not isinstance(after := next(self.events), StreamEndEvent):
            raise _Refused("a second document begins", after)
        return data

    def value(self, event: Any, depth: int) -> Any:
        self.count += 1
        if isinstance(event, AliasEvent) or event.anchor is not None:
            raise _Refused("an alias (*name, &name) is not allowed: write the value out", event)
        if event.tag is not None:
            raise _Refused(f"a tag is not allowed: {event.tag}", event)
        if depth > DEEPEST:
            raise _Refused(f"nested too deeply: more than {DEEPEST} levels", event)
        if self.count > MOST:
            raise _Refused(f"more than {MOST} values", event)
        if isinstance(event, ScalarEvent):
            return self.scalar(event)
        if isinstance(event, SequenceStartEvent):
            return [self.value(item, depth + 1) for item in self.until(SequenceEndEvent)]
        return self.mapping(depth)

    def mapping(self, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key in self.until(MappingEndEvent):
            if not isinstance(key, ScalarEvent):
                raise _Refused("a key must be a plain word", key)
            self.value(key, depth)
            if key.value in data:
                raise _Refused(f"the key {key.value!r} comes twice", key)
            data[key.value] = self.value(next(self.events), depth + 1)
        return data

    def until(self, end: type[Event]) -> Iterator[Any]:
        while not isinstance(event := next(self.events), end):
            yield event

    def scalar(self, event: ScalarEvent) -> Any:
        kind = self.resolver.resolve(ScalarNode, event.value, event.implicit)
        convert = _VALUES.get(str(kind).removeprefix(_TAG), str)
        return convert(event.value)


def load_yaml(text: str, source: str, error: type[GraysamError] = RecipeError) -> Any:
    r"""Plain data of a YAML text.

    Parameters
    ----------
    text
        One YAML document.
    source
        What the text is, for the error message: a file's name, or "the recipe".
    error
        Class of the error to raise.

    Raises
    ------
    GraysamError
        Of the class `error`, if the text is no YAML, repeats a key, uses aliases or tags, or
        is nested deeper or holds more than plain data need.

    See Also
    --------
    dump_yaml, load_json

    Examples
    --------
    >>> load_yaml("radius: 1e-1\nkinds: [no, 2024-01-01]", "a text")
    {'radius': 0.1, 'kinds': ['no', '2024-01-01']}
    """
    try:
        return _Builder(_yaml(), text).document()
    except MarkedYAMLError as reason:
        mark = reason.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = reason.problem or reason.context
        raise error(f"{source} is not valid YAML{where}: {problem}") from reason
    except (YAMLError, ValueError) as reason:
        raise error(f"{source} is not valid YAML: {reason}") from reason


def dump_yaml(data: Any) -> str:
    """YAML text of plain data, keys in their order.

    See Also
    --------
    load_yaml

    Examples
    --------
    >>> print(dump_yaml({"name": "1e-3", "low": 0.5, "steps": [1, 2]}), end="")
    name: '1e-3'
    low: 0.5
    steps: [1, 2]
    """
    yaml, text = _yaml(), StringIO()
    yaml.Representer = _Representer
    yaml.sort_base_mapping_type_on_output = False
    yaml.default_flow_style, yaml.allow_unicode, yaml.width = False, True, 96
    yaml.dump(data, text)
    return text.getvalue()


def load_json(text: str, source: str, error: type[GraysamError] = RecipeError) -> Any:
    """Plain data of a JSON text; parameters and errors as for `load_yaml`.

    Examples
    --------
    >>> load_json('{"radius": 0.1}', "a text")
    {'radius': 0.1}
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise error(f"{source} is not valid JSON: the key {twice!r} comes twice")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as reason:
        raise error(
            f"{source} is not valid JSON, line {reason.lineno}, column {reason.colno}: {reason.msg}"
        ) from reason
    except GraysamError:
        raise
    except ValueError as reason:
        raise error(f"{source} is not valid JSON: {reason}") from reason
    except RecursionError as reason:
        raise error(f"{source} is nested too deeply") from reason


def dump_json(data: Any) -> str:
    """JSON text of plain data, keys in their order; read by `load_json`."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
