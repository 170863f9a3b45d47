"""File ▸ Open: OME-Zarr, Zarr and slides, of which napari reads only what it shows."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_graysam._napari.canvas.part import lazy
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_graysam.source.pyramid import Pyramid

SLIDES = (".btf", ".svs", ".qptiff", ".ndpi", ".scn", ".bif")
"""Endings of TIFF files that hold levels."""
KINDS = "Images (*.tif *.tiff *.btf *.svs *.qptiff *.ndpi *.scn *.bif);;All files (*)"
SMALL = 2**22
"""Pixels of a plane that is shown at once; of larger ones without levels, coarser ones are made."""
COARSER = 4

LayerData = tuple[Any, dict[str, Any], str]


def open_large(path: str) -> list[Any]:
    """Open an image with all its levels, and the labels in its store; report problems.

    Parameters
    ----------
    path
        OME-Zarr, a Zarr array or any image file.

    Returns
    -------
    list
        Layers as napari takes them from readers; of what cannot be read, none.
    """
    from napari.utils.notifications import show_info, show_warning

    from napari_graysam.files.zarr_labels import label_names
    from napari_graysam.source.pyramid import open_pyramid
    from napari_graysam.source.zarr_images import only_labels

    try:
        place = only_labels(path) if os.path.isdir(path) else path
        pyramid = open_pyramid(place)
        layers = [_layer(pyramid, Path(place), "image" if place == path else "labels")]
        if pyramid.group is not None and "://" not in pyramid.group:
            for name in label_names(pyramid.group):
                stored = Path(pyramid.group, "labels", name)
                layers.append(_layer(open_pyramid(stored), stored, "labels", visible=False))
    except GraysamError as error:
        show_warning(str(error))
        return [(None,)]
    notes = [*pyramid.notes, *pyramid.size_notes]
    if notes:
        show_info(f"{Path(path).name}: {' '.join(notes)}")
    return layers


def open_from_menu() -> None:
    """Ask for images and add them to the current viewer: File ▸ IO Utilities."""
    import napari
    from napari.layers import Layer
    from napari.utils.notifications import show_warning
    from qtpy.QtWidgets import QFileDialog

    viewer: Viewer | None = napari.current_viewer()
    if viewer is None:
        show_warning("Images are opened in an open napari window; open one first.")
        return
    paths, _ = QFileDialog.getOpenFileNames(None, "Open large images", "", KINDS)
    for path in paths:
        for layer in open_large(path):
            if len(layer) > 1:
                viewer.add_layer(Layer.create(*layer))


def _layer(pyramid: Pyramid, path: Path, kind: str, visible: bool = True) -> LayerData:
    """Return one layer of all levels; lazy, and with the place that the file gives it."""
    axes = pyramid.layout().axes if pyramid.axes is None else pyramid.axes
    if kind == "image" and path.parent.name == "labels" and pyramid.dtype.kind in "iu":
        kind = "labels"
    levels = [lazy(level) for level in pyramid.levels]
    colours = axes.endswith("S") and levels[0].shape[-1] in (3, 4)
    if axes.endswith("S") and not colours:
        levels, axes = [level[..., 0] for level in levels], axes[:-1]
    if len(levels) == 1:
        levels = _with_coarser(levels[0], axes)
    shown = axes.removesuffix("S")
    attributes: dict[str, Any] = {
        "name": pyramid.name or path.name.removesuffix(".zarr").removesuffix(".ome"),
        "axis_labels": tuple(letter.lower() for letter in shown),
        "visible": visible,
    }
    if len(levels) > 1:
        attributes["multiscale"] = True
    if colours and kind == "image":
        attributes["rgb"] = True
    attributes |= _place(pyramid, shown)
    return levels if len(levels) > 1 else levels[0], attributes, kind


def _with_coarser(level: Any, axes: str) -> list[Any]:
    """Return a large plane with coarser ones of every fourth pixel, so that napari can show it."""
    levels = [level]
    sides = [axes.index("Y"), axes.index("X")]
    while prod(levels[-1].shape[axis] for axis in sides) > SMALL:
        step = tuple(slice(None, None, COARSER if axis in sides else None)
                     for axis in range(len(axes)))  # fmt: skip
        levels.append(levels[-1][step])
    return levels


def _place(pyramid: Pyramid, axes: str) -> dict[str, Any]:
    """Return scale, units and translation, bare where napari does not know the units."""
    from napari.layers import Image

    if not pyramid.scales or pyramid.axes is None:
        return {}
    order = [pyramid.axes.index(letter) for letter in axes]
    place: dict[str, Any] = {"scale": tuple(pyramid.scales[0][n] for n in order)}
    if pyramid.translations:
        place["translate"] = tuple(pyramid.translations[0][n] for n in order)
    units = {"units": tuple(pyramid.units[n] or "pixel" for n in order)}
    try:
        Image(np.zeros((1,) * len(axes), np.uint8), **place, **units)
    except Exception:
        return place
    return place | units
