"""From proposals to masks, label images, tables and records: cheap, no model needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_graysam.select.once import select
    from napari_graysam.select.records import generate
    from napari_graysam.select.selector import Selector
    from napari_graysam.select.table import object_table

__all__ = ["Selector", "generate", "object_table", "select"]

_HOMES = {
    "Selector": "selector",
    "generate": "records",
    "object_table": "table",
    "select": "once",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: selection needs torch, masks do not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
