"""One object at a time: the model's answers to a prompt, and the pins that a recipe keeps."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_graysam.prompt.answer import Answer, removal
    from napari_graysam.prompt.predictor import Predictor

__all__ = ["Answer", "Predictor", "removal"]

_HOMES = {"Answer": "answer", "Predictor": "predictor", "removal": "answer"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the predictor needs torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
