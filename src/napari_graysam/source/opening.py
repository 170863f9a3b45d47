"""Open the image of a path or an address as a pyramid, whatever its kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from napari_graysam.errors import ImageError
from napari_graysam.limits import reading
from napari_graysam.source import kinds
from napari_graysam.source.images import choose
from napari_graysam.source.photometric import AS_STORED, GDAL_NODATA, JPEG, YCBCR
from napari_graysam.source.physical import tiff_pixel_size, tiff_spacing
from napari_graysam.source.places import is_address
from napari_graysam.source.pyramid import Pyramid, check_levels
from napari_graysam.source.reading import KINDS, LONGEST_START, TIFF_STARTS, load
from napari_graysam.source.stored import Stored
from napari_graysam.source.tiff import axes_of, collected_warnings, open_tiff
from napari_graysam.source.tiff_levels import tiff_levels
from napari_graysam.source.vendor import open_vendor
from napari_graysam.source.zarr_images import open_zarr


def open_path(path: str, series: int | None = None) -> Pyramid:
    """Open an image; parameters and errors are those of `open_pyramid`."""
    if is_address(path) or os.path.isdir(path):
        found = open_zarr(path, series)
        if found is None:
            raise ImageError(f"{path}: {kinds.no_image(path)}")
        return found
    with reading(path, f"a {KINDS} file"), open(path, "rb") as file:
        start = file.read(LONGEST_START)
    if start.startswith(TIFF_STARTS):
        with reading(path, "a TIFF file"):
            return _tiff(path, series)
    vendor = kinds.vendor(path, start)
    if vendor is not None:
        return open_vendor(path, vendor, series)
    return _whole(path, load(path, series), series)


def _whole(path: str, stored: Stored, series: int | None) -> Pyramid:
    """Return a file that is read as a whole, or memory-mapped."""
    scales, units = _sizes(stored)
    return Pyramid(
        (stored.array,),
        stored.axes,
        scales,
        units,
        path=path,
        kind="file",
        notes=stored.notes,
        size_notes=stored.size_notes,
        reopen=(open_path, (os.path.abspath(path), series)),
    )


def _sizes(
    stored: Stored, spacing: dict[str, float] | None = None
) -> tuple[tuple[tuple[float, ...], ...], tuple[str, ...]]:
    """Return the scale of the only level, and the unit of every axis."""
    if stored.axes is None or stored.pixel_size is None:
        return (), ("",) * len(stored.axes or "")
    sides = dict(zip("YX", stored.pixel_size, strict=True)) | {
        name.upper(): step for name, step in (spacing or {}).items()
    }
    signs = {"Y": stored.unit or "", "X": stored.unit or "", "Z": "µm", "T": "s"}
    units = tuple(signs[letter] if letter in sides else "" for letter in stored.axes)
    return (tuple(sides.get(letter, 1.0) for letter in stored.axes),), units


def _tiff(path: str, series: int | None) -> Pyramid:
    """Open a TIFF file: memory-mapped, by tiles through tifffile's Zarr store, or as a whole."""
    with collected_warnings() as warned, open_tiff(path) as file:
        chosen = choose(file, series)
        first = chosen.series[0]
        page = first.keyframe
        photometric = int(page.photometric)
        upright = int(page.tags["Orientation"].value if "Orientation" in page.tags else 1) == 1
        decoded = photometric == YCBCR and int(page.compression) in JPEG
        tiled = (
            len(chosen.series) == 1
            and (first.dataoffset is None or len(first.levels) > 1)
            and (photometric in AS_STORED or decoded)
            and GDAL_NODATA not in page.tags
            and upright
        )
        if tiled:
            size, unit, more = tiff_pixel_size(file, chosen.number)
            spacing = tiff_spacing(file, chosen.number)
            axes, notes = axes_of(first), (*chosen.notes, *warned)
            number = next(n for n, one in enumerate(file.series) if one is first)
    if not tiled:
        return _whole(path, load(path, series), series)
    arrays = tiff_levels(path, number)
    check_levels(arrays, axes)
    finest: Any = arrays[0]
    stored = Stored(finest, axes, size, unit, notes)
    scales, units = _sizes(stored, spacing)
    if scales and axes is not None:
        fine = arrays[0].shape
        ratios = [[f / n for f, n in zip(fine, one.shape, strict=True)] for one in arrays]
        scales = tuple(tuple(s * r for s, r in zip(scales[0], ratio, strict=True))
                       for ratio in ratios)  # fmt: skip
    return Pyramid(
        tuple(arrays),
        axes,
        scales,
        units,
        path=path,
        kind="tiff",
        name=Path(path).stem,
        notes=notes,
        size_notes=more,
        reopen=(open_path, (os.path.abspath(path), series)),
    )
