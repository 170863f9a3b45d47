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
from napari_graysam.source.images import Chosen, choose
from napari_graysam.source.photometric import values_of
from napari_graysam.source.physical import tiff_pixel_size
from napari_graysam.source.stored import Stored

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

MOST_CHANNELS = 4
"""The last axis of an array of unknown meaning is offered as channels up to this length."""
PLAIN_CODECS = (1, 5, 8, 32773, 32946)
"""None, LZW, deflate and PackBits."""
PLAIN_GROWTH, GROWTH = 2**11, 2**18
"""Bytes that one byte of a file can become: LZW 1300, deflate 1032, other codecs more; one byte
of the table of tiles that are left out, because they are blank, a large tile's share."""


def load_tiff(
    path: str | os.PathLike[str], image: int | None = None, *, colours: bool = True
) -> Stored:
    """Read an image of a TIFF file; see `napari_graysam.source.reading.load`."""
    with collected_warnings() as warned, open_tiff(path) as file:
        chosen = choose(file, image)
        array, axes = _pixels(file, chosen, path)
        page, notes = chosen.series[0].keyframe, chosen.notes
        if colours:
            shown = axes or chosen.series[0].axes
            array, shown, more = values_of(array, shown, page, imagej=file.is_imagej)
            axes, notes = None if axes is None else shown, notes + more
        size, unit, more = tiff_pixel_size(file, chosen.number)
        stored = Stored(array, axes, size, unit, (*notes, *warned), size_notes=more)
        tag = page.tags.get("Orientation")
        return stored if tag is None else stored.upright(int(tag.value))


@contextmanager
def open_tiff(path: str | os.PathLike[str]) -> Generator[TiffFile, None, None]:
    """Open a TIFF file whose pages and metadata come to an end.

    Raises
    ------
    ImageError
        Its pages form a ring or are cut off, or its OME metadata define entities or name files
        elsewhere.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        _check_pages(file)
        if file.is_ome:
            _check_ome(file, path)
        yield file


@contextmanager
def collected_warnings() -> Generator[list[str], None, None]:
    """Collect what tifffile would log, for the image's notes instead of the terminal."""
    warned: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        text = re.sub(r"<tifffile\.\S+ [^>]*> ?", "", record.getMessage())
        warned.append(f"While the file was read: {text}")
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield warned
    finally:
        logger.removeFilter(collect)


def _check_pages(file: TiffFile) -> None:
    """Follow the chain of pages once, so that nobody follows one that never ends, or is cut off."""
    kind, handle = file.tiff, file.filehandle
    try:
        offset, seen = file.pages.first.offset, set[int]()
    except IndexError:
        raise ImageError("The TIFF file holds no image.") from None
    while offset:
        if offset + kind.tagnosize > handle.size:
            raise ImageError(
                f"The file is cut off: its page {len(seen)} lies at byte {offset:,}, and "
                f"{handle.size:,} bytes are there. Get it again."
            )
        if offset in seen:
            raise ImageError("The TIFF file is damaged: its pages form a ring.")
        seen.add(offset)
        handle.seek(offset)
        (tags,) = struct.unpack(kind.tagnoformat, handle.read(kind.tagnosize))
        handle.seek(offset + kind.tagnosize + tags * kind.tagsize)
        following = handle.read(kind.offsetsize)
        if len(following) < kind.offsetsize:
            return
        (offset,) = struct.unpack(kind.offsetformat, following)


def check_imagej(file: TiffFile, series: TiffPageSeries) -> None:
    """Refuse a plane of a stack of ImageJ whose other planes are cut off.

    Of files larger than 4 GiB only the first page is listed; the others follow it.
    """
    claimed = (file.imagej_metadata or {}).get("images")
    page = series.keyframe
    end = page.dataoffsets[0] + page.nbytes * (claimed if isinstance(claimed, int) else 1)
    if len(series.pages) == 1 and series.shape == page.shape and end > file.filehandle.size:
        raise ImageError(
            f"The file is cut off: ImageJ wrote {claimed} planes, of which "
            f"{file.filehandle.size // page.nbytes} are there at most. Get it again."
        )


def _check_ome(file: TiffFile, path: str | os.PathLike[str]) -> None:
    text = file.ome_metadata or ""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ImageError("The OME metadata define entities, which OME-TIFF does not.")
    named = _companions(text)
    elsewhere = [name for name in named if re.search(r"[/\\:]", name)]
    if elsewhere:
        raise ImageError(
            f"The OME metadata name a file in another folder, {elsewhere[0]!r}; put the files of "
            "one image into one folder."
        )
    missing = [name for name in named if not Path(path).with_name(name).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ImageError(
            f"The image is spread over files of which {missing[0]!r}{more} is not beside this "
            "one. Put all into one folder, under the names that they were saved with."
        )


def _companions(text: str) -> list[str]:
    """List the other files that an OME-TIFF image is spread over, each once."""
    root = ElementTree.fromstring(text)
    own = root.attrib.get("UUID")
    return list(
        dict.fromkeys(
            node.attrib["FileName"]
            for node in root.iter()
            if node.tag.endswith("UUID")
            and "FileName" in node.attrib
            and (own is None or node.text != own)
        )
    )


def _pixels(
    file: TiffFile, chosen: Chosen, path: str | os.PathLike[str]
) -> tuple[NDArray[Any], str | None]:
    """Pixels of an image as they are stored; single pages that are alike are one stack."""
    series = chosen.series
    first = series[0]
    if len(series) > 1:
        _check_size(file, series, path)
        stack = np.empty((len(series), *first.shape), first.dtype)
        for plane, one in zip(stack, series, strict=True):
            plane[...] = one.asarray()
        return stack, "ZYX"
    if first.dataoffset is None:
        _check_size(file, series, path)
        return first.asarray(), axes_of(first)
    end, have = first.dataoffset + first.nbytes, file_size(path)
    if end > have:
        raise ImageError(f"The file is cut off: {have} of at least {end} bytes are there.")
    stored = np.dtype(file.byteorder + first.dtype.char)
    return np.memmap(path, stored, "r", first.dataoffset, first.shape), axes_of(first)


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


def axes_of(series: TiffPageSeries) -> str | None:
    """Axes in the letters of a recipe, or None where the file does not tell them.

    tifffile names axes of unknown meaning Q or I. They count as planes, unless the last axis is
    so short that it may be channels.
    """
    axes = series.axes
    if "Q" in axes and series.shape[-1] <= MOST_CHANNELS < series.shape[-3]:
        return None
    free = [letter for letter in "ZT" if letter not in axes]
    for letter in axes:
        if letter not in "TZCYXS":
            if not free:
                return None
            axes = axes.replace(letter, free.pop(0), 1)
    return axes if len(set(axes)) == len(axes) and {"Y", "X"} <= set(axes) else None
