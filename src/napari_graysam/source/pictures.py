"""Pictures that Pillow reads: PNG, JPEG, BMP, GIF, WebP and JPEG 2000."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.limits import check_claim, check_memory, file_size
from napari_graysam.source.physical import PixelSize, of_dpi
from napari_graysam.source.stored import Stored

if TYPE_CHECKING:
    from PIL import Image

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
JP2_STARTS = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
PLAIN_MODES = ("1", "L", "I;16", "I;16B", "I", "F", "RGB", "RGBA")
MODE_BYTES = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 2, "I;16B": 2}
DECODER_BYTES = 16
"""For each pixel: what the decoders of WebP and JPEG 2000 need beside the picture."""
PICTURE_GROWTH = 2**13
"""Pixels that one byte can become: 1032 bytes of deflate with 8 pixels each; of the others fewer,
but for blank pictures of WebP and JPEG 2000, which are bounded as if they were not."""
ORIENTATION = 0x0112


def load_picture(path: str | os.PathLike[str], start: bytes) -> Stored | None:
    """Read a picture, by its first bytes; None if it is none.

    A picture of several frames is a stack along T. Of a file with several pictures (MPO), the
    first is read. What Pillow would cut to 8 bits, 16-bit colour in PNG and JPEG 2000, others read.
    """
    if start[:4] + start[8:12] == b"RIFFWEBP":  # its decoder asks for memory as soon as it is made
        height, width = _webp_size(start)
        what = f"Its picture of {height} × {width} pixels"
        check_claim(height * width, file_size(path), PICTURE_GROWTH, what)
        check_memory(height * width * DECODER_BYTES, what)
    opened = _picture(os.fspath(path), start)
    if opened is None:
        return None
    with opened as picture:
        frames = getattr(picture, "n_frames", 1)
        _check_size(picture, path, start, frames)
        deep = _load_deep(path, start)
        if frames > 1:
            stored = _frames(picture, frames)
        elif deep is not None:
            stored = Stored(deep, "YX" if deep.ndim == 2 else "YXS")
        else:
            stored = _frame(picture)
        notes = stored.notes
        if "mp" in picture.info:
            notes += ("The file holds several pictures (MPO); the first was read.",)
        size, unit, more = _pixel_size(picture)
        stored = stored._replace(pixel_size=size, unit=unit, notes=notes, size_notes=more)
        return stored.upright(_orientation(picture))


def _picture(path: str, start: bytes) -> Image.Image | None:
    """Open a picture, of whatever size: Pillow's own bound would refuse large real ones."""
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        Jpeg2KImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        WebPImagePlugin,
    )

    if start.startswith(PNG_START):
        return PngImagePlugin.PngImageFile(path)
    if start.startswith(JPEG_START):
        return JpegImagePlugin.JpegImageFile(path)
    if start.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile(path)
    if start.startswith((b"GIF87a", b"GIF89a")):
        return GifImagePlugin.GifImageFile(path)
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile(path)
    if start.startswith(JP2_STARTS):
        return Jpeg2KImagePlugin.Jpeg2KImageFile(path)
    return None


def _webp_size(start: bytes) -> tuple[int, int]:
    """Return height and width from the first chunk of a WebP file."""
    kind, sides = start[12:16], start[20:30]
    if kind == b"VP8X":
        width, height = (int.from_bytes(sides[at : at + 3], "little") + 1 for at in (4, 7))
    elif kind == b"VP8L":
        packed = int.from_bytes(sides[1:5], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(sides[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return height, width


def _check_size(
    picture: Image.Image, path: str | os.PathLike[str], start: bytes, frames: int
) -> None:
    pixels = picture.height * picture.width
    what = f"Its picture of {picture.height} × {picture.width} pixels"
    if frames > 1:
        what = f"Its {frames} frames of {picture.height} × {picture.width} pixels"
    check_claim(pixels * frames, file_size(path), PICTURE_GROWTH, what)
    each = MODE_BYTES.get(picture.mode, 4)
    decoder = DECODER_BYTES if start.startswith((b"RIFF", *JP2_STARTS)) else 0
    check_memory(pixels * ((1 + frames) * each + decoder), what)


def _frame(picture: Image.Image) -> Stored:
    picture.load()
    if picture.mode == "LA":
        notes = ("The alpha channel was ignored.",)
        return Stored(np.array(picture.getchannel("L")), "YX", notes=notes)
    if picture.mode in PLAIN_MODES:
        array = np.array(picture)
    else:
        array = np.array(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))
    palette = picture.mode in ("P", "PA")
    return Stored(array, "YX" if array.ndim == 2 else "YXS", palette=palette)


def _frames(picture: Image.Image, frames: int) -> Stored:
    """Read all frames; their colours are those of the first, or red, green and blue."""
    gray = picture.mode in ("1", "L")
    stack: NDArray[Any] | None = None
    for number in range(frames):
        picture.seek(number)
        plane = np.array(picture.convert("L" if gray else "RGB"))
        if stack is None:
            stack = np.empty((frames, *plane.shape), plane.dtype)
        stack[number] = plane
    assert stack is not None
    return Stored(stack, "TYX" if gray else "TYXS", palette=picture.mode == "P")


def _load_deep(path: str | os.PathLike[str], start: bytes) -> NDArray[Any] | None:
    """Read colours of more than 8 bits, which Pillow would cut; None if there are none."""
    if start.startswith(PNG_START) and start[24:25] == b"\x10" and start[25:26] != b"\0":
        import cv2

        array = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        if array is None:
            raise ImageError("The PNG file is damaged.")
        deep: NDArray[Any] = array
        return deep if deep.ndim == 2 else deep[..., [2, 1, 0, 3][: deep.shape[2]]]
    if start.startswith(JP2_STARTS):
        from imagecodecs import jpeg2k_decode

        data = np.fromfile(path, np.uint8).tobytes()
        head = data.find(JP2_STARTS[1])
        if head >= 0 and data[head + 42 : head + 43] > b"\x07":
            decoded: NDArray[Any] = jpeg2k_decode(data)
            return decoded
    return None


def _pixel_size(picture: Image.Image) -> PixelSize:
    dpi = picture.info.get("dpi")
    try:
        return PixelSize() if dpi is None else of_dpi(float(dpi[1]), float(dpi[0]))
    except (TypeError, ValueError, ZeroDivisionError):
        return PixelSize()


def _orientation(picture: Image.Image) -> int:
    """Return EXIF's orientation, upright where EXIF is missing or damaged."""
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF raises whatever is at hand; the picture is whole
        return 1
