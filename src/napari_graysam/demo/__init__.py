"""The demo: every sample raw and preprocessed, with the bundled model."""

from napari_graysam.demo.pictures import Row, overview
from napari_graysam.demo.steps import DemoResult, demo_steps

__all__ = ["DemoResult", "Row", "demo_steps", "overview"]
