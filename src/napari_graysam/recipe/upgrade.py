"""Recipes of earlier versions of the format, as this version writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

SCHEMA_VERSION = 2
"""Version of the recipe format that this program writes; it reads this and earlier ones."""


def _with_stacks(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 has the parts ``stack`` and ``tiles``; without them all is as in version 1."""
    return data


_STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _with_stacks}
"""What makes data of a version that of the next one."""


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """Return the plain data of a recipe in the present version of the format.

    Parameters
    ----------
    data
        As a file holds it. Without a version, and with one that there never was, it is returned
        as it is.

    Examples
    --------
    >>> upgraded({"schema_version": 1, "name": "mine"})
    {'schema_version': 2, 'name': 'mine'}
    """
    version = data.get("schema_version")
    while type(version) is int and version in _STEPS:
        data = _STEPS[version](data)
        version += 1
        data = {**data, "schema_version": version}
    return data
