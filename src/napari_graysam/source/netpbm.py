"""PBM, PGM and PPM files, whose values other readers scale or cut."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import ImageError
from napari_graysam.limits import check_claim, check_memory

STARTS = tuple(b"P%d" % kind for kind in range(1, 7))
NUMBER = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+(\d{1,9})")


def load_netpbm(path: str | os.PathLike[str]) -> tuple[NDArray[Any], str]:
    """Read the first picture of such a file: values as they are stored, and their axes.

    Source: the formats' descriptions in Netpbm, pbm(5), pgm(5) and ppm(5).

    Raises
    ------
    ImageError
        It is damaged, or holds fewer pixels than it claims.
    """
    size = Path(path).stat().st_size
    check_memory(64 * size, "A PBM, PGM or PPM file of this size")
    data = Path(path).read_bytes()
    kind, at = int(data[1:2]), 2
    head: list[int] = []
    for _ in range(2 if kind in (1, 4) else 3):
        number = NUMBER.match(data, at)
        if number is None:
            raise ImageError("The head of the PBM, PGM or PPM file is damaged.")
        head.append(int(number[1]))
        at = number.end()
    width, height, most = (*head, 1)[:3]
    if not width * height:
        raise ImageError(f"The picture of {height} × {width} pixels is empty.")
    if not 0 < most < 2**16:
        raise ImageError(f"The file's largest value is {most}; expected 1 to 65535.")
    samples = 3 if kind in (3, 6) else 1
    what = f"Its picture of {height} × {width} pixels"
    check_claim(width * height * samples, size, 8, what)
    check_memory(8 * width * height * samples, what)
    values: NDArray[Any]
    if kind == 4:
        values = _bits(data[at + 1 :], width, height)
    elif kind > 4:
        values = np.frombuffer(data, ">u2" if most > 255 else "u1", offset=at + 1)
    else:
        values = _written(data[at:], single=kind == 1)
    if values.size < width * height * samples:
        raise ImageError(
            f"The file is cut off: {values.size} of {width * height * samples} values are there."
        )
    values = values[: width * height * samples]
    if values.min() < 0 or values.max() > most:
        raise ImageError(f"The file is damaged: a value is not from 0 to {most}.")
    if kind in (1, 4):
        values = 1 - values
    shape = (height, width, 3)[: 3 if samples == 3 else 2]
    plain = values.astype(np.uint16 if most > 255 else np.uint8).reshape(shape)
    return plain, "YXS" if samples == 3 else "YX"


def _bits(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Unpack rows of eight pixels a byte, of which 1 is black."""
    row = -(-width // 8)
    packed = np.frombuffer(data, np.uint8)
    rows = packed[: len(packed) // row * row].reshape(-1, row)[:height]
    return np.unpackbits(rows, axis=1)[:, :width].ravel()


def _written(data: bytes, *, single: bool) -> NDArray[np.int64]:
    """Read numbers that are written out, in black-and-white files digit by digit."""
    plain = re.sub(rb"#[^\r\n]*", b"", data)
    words = list(plain.replace(b" ", b"").translate(None, b"\t\r\n")) if single else plain.split()
    if single:
        return np.array(words, np.int64) - ord("0")
    return np.array([int(word) for word in words], np.int64)
