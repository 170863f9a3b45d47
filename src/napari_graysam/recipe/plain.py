"""Parts of a recipe as plain data."""

from __future__ import annotations

from typing import Any

from napari_graysam.parameters import Part


def changes(part: Part) -> dict[str, Any]:
    """Return the fields that differ from their defaults, and every ``kind``, for YAML or JSON."""
    fields = type(part).model_fields
    return {
        name: _plain(value)
        for name, value in part
        if name == "kind" or fields[name].is_required() or value != fields[name].default
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return changes(value) if isinstance(value, Part) else value
