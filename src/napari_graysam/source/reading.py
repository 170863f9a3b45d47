"""Read images: TIFF of every kind, PNG, JPEG, BMP and NumPy files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from napari_graysam.errors import ImageError
from napari_graysam.limits import check_claim, check_memory, check_npy, file_size, reading
from napari_graysam.recipe import ImageOptions
from napari_graysam.source.gray import GrayImage, to_gray
from napari_graysam.source.stored import Stored
from napari_graysam.source.tiff import load_tiff

if TYPE_CHECKING:
    from PIL import Image

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NUMPY_START = b"\x93NUMPY"
PNG_START = b"\x89PNG\r\n\x1a\n"
PLAIN_MODES = ("1", "L", "I;16", "I;16B", "I", "F", "RGB", "RGBA")
KINDS = "TIFF, PNG, JPEG, BMP or NPY"
MODE_BYTES = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 2, "I;16B": 2}
PICTURE_GROWTH = 2**13
"""Pixels that one byte can become: 1032 bytes of deflate with 8 pixels each; JPEG makes fewer."""


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
    stored = load(path)
    try:
        if options.axes is None and stored.axes is not None:
            _check_stains(stored, options)
            options = options.replace(axes=stored.axes)
        image = to_gray(stored.array, options, contrast_limits=contrast_limits)
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from error
    image.record["path"] = os.fspath(path)
    image.record["pixel_size"] = list(stored.pixel_size) if stored.pixel_size else None
    image.record["pixel_unit"] = stored.unit
    image.record["notes"] += stored.notes
    return image


def load(path: str | os.PathLike[str]) -> Stored:
    """Read a file's array as it is stored, and what the file says about it.

    What it claims is checked before memory is asked for: a size must be one that a file of so
    many bytes can hold, and must fit.

    Raises
    ------
    ImageError
        The file cannot be read as an image.

    Examples
    --------
    >>> import numpy as np
    >>> np.save("a.npy", np.zeros((3, 4), np.uint16))
    >>> load("a.npy").array.shape
    (3, 4)
    """
    with reading(path, f"a {KINDS} file"):
        size = file_size(path)
        with open(path, "rb") as file:
            start = file.read(26)
            file.seek(0)
            if start.startswith(NUMPY_START):
                check_npy(file, size)
        if not start:
            raise ImageError("The file is empty (0 bytes).")
        if start.startswith(TIFF_STARTS):
            return load_tiff(path)
        if start.startswith(NUMPY_START):
            return Stored(np.load(path, mmap_mode="r", allow_pickle=False))
        return _load_picture(path, start)


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


def _load_picture(path: str | os.PathLike[str], start: bytes) -> Stored:
    """Read PNG, JPEG or BMP with Pillow, and 16-bit colour PNG, which Pillow cuts, with OpenCV."""
    with _picture(os.fspath(path), start) as picture:
        pixels = picture.height * picture.width
        what = f"Its picture of {picture.height} × {picture.width} pixels"
        check_claim(pixels, file_size(path), PICTURE_GROWTH, what)
        check_memory(2 * pixels * MODE_BYTES.get(picture.mode, 4), what)
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


def _picture(path: str, start: bytes) -> Image.Image:
    """Open a picture, of whatever size: Pillow's own bound would refuse large real ones."""
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin

    if start.startswith(PNG_START):
        return PngImagePlugin.PngImageFile(path)
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImagePlugin.jpeg_factory(path)  # type: ignore[arg-type]
    if start.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile(path)
    raise ImageError(f"This is no image, or of an unknown kind; expected {KINDS}.")


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
