"""From a view to proposals: every candidate mask of the model, with scores, unfiltered."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_graysam.propose.generator import propose
    from napari_graysam.propose.proposals import Proposals
    from napari_graysam.propose.rescoring import rescore

__all__ = ["Proposals", "propose", "rescore"]

_HOMES = {"Proposals": "proposals", "propose": "generator", "rescore": "rescoring"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: all of them need torch, the grid does not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
