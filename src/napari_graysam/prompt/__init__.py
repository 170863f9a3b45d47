"""One object at a time: the model's answers to a prompt, and the pins that a recipe keeps."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_graysam.prompt.answer import Answer, removal, taking_back
    from napari_graysam.prompt.predictor import Predictor

__all__ = ["Answer", "Predictor", "removal", "taking_back"]

_HOMES = {
    "Answer": "answer",
    "Predictor": "predictor",
    "removal": "answer",
    "taking_back": "answer",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the predictor needs torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
