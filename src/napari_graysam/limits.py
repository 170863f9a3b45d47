"""What a file may ask for: what its own bytes can hold, and what memory has room for.

Readers ask here before they allocate, so that a damaged or made-up file of a few bytes ends in
an error that names its claim, and not in a machine without memory.
"""

from __future__ import annotations

import json
import math
import os
import stat
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from napari_graysam.errors import GraysamError, ImageError

FREE = 2**26
"""Bytes that any file may ask for, however small it is."""
JSON_GROWTH = 16
"""Bytes in memory for one byte of a JSON file of coordinates: numbers in lists of lists."""
LARGEST_NPY_HEADER = 2**16


def available_memory() -> int:
    """Return how many bytes this process can get now, by the machine and by its own limit.

    Examples
    --------
    >>> available_memory() > 0
    True
    """
    import psutil

    available = int(psutil.virtual_memory().available)
    try:
        import resource
    except ImportError:  # there is none on Windows
        return available
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return available
    return max(0, min(available, most - int(psutil.Process().memory_info().vms)))


def check_memory(needed: int, what: str) -> None:
    """Refuse what does not fit into memory.

    Parameters
    ----------
    needed
        Bytes.
    what
        What needs them, as the subject of the message.

    Raises
    ------
    ImageError
        `available_memory` is less.

    Examples
    --------
    >>> check_memory(10**18, "An image of 10⁹ × 10⁹ pixels")
    Traceback (most recent call last):
    napari_graysam.errors.ImageError: An image of 10⁹ × 10⁹ pixels needs ... are free...
    """
    available = available_memory()
    if needed > available:
        raise ImageError(
            f"{what} needs {readable(needed)} of memory; {readable(available)} are free. Crop or "
            "split it, or use a machine with more."
        )


def check_claim(claimed: int, held: int, most: int, what: str) -> None:
    """Refuse a claim that no honest file of that size can make.

    Parameters
    ----------
    claimed
        Bytes that something shall have once it is read.
    held
        Bytes that the file has for it.
    most
        Bytes that one of them can become; `FREE` bytes are always allowed.
    what
        What claims, as the subject of the message.

    Raises
    ------
    ImageError
        The claim is larger.

    Examples
    --------
    >>> check_claim(10**12, 300, 1032, "A plane of 10⁶ × 10⁶ pixels")
    Traceback (most recent call last):
    napari_graysam.errors.ImageError: A plane of 10⁶ × 10⁶ pixels claims ...
    """
    allowed = FREE + held * most
    if claimed > allowed:
        raise ImageError(
            f"{what} claims {readable(claimed)}, but the {held:,} bytes of its file can hold "
            f"{readable(allowed)} at most. The file is damaged or made up; get it again."
        )


def readable(count: int) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> readable(3 * 2**30)
    '3.0 GiB'
    """
    return f"{count / 2**30:.1f} GiB" if count >= 2**28 else f"{count / 2**20:.1f} MiB"


def file_size(path: str | os.PathLike[str]) -> int:
    """Return a file's bytes.

    Raises
    ------
    ValueError
        It is a folder, a pipe or a device.
    OSError
        There is none, or it may not be seen.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise ValueError(f"it is {what}; expected a file")
    return found.st_size


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file (UTF-8, with or without a byte order mark) as plain data.

    Raises
    ------
    ImageError
        It is no JSON, is nested too deeply, or does not fit into memory.
    OSError
        It cannot be read.
    """
    size = file_size(path)
    check_memory(size * JSON_GROWTH, f"A JSON file of {readable(size)}")
    return parse_json(Path(path).read_bytes())


def parse_json(data: bytes) -> Any:
    """Parse JSON; errors as for `read_json`.

    Examples
    --------
    >>> parse_json(b'{"height": 3}')
    {'height': 3}
    """
    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError as error:
        raise ImageError("This is no JSON that can be read: it is nested too deeply.") from error
    except ValueError as error:
        raise ImageError(f"This is no JSON file: {error}.") from error


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read an entry of a ZIP file, of whose data no more is unpacked than its directory says.

    Examples
    --------
    >>> import zipfile
    >>> with zipfile.ZipFile("a.zip", "w") as archive:
    ...     archive.writestr("b.txt", "c")
    ...     read_entry(archive, "b.txt")
    b'c'
    """
    size = archive.getinfo(name).file_size
    with archive.open(name) as entry:
        return entry.read(size + 1)


def check_npy(file: IO[bytes], size: int) -> None:
    """Check the header of a NumPy array's file: plain values, all of them there.

    Parameters
    ----------
    file
        Open at its beginning.
    size
        Its bytes.

    Raises
    ------
    ImageError
        The array holds Python objects, or is larger than the file.
    ValueError
        The header is damaged.
    """
    head = BytesIO(file.read(min(size, LARGEST_NPY_HEADER)))
    version = np.lib.format.read_magic(head)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(head)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(head)
    if dtype.hasobject:
        raise ImageError("It holds Python objects, which could run code; save plain numbers.")
    claimed, there = math.prod(shape) * dtype.itemsize, size - head.tell()
    if min(shape, default=0) < 0 or claimed > there:
        raise ImageError(
            f"Its header claims {dtype} {shape}, {claimed:,} bytes, but {there:,} follow. The "
            "file is cut off or made up; get it again."
        )


@contextmanager
def reading(
    path: str | os.PathLike[str],
    expected: str,
    error: type[GraysamError] = ImageError,
    advice: str = "",
) -> Generator[None, None, None]:
    """Turn whatever a file's parser raises into one clear error.

    Parameters
    ----------
    path
        Named first in the message.
    expected
        What the file should be, as in “not …, or damaged”.
    error
        The class to raise.
    advice
        The last sentence of the message: what to do.

    Examples
    --------
    >>> with reading("cells.json", "a COCO file"):
    ...     {}["images"]
    Traceback (most recent call last):
    napari_graysam.errors.ImageError: cells.json: not a COCO file, or damaged: 'images' is missing.
    """
    try:
        yield
        return
    except GraysamError as known:
        cause: Exception = known
        text = str(known).removeprefix(f"{os.fspath(path)}: ")
    except MemoryError as full:
        cause, text = full, "It does not fit into memory; crop or split it."
    except FileNotFoundError as missing:
        cause, text, advice = missing, "There is no such file; check the path.", ""
    except OSError as refused:
        cause, text = refused, f"cannot be read: {_reason(refused)}."
    except Exception as damage:
        # Parsers of damaged files raise whatever the place at hand raises.
        cause, text = damage, f"not {expected}, or damaged: {_reason(damage)}."
    raise error(f"{os.fspath(path)}: {text} {advice}".rstrip()) from cause


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    line = str(text).splitlines()[0].rstrip(".")
    return f"{line} is missing" if isinstance(error, KeyError) else line
