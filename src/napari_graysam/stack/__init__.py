"""Stacks: which objects of the planes of a volume or time series are one object."""

from napari_graysam.recipe import LinkOptions
from napari_graysam.stack.linking import link_planes
from napari_graysam.stack.links import Bridge, Links

__all__ = ["Bridge", "LinkOptions", "Links", "link_planes"]
