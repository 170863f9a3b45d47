"""Segment everything in grayscale images with SAM 2, and see what preprocessing changed.

Public names are imported when they are first used, so that the package itself starts fast.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_graysam.comparison import score
    from napari_graysam.errors import GraysamError
    from napari_graysam.files import read_coco, read_labels
    from napari_graysam.model import load_model
    from napari_graysam.outputs import write_comparison, write_segmentation
    from napari_graysam.pipeline import (
        compare,
        compare_steps,
        segment,
        segment_one,
        segment_steps,
    )
    from napari_graysam.progress import Progress, run
    from napari_graysam.recipe import Recipe, presets
    from napari_graysam.results import Arms, Segmentation
    from napari_graysam.select import generate
    from napari_graysam.source.reading import read_image

# Read when torch is imported first. Threads that wait for each other by spinning take a core that
# another program uses: a run then takes several times as long. An own setting comes before it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOMES = {
    "Arms": "results",
    "GraysamError": "errors",
    "Progress": "progress",
    "Recipe": "recipe",
    "Segmentation": "results",
    "compare": "pipeline",
    "compare_steps": "pipeline",
    "generate": "select",
    "load_model": "model",
    "presets": "recipe",
    "read_coco": "files",
    "read_image": "source.reading",
    "read_labels": "files",
    "run": "progress",
    "score": "comparison",
    "segment": "pipeline",
    "segment_one": "pipeline",
    "segment_steps": "pipeline",
    "write_comparison": "outputs",
    "write_segmentation": "outputs",
}

__all__ = [
    "Arms",
    "GraysamError",
    "Progress",
    "Recipe",
    "Segmentation",
    "compare",
    "compare_steps",
    "generate",
    "load_model",
    "presets",
    "read_coco",
    "read_image",
    "read_labels",
    "run",
    "score",
    "segment",
    "segment_one",
    "segment_steps",
    "write_comparison",
    "write_segmentation",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module; a submodule of the same name does not hide it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
