"""The dock that searches the recipe that fits what a user knows of the image."""

from napari_graysam._napari.tune.dock import TuneDock

__all__ = ["TuneDock"]
