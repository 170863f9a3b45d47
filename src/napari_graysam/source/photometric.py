"""What the numbers of a TIFF file mean: photometric interpretation and GDAL's missing pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.limits import check_memory

if TYPE_CHECKING:
    from tifffile import TiffPage

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, MASK, SEPARATED, YCBCR = range(7)
AS_STORED = (MIN_IS_BLACK, RGB, 34892, 51177)
"""Also linear raw colours and depth maps: more is brighter, whatever it stands for."""
JPEG = (6, 7)
"""Codecs that give red, green and blue, however the file stores them."""
GDAL_NODATA = 42113


def values_of(
    array: NDArray[Any], axes: str, page: TiffPage, *, imagej: bool
) -> tuple[NDArray[Any], str, tuple[str, ...]]:
    """Return what the numbers of a file mean, with the axes, and notes.

    Parameters
    ----------
    array, axes
        The image as it is stored.
    page
        Its first page, which tells how to understand it.
    imagej
        ImageJ's palettes colour gray values, which are the indices themselves.

    Returns
    -------
    array, axes, notes
        White is the largest number; colours are red, green and blue; missing pixels are NaN.

    Raises
    ------
    ImageError
        The file's colour space is none that is read; the message names it.
    """
    kind = int(page.photometric)
    notes: tuple[str, ...] = ()
    if kind == MIN_IS_WHITE:
        check_memory(array.nbytes, "The image, inverted because its white is zero,")
        array = _inverted(array, page.bitspersample)
        notes = ("In this file zero is white; the values were inverted.",)
    elif kind == PALETTE and not imagej and page.colormap is not None:
        check_memory(6 * array.size, "The image, in the colours of its palette,")
        array, axes = _coloured(array, page.colormap), axes + "S"
    elif kind == SEPARATED:
        array, axes = _of_inks(*_samples_last(array, axes), page)
        notes = ("The file's inks (CMYK) were turned into red, green and blue.",)
    elif kind == YCBCR and int(page.compression) not in JPEG:
        array, axes = _of_ycbcr(*_samples_last(array, axes), page)
    elif kind not in (*AS_STORED, PALETTE, YCBCR):
        raise _refusal(page)
    array, missing = _without_missing(array, page)
    return array, axes, notes + missing


def _refusal(page: TiffPage) -> ImageError:
    name = getattr(page.photometric, "name", str(page.photometric))
    return ImageError(
        f"Its colour space is {name}, which is not read; save it as gray values or RGB."
    )


def _inverted(array: NDArray[Any], bits: int) -> NDArray[Any]:
    inverted: NDArray[Any]
    if array.dtype.kind == "u":
        white = 2 ** min(bits, 8 * array.dtype.itemsize) - 1
        inverted = array.dtype.type(white) - array
    elif array.dtype.kind == "f":
        inverted = -array
    else:
        inverted = ~array
    return inverted


def _coloured(array: NDArray[Any], colormap: NDArray[Any]) -> NDArray[Any]:
    """Look every index up; a palette of 8 bits, stored in 16, becomes 8 bits again."""
    colours = np.asarray(colormap).T
    if not (colours % 257).any():
        colours = (colours // 257).astype(np.uint8)
    if array.max(initial=0) >= len(colours):
        raise ImageError("The file is damaged: an index is larger than its palette.")
    coloured: NDArray[Any] = colours[array]
    return coloured


def _samples_last(array: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    if "S" not in axes:
        raise ImageError("The file is damaged: it has colours of a single sample.")
    return np.moveaxis(array, axes.index("S"), -1), axes.replace("S", "") + "S"


def _of_inks(array: NDArray[Any], axes: str, page: TiffPage) -> tuple[NDArray[Any], str]:
    """Turn cyan, magenta, yellow and black into colours on white paper."""
    if array.shape[-1] < 4 or array.dtype.kind != "u":
        raise _refusal(page)
    check_memory(16 * array.size, "The image, its inks as colours,")
    full = float(np.iinfo(array.dtype).max)
    light = 1 - array[..., :4].astype(np.float32) / full
    colours = np.rint(light[..., :3] * light[..., 3:] * full)
    return colours.astype(array.dtype), axes


def _of_ycbcr(array: NDArray[Any], axes: str, page: TiffPage) -> tuple[NDArray[Any], str]:
    """Turn luma and colour differences of 8 bits into colours, as TIFF 6.0, section 21."""
    if array.dtype != np.uint8 or array.shape[-1] != 3:
        raise _refusal(page)
    check_memory(32 * array.size, "The image, as red, green and blue,")
    weights = _rationals(page, "YCbCrCoefficients", (0.299, 0.587, 0.114))
    black_white = _rationals(page, "ReferenceBlackWhite", (0, 255, 128, 255, 128, 255))
    black, white = black_white[::2], black_white[1::2]
    ranges = np.array([255, 127, 127]) / (white - black)
    luma, blueness, redness = np.moveaxis((array - black) * ranges, -1, 0)
    red = luma + redness * (2 - 2 * weights[0])
    blue = luma + blueness * (2 - 2 * weights[2])
    green = (luma - weights[0] * red - weights[2] * blue) / weights[1]
    colours = np.stack([red, green, blue], axis=-1)
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8), axes


def _rationals(page: TiffPage, name: str, default: tuple[float, ...]) -> NDArray[np.float64]:
    tags = getattr(page, "tags", {})
    if name not in tags:
        return np.array(default, np.float64)
    pairs = np.array(tags[name].value, np.float64).reshape(-1, 2)
    values: NDArray[np.float64] = pairs[:, 0] / pairs[:, 1]
    if len(values) != len(default) or not np.isfinite(values).all() or not values.any():
        raise ImageError(f"The file is damaged: its tag {name} holds no such numbers.")
    return values


def _without_missing(array: NDArray[Any], page: TiffPage) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Put NaN where GDAL's tag says that nothing was measured."""
    tag = getattr(page, "tags", {}).get(GDAL_NODATA)
    if tag is None:
        return array, ()
    text = str(tag.value).strip("\0 ")
    try:
        value = float(text)
    except ValueError:
        return array, (f"The file's value of missing pixels is no number ({text:.60}).",)
    if not math.isfinite(value):
        return array, ()
    with np.errstate(over="ignore"):
        stored = array.dtype.type(value) if array.dtype.kind == "f" else value
    missing = array == stored
    count = int(np.count_nonzero(missing))
    if not count:
        return array, ()
    exact = np.float32 if array.dtype.itemsize <= 2 else np.float64
    wide = array.dtype if array.dtype.kind == "f" else np.dtype(exact)
    check_memory(array.size * (wide.itemsize + 1), "The image, without its missing pixels,")
    array = array.astype(wide)
    array[missing] = np.nan
    return array, (f"{count} pixels are missing (GDAL_NODATA {text}); they count as invalid.",)
