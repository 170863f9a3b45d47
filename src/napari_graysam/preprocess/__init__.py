"""Preprocessing: chains of contrast and edge enhancement on grayscale images in [0, 1]."""

from napari_graysam.preprocess.base import BaseStep, Fitted, Image
from napari_graysam.preprocess.chain import (
    Intermediates,
    apply,
    apply_steps,
    fit,
    fit_blocks,
    halo,
    padded,
    squares,
)
from napari_graysam.preprocess.registry import STEPS, Step
from napari_graysam.preprocess.rgb import Channels, Colormap, Replicate, Rgb, to_rgb, to_rgb_steps

__all__ = [
    "STEPS",
    "BaseStep",
    "Channels",
    "Colormap",
    "Fitted",
    "Image",
    "Intermediates",
    "Replicate",
    "Rgb",
    "Step",
    "apply",
    "apply_steps",
    "fit",
    "fit_blocks",
    "halo",
    "padded",
    "squares",
    "to_rgb",
    "to_rgb_steps",
]
