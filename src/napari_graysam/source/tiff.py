"""TIFF files of every kind: their pixels, axes and pixel size."""

from __future__ import annotations

import logging
import os
import re
import struct
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.limits import check_claim, check_memory, file_size
from napari_graysam.source.stored import Stored

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

UNITS = {"\\u00b5m": "µm", "um": "µm", "micron": "µm", "microns": "µm", "micrometer": "µm"}
PLAIN_CODECS = (1, 5, 8, 32773, 32946)
"""None, LZW, deflate and PackBits."""
PLAIN_GROWTH, GROWTH = 2**11, 2**18
"""Bytes that one byte of a file can become: LZW 1300, deflate 1032, other codecs more; one byte
of the table of tiles that are left out, because they are blank, a large tile's share."""


def load_tiff(path: str | os.PathLike[str]) -> Stored:
    """Read the first image of a TIFF file; see `napari_graysam.source.reading.load`."""
    try:
        with collected_warnings() as warned, open_tiff(path) as file:
            array, axes, notes = _pixels(file, path)
            size, unit = _pixel_size(file)
            return Stored(array, axes, size, unit, (*notes, *warned))
    except Exception as error:
        if "imagecodecs" not in str(error):
            raise
        raise ImageError(
            f"{error}; install it with `pip install imagecodecs`, or save the file uncompressed."
        ) from error


@contextmanager
def open_tiff(path: str | os.PathLike[str]) -> Generator[TiffFile, None, None]:
    """Open a TIFF file whose pages and metadata come to an end.

    Raises
    ------
    ImageError
        Its pages form a ring, or its OME metadata define entities or name files elsewhere.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        _check_pages(file)
        if file.is_ome:
            _check_ome(file.ome_metadata or "")
        yield file


@contextmanager
def collected_warnings() -> Generator[list[str], None, None]:
    """Collect what tifffile would log, for the image's notes instead of the terminal."""
    warned: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        warned.append(record.getMessage())
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield warned
    finally:
        logger.removeFilter(collect)


def _check_pages(file: TiffFile) -> None:
    """Follow the chain of pages once, so that nobody follows one that never ends."""
    kind, handle = file.tiff, file.filehandle
    try:
        offset, seen = file.pages.first.offset, set[int]()
    except IndexError:
        raise ImageError("The TIFF file holds no image.") from None
    while 0 < offset < handle.size:
        if offset in seen:
            raise ImageError("The TIFF file is damaged: its pages form a ring.")
        seen.add(offset)
        handle.seek(offset)
        head = handle.read(kind.tagnosize)
        if len(head) < kind.tagnosize:
            return
        (tags,) = struct.unpack(kind.tagnoformat, head)
        handle.seek(offset + kind.tagnosize + tags * kind.tagsize)
        following = handle.read(kind.offsetsize)
        if len(following) < kind.offsetsize:
            return
        (offset,) = struct.unpack(kind.offsetformat, following)


def _check_ome(text: str) -> None:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ImageError("The OME metadata define entities, which OME-TIFF does not.")
    elsewhere = [name for name in _companions(text) if re.search(r"[/\\:]", name)]
    if elsewhere:
        raise ImageError(
            f"The OME metadata name a file in another folder, {elsewhere[0]!r}; put the files of "
            "one image into one folder."
        )


def _companions(text: str) -> list[str]:
    """List the files that an OME-TIFF image is spread over."""
    return re.findall(r"""FileName\s*=\s*["']([^"']*)""", text)


def _pixels(
    file: TiffFile, path: str | os.PathLike[str]
) -> tuple[NDArray[Any], str | None, tuple[str, ...]]:
    """Pixels of the first image; single pages that are alike are the planes of one stack."""
    import tifffile

    series = file.series
    first = series[0]
    if len(series) > 1 and all(
        (one.axes, one.shape, one.dtype) == ("YX", first.shape, first.dtype) for one in series
    ):
        _check_size(file, series, path)
        stack = np.empty((len(series), *first.shape), first.dtype)
        for plane, one in zip(stack, series, strict=True):
            plane[...] = one.asarray()
        return stack, "ZYX", ()
    notes = (f"The file holds {len(series)} images; the first was read.",) * (len(series) > 1)
    if first.dataoffset is None:
        _check_size(file, series[:1], path)
        return first.asarray(), _axes(first), notes
    end, have = first.dataoffset + first.nbytes, file_size(path)
    if end > have:
        raise ImageError(f"The file is cut off: {have} of at least {end} bytes are there.")
    return tifffile.memmap(path, series=0, mode="r"), _axes(first), notes


def _check_size(
    file: TiffFile, series: Sequence[TiffPageSeries], path: str | os.PathLike[str]
) -> None:
    """Refuse images that the file cannot hold or that do not fit into memory."""
    first, held = series[0], file_size(path)
    claimed = sum(one.nbytes for one in series)
    if file.is_ome:
        others = {Path(path).with_name(name) for name in _companions(file.ome_metadata or "")}
        held += sum(other.stat().st_size for other in others - {Path(path)} if other.is_file())
    page = first.keyframe
    plain = page.compression in PLAIN_CODECS and min(page.databytecounts, default=0) > 0
    what = f"Its image of {' × '.join(map(str, first.shape))} {first.dtype}"
    tile = page.tilelength * page.tilewidth * page.samplesperpixel * first.dtype.itemsize
    check_claim(max(claimed, tile), held, PLAIN_GROWTH if plain else GROWTH, what)
    check_memory(claimed + tile, what)
    for one in series:
        for part in one.pages:
            if part is not None and max(part.databytecounts, default=0) > held:
                raise ImageError("The file is damaged or cut off: a strip is larger than it.")


def _axes(series: TiffPageSeries) -> str | None:
    """Axes in the letters of a recipe, or None where the file does not tell them.

    tifffile names pages of unknown meaning Q or I; they count as planes.
    """
    axes = series.axes
    free = [letter for letter in "ZT" if letter not in axes]
    for letter in axes:
        if letter not in "TZCYXS":
            if not free:
                return None
            axes = axes.replace(letter, free.pop(0), 1)
    return axes if len(set(axes)) == len(axes) and {"Y", "X"} <= set(axes) else None


def _pixel_size(file: TiffFile) -> tuple[tuple[float, float] | None, str | None]:
    """(height, width) of a pixel and its unit, where OME or ImageJ metadata tell them."""
    if file.is_ome and file.ome_metadata:
        for node in ElementTree.fromstring(file.ome_metadata).iter():
            if node.tag.endswith("}Pixels") and "PhysicalSizeX" in node.attrib:
                width = float(node.attrib["PhysicalSizeX"])
                height = float(node.attrib.get("PhysicalSizeY", width))
                return (height, width), node.attrib.get("PhysicalSizeXUnit", "µm")
    unit = (file.imagej_metadata or {}).get("unit")
    tags = file.pages.first.tags
    if unit and "XResolution" in tags and "YResolution" in tags:
        (x, x_unit), (y, y_unit) = tags["XResolution"].value, tags["YResolution"].value
        if x and y:
            return (y_unit / y, x_unit / x), UNITS.get(unit, unit)
    return None, None
