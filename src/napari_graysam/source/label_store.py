"""Zarr stores that hold labels and no image: results, not something to segment."""

from __future__ import annotations

import os

from napari_graysam.errors import ImageError
from napari_graysam.source.multiscales import ome_attributes
from napari_graysam.source.zarr_arrays import children, read_node

IMAGES = frozenset(("multiscales", "plate", "well", "bioformats2raw.layout"))
"""What OME-Zarr says of a group that is an image or holds some."""

AN_IMAGE = "an image"


def holds_labels_only(path: str | os.PathLike[str]) -> bool:
    """Tell whether a folder is a Zarr group with labels and nothing else in it.

    Examples
    --------
    >>> holds_labels_only("nothing.zarr")
    False
    """
    return not more_than_labels(path) and children(os.fspath(path)) == ["labels"]


def more_than_labels(path: str | os.PathLike[str]) -> str:
    """Say what a Zarr group holds besides labels; an empty text where that is nothing."""
    root = os.fspath(path)
    try:
        node = read_node(root)
    except (ImageError, OSError) as error:
        return str(error)
    if node is None:
        return "no Zarr group"
    if node.is_array or IMAGES & ome_attributes(node.attributes).keys():
        return AN_IMAGE
    others = [name for name in children(root) if name != "labels"]
    return ", ".join(others[:5]) + (" …" if len(others) > 5 else "")
