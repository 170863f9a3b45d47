"""Stacks: which objects of the planes of a volume or time series are one object."""

from napari_graysam.recipe import LinkOptions
from napari_graysam.stack.gaps import Candidates, Fill, FilledPlane, fill_gaps
from napari_graysam.stack.interpolation import interpolate
from napari_graysam.stack.linking import link_planes
from napari_graysam.stack.links import Bridge, Links

__all__ = [
    "Bridge",
    "Candidates",
    "Fill",
    "FilledPlane",
    "LinkOptions",
    "Links",
    "fill_gaps",
    "interpolate",
    "link_planes",
]
