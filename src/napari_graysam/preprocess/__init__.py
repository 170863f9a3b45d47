"""Preprocessing: chains of contrast and edge enhancement on grayscale images in [0, 1]."""

from napari_graysam.preprocess.base import BaseStep, Image, apply
from napari_graysam.preprocess.registry import STEPS, Step
from napari_graysam.preprocess.rgb import Channels, Colormap, Replicate, Rgb, to_rgb

__all__ = [
    "STEPS",
    "BaseStep",
    "Channels",
    "Colormap",
    "Image",
    "Replicate",
    "Rgb",
    "Step",
    "apply",
    "to_rgb",
]
