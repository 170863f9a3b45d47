"""Files of microscopes, read with bioio where its package for them is installed."""

from __future__ import annotations

import os
from typing import Any

from napari_graysam.errors import ImageError
from napari_graysam.limits import reading
from napari_graysam.source.images import check_number
from napari_graysam.source.kinds import Vendor
from napari_graysam.source.pyramid import Pyramid, check_levels

MOST_LEVELS = 32


def open_vendor(path: str, vendor: Vendor, series: int | None = None) -> Pyramid:
    """Open a microscope's file, of which planes are read where they are sliced.

    Parameters
    ----------
    path
        The file.
    vendor
        What it is, and which package reads it.
    series
        Which of its scenes, counted from 0; None for the only one.

    Raises
    ------
    ImageError
        bioio or the package is not installed, or the file is damaged, or has several scenes.
    """
    try:
        from bioio import BioImage
        from bioio_base.exceptions import UnsupportedFileFormatError
    except ImportError:
        raise ImageError(f"{path}: {vendor.advice}") from None
    with reading(path, vendor.name):
        try:
            image = BioImage(path)
        except UnsupportedFileFormatError:
            raise ImageError(vendor.advice) from None
        scenes = list(image.scenes)
        if series is None and len(scenes) > 1:
            named = ", ".join(f"{n} ({str(name)[:30]})" for n, name in enumerate(scenes[:8]))
            raise ImageError(
                f"The file holds {len(scenes)} images; choose one with image.series=N: {named}."
            )
        check_number(series or 0, len(scenes))
        image.set_scene(series or 0)
        levels = _levels(image)
        letters = str(image.dims.order)
        axes = letters if set(letters) <= set("TZCYXS") else None
        check_levels(levels, axes)
        scales, units = _sizes(image, letters, levels)
    return Pyramid(
        tuple(levels),
        axes,
        scales,
        units,
        path=path,
        kind="vendor",
        name=str(scenes[series or 0]),
        reopen=(open_vendor, (os.path.abspath(path), vendor, series)),
    )


def _levels(image: Any) -> list[Any]:
    """Return the levels of a scene as dask arrays, from fine to coarse."""
    found = []
    for level in list(image.resolution_levels)[:MOST_LEVELS]:
        image.set_resolution_level(level)
        found.append(image.dask_data)
    image.set_resolution_level(0)
    return found


def _sizes(
    image: Any, letters: str, levels: list[Any]
) -> tuple[tuple[tuple[float, ...], ...], tuple[str, ...]]:
    """Return scales and units; bioio gives micrometres, and None where unknown."""
    sizes = image.physical_pixel_sizes
    known = {axis: getattr(sizes, axis, None) for axis in "ZYX"}
    if not known["Y"] or not known["X"]:
        return (), ("",) * len(letters)
    units = tuple("µm" if known.get(letter) else "" for letter in letters)
    fine = levels[0].shape
    scales = tuple(
        tuple(
            float(known.get(letter) or 1.0) * whole / here
            for letter, whole, here in zip(letters, fine, level.shape, strict=True)
        )
        for level in levels
    )
    return scales, units
