"""Read images: TIFF of every kind, PNG, JPEG, BMP and NumPy files."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.recipe import ImageOptions
from napari_graysam.source.gray import GrayImage, check_size, to_gray

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NUMPY_START = b"\x93NUMPY"
PNG_START = b"\x89PNG\r\n\x1a\n"
PLAIN_MODES = ("1", "L", "I;16", "I;16B", "I", "F", "RGB", "RGBA")
KINDS = "TIFF, PNG, JPEG, BMP or NPY"
UNITS = {"\\u00b5m": "µm", "um": "µm", "micron": "µm", "microns": "µm", "micrometer": "µm"}


class Stored(NamedTuple):
    """What a file holds.

    ``axes`` are known from its metadata or None; ``pixel_size`` is (height, width) of a pixel in
    ``unit``, or None; ``notes`` tell what was left out.
    """

    array: NDArray[Any]
    axes: str | None = None
    pixel_size: tuple[float, float] | None = None
    unit: str | None = None
    notes: tuple[str, ...] = ()
    palette: bool = False


def read_image(
    path: str | os.PathLike[str],
    options: ImageOptions | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> GrayImage:
    """Read one plane of an image file as gray values.

    The kind of file is told by its first bytes, not by its name. The axes of OME, ImageJ and
    colour files are read from their metadata; ``options.axes`` overrules them. Uncompressed
    TIFF and NPY files are memory-mapped, so that only the chosen plane is loaded.

    Parameters
    ----------
    path
        A TIFF, PNG, JPEG, BMP or NPY file.
    options, contrast_limits
        As in `napari_graysam.source.gray.to_gray`.

    Returns
    -------
    GrayImage
        Its record also holds ``path``, ``pixel_size`` ([height, width] of a pixel, or None) and
        ``pixel_unit``.

    Raises
    ------
    ImageError
        The file is missing, empty, damaged or no image, or has no such plane or channel.
    """
    options = ImageOptions() if options is None else options
    with named(path):
        stored = load(path)
        if options.axes is None and stored.axes is not None:
            _check_stains(stored, options)
            options = options.replace(axes=stored.axes)
        image = to_gray(stored.array, options, contrast_limits=contrast_limits)
    image.record["path"] = os.fspath(path)
    image.record["pixel_size"] = list(stored.pixel_size) if stored.pixel_size else None
    image.record["pixel_unit"] = stored.unit
    image.record["notes"] += stored.notes
    return image


def load(path: str | os.PathLike[str]) -> Stored:
    """Read a file's array as it is stored, and what the file says about it.

    Raises
    ------
    ImageError
        The file cannot be read as an image.
    """
    try:
        if Path(path).is_dir():
            raise ImageError(f"This is a folder; expected a {KINDS} file.")
        with open(path, "rb") as file:
            start = file.read(26)
        if not start:
            raise ImageError("The file is empty (0 bytes).")
        if start.startswith(TIFF_STARTS):
            return _load_tiff(path)
        if start.startswith(NUMPY_START):
            return Stored(np.load(path, mmap_mode="r", allow_pickle=False))
        return _load_picture(path, start)
    except FileNotFoundError:
        raise ImageError("There is no such file; check the path.") from None
    except MemoryError:
        raise ImageError("Its pixels do not fit into memory; crop or split it.") from None
    except ImageError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError(f"Cannot be read: {_first_line(error)}.") from error


@contextmanager
def named(path: str | os.PathLike[str]) -> Generator[None, None, None]:
    """Put the file's path before the message of an `ImageError`."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from error


def _first_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(".")


def _check_stains(stored: Stored, options: ImageOptions) -> None:
    """Refuse to mix the channels of a microscope as if they were red, green and blue."""
    axes = stored.axes or ""
    count = stored.array.shape[axes.index("C")] if "C" in axes else 1
    if count > 1 and options.channel is None and options.gray == "luminance":
        raise ImageError(
            f"The file has {count} channels (axes {axes}, shape {stored.array.shape}); choose "
            f"one with --set image.channel=N, image.channel=0..{count - 1}, or combine them with "
            f"--set image.gray=mean (or max)."
        )


def _load_tiff(path: str | os.PathLike[str]) -> Stored:
    import tifffile

    try:
        with _collected_warnings() as warned, tifffile.TiffFile(path) as file:
            if not file.series:
                raise ImageError("The TIFF file holds no image.")
            array, axes, notes = _tiff_pixels(file.series, path)
            size, unit = _pixel_size(file)
            return Stored(array, axes, size, unit, (*notes, *warned))
    except ImageError:
        raise
    except Exception as error:
        # Damaged tags and codecs raise whatever the decoder at hand raises.
        if "imagecodecs" in str(error):
            raise ImageError(
                f"{_first_line(error)}; install it with `pip install imagecodecs`, or save the "
                f"file uncompressed."
            ) from error
        raise ImageError(f"The TIFF file is damaged: {_first_line(error)}.") from error


@contextmanager
def _collected_warnings() -> Generator[list[str], None, None]:
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


def _tiff_pixels(
    series: Sequence[TiffPageSeries], path: str | os.PathLike[str]
) -> tuple[NDArray[Any], str | None, tuple[str, ...]]:
    """Pixels of the first image; single pages that are alike are the planes of one stack."""
    import tifffile

    first = series[0]
    if len(series) > 1 and all(
        (one.axes, one.shape, one.dtype) == ("YX", first.shape, first.dtype) for one in series
    ):
        check_size((first.shape[0], first.shape[1]))
        return np.stack([one.asarray() for one in series]), "ZYX", ()
    notes = (f"The file holds {len(series)} images; the first was read.",) * (len(series) > 1)
    page = first.keyframe
    check_size((page.imagelength, page.imagewidth))
    if first.dataoffset is None:
        return first.asarray(), _tiff_axes(first), notes
    end, have = first.dataoffset + first.nbytes, os.path.getsize(path)
    if end > have:
        raise ImageError(f"The file is cut off: {have} of at least {end} bytes are there.")
    return tifffile.memmap(path, series=0, mode="r"), _tiff_axes(first), notes


def _tiff_axes(series: TiffPageSeries) -> str | None:
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


def _load_picture(path: str | os.PathLike[str], start: bytes) -> Stored:
    """Read PNG, JPEG or BMP with Pillow, and 16-bit colour PNG, which Pillow cuts, with OpenCV."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # The size is checked against the memory at hand instead.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path, formats=("PNG", "JPEG", "BMP"))
    except UnidentifiedImageError:
        raise ImageError(f"This is no image, or of an unknown kind; expected {KINDS}.") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{_first_line(error)}; save it as TIFF.") from None
    with picture:
        check_size((picture.height, picture.width))
        frames = getattr(picture, "n_frames", 1)
        if frames > 1:
            raise ImageError(f"This holds {frames} frames; save it as a TIFF stack.")
        picture.load()
        if start.startswith(PNG_START) and start[24] == 16 and start[25] != 0:
            return _load_deep_png(path)
        if picture.mode == "LA":
            notes = ("The alpha channel was ignored.",)
            return Stored(np.array(picture.getchannel("L")), "YX", notes=notes)
        if picture.mode in PLAIN_MODES:
            array = np.array(picture)
        else:
            array = np.array(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))
        palette = picture.mode in ("P", "PA")
        return Stored(array, "YX" if array.ndim == 2 else "YXS", palette=palette)


def _load_deep_png(path: str | os.PathLike[str]) -> Stored:
    import cv2

    data = np.fromfile(path, np.uint8)
    array = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ImageError("The PNG file is damaged.")
    if array.ndim == 2:
        return Stored(array, "YX")
    order = [2, 1, 0, 3][: array.shape[2]]
    return Stored(array[..., order], "YXS")
