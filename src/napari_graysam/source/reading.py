"""Read images: TIFF of every kind, pictures, NumPy files and Zarr stores."""

from __future__ import annotations

import os

import numpy as np

from napari_graysam.errors import ImageError
from napari_graysam.limits import check_npy, file_size, reading
from napari_graysam.recipe import ImageOptions
from napari_graysam.source import kinds
from napari_graysam.source.gray import GrayImage, to_gray
from napari_graysam.source.images import check_number
from napari_graysam.source.netpbm import STARTS as NETPBM_STARTS
from napari_graysam.source.netpbm import load_netpbm
from napari_graysam.source.physical import checked_size, given_size
from napari_graysam.source.pictures import load_picture
from napari_graysam.source.places import is_address
from napari_graysam.source.stored import Stored
from napari_graysam.source.tiff import load_tiff
from napari_graysam.source.zarr_level import gaps_of

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NUMPY_START = b"\x93NUMPY"
KINDS = "TIFF, PNG, JPEG, BMP, GIF, WebP, JPEG 2000, PGM or NPY"
LONGEST_START = 132


def read_image(
    path: str | os.PathLike[str],
    options: ImageOptions | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
    pixel_size: float | tuple[float, float] | None = None,
) -> GrayImage:
    """Read one plane of an image file as gray values.

    The kind of file is told by its first bytes, not by its name. The axes of OME, ImageJ and
    colour files are read from their metadata; ``options.axes`` overrules them. Uncompressed
    TIFF and NPY files are memory-mapped, so that only the chosen plane is loaded.

    Parameters
    ----------
    path
        A TIFF, PNG, JPEG, BMP, GIF, WebP, JPEG 2000, PGM (PBM, PPM) or NPY file; an OME-Zarr
        image, whose finest level is read, one of its levels, or another Zarr array; or a
        microscope's file (CZI, ND2, LIF, …), if bioio and its package for them are installed.
    options, contrast_limits
        As in `napari_graysam.source.gray.to_gray`.
    pixel_size
        Micrometres, or (height, width) of a pixel in micrometres, in place of the file's.

    Returns
    -------
    GrayImage
        Its record also holds ``path``, ``series``, ``orientation`` (the file's tag, which has
        been followed), ``pixel_size`` ([height, width] of a pixel, or None) and ``pixel_unit``.

    Raises
    ------
    ImageError
        The file is missing, empty, damaged or no image, or has no such plane or channel; or
        ``pixel_size`` is not positive.

    See Also
    --------
    napari_graysam.files.read_labels : Label images.

    Examples
    --------
    >>> import numpy as np
    >>> np.save("cells.npy", np.arange(12, dtype=np.uint16).reshape(3, 4))
    >>> image = read_image("cells.npy")
    >>> image.pixels.shape, image.record["dtype"]
    ((3, 4), 'uint16')
    """
    options = ImageOptions() if options is None else options
    size = None if pixel_size is None else checked_size(pixel_size)
    stored = load(path, options.series)
    try:
        if options.axes is None and stored.axes is not None:
            check_stains(stored, options)
            options = options.replace(axes=stored.axes)
        image = to_gray(stored.array, options, contrast_limits=contrast_limits)
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from error
    image.record["path"] = os.fspath(path)
    image.record["series"] = options.series
    image.record["orientation"] = stored.orientation
    known = given_size(size, stored) if size else stored
    image.record["pixel_size"] = list(known.pixel_size) if known.pixel_size else None
    image.record["pixel_unit"] = known.unit
    image.record["notes"] += [*known.notes, *gaps_of(stored.array), *known.size_notes]
    return image


def load(
    path: str | os.PathLike[str], series: int | None = None, *, colours: bool = True
) -> Stored:
    """Read a file's array as it is stored, and what the file says about it.

    What it claims is checked before memory is asked for: a size must be one that a file of so
    many bytes can hold, and must fit.

    Parameters
    ----------
    path
        The file.
    series
        Which of its images, counted from 0; None for the only one.
    colours
        Whether numbers stand for gray values and colours: then white is the largest, an index
        into the palette of a TIFF file is its colour, and a missing pixel is NaN.

    Raises
    ------
    ImageError
        The file cannot be read as an image, or holds several, or no such one.

    Examples
    --------
    >>> import numpy as np
    >>> np.save("a.npy", np.zeros((3, 4), np.uint16))
    >>> load("a.npy").array.shape
    (3, 4)
    """
    if os.path.isdir(path) or is_address(path):
        return _load_zarr(os.fspath(path), series, colours=colours)
    with reading(path, f"a {KINDS} file"):
        size = file_size(path)
        with open(path, "rb") as file:
            start = file.read(LONGEST_START)
            file.seek(0)
            if start.startswith(NUMPY_START):
                check_npy(file, size)
        if not start:
            raise ImageError("The file is empty (0 bytes).")
        if start.startswith(TIFF_STARTS):
            return load_tiff(path, series, colours=colours)
        vendor = kinds.vendor(path, start)
        if vendor is not None:
            from napari_graysam.source.vendor import open_vendor

            return open_vendor(os.fspath(path), vendor, series).stored()
        stored = _load_single(path, start)
        if series is not None:
            check_number(series, 1)
        return stored


def _load_zarr(path: str, series: int | None, *, colours: bool) -> Stored:
    """Return the finest level of a Zarr store, which is read where it is indexed.

    Where labels are meant, a store of labels only stands for those that it holds.
    """
    from napari_graysam.source.zarr_images import only_labels, open_zarr

    pyramid = open_zarr(path if colours else only_labels(path), series)
    if pyramid is None:
        raise ImageError(f"{path}: {kinds.no_image(path)}")
    return pyramid.stored()


def _load_single(path: str | os.PathLike[str], start: bytes) -> Stored:
    """Read a file of a kind that holds one image."""
    if start.startswith(NUMPY_START):
        return Stored(np.load(path, mmap_mode="r", allow_pickle=False))
    if start.startswith(NETPBM_STARTS) and start[2:3].isspace():
        return Stored(*load_netpbm(path))
    stored = load_picture(path, start)
    if stored is None:
        known = kinds.foreign(path, start)
        raise ImageError(known or f"This is no image, or of an unknown kind; expected {KINDS}.")
    return stored


def check_stains(stored: Stored, options: ImageOptions) -> None:
    """Refuse to mix the channels of a microscope as if they were red, green and blue."""
    axes = stored.axes or ""
    count = stored.array.shape[axes.index("C")] if "C" in axes else 1
    if count > 1 and options.channel is None and options.gray == "luminance":
        raise ImageError(
            f"The file has {count} channels (axes {axes}, shape {stored.array.shape}); choose "
            f"one with image.channel=N, image.channel=0..{count - 1}, or combine them with "
            f"image.gray=mean (or max)."
        )
