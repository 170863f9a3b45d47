"""Arrays and a JSON text in an ``.npz`` file, written whole and read only if it is one of ours."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_graysam.atomic import atomic_path
from napari_graysam.errors import ProposalsError
from napari_graysam.limits import check_memory, check_npy, file_size, parse_json, readable

FORMAT = "napari-graysam proposals 1"


def write_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, npt.NDArray[Any]],
    about: Mapping[str, Any],
) -> None:
    """Write arrays by name, uncompressed, and a mapping of JSON's types; see `read_arrays`.

    Raises
    ------
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> write_arrays("a.npz", {"area": np.arange(3)}, {"image_size": [8, 8]})
    >>> arrays, about = read_arrays("a.npz")
    >>> arrays["area"].tolist(), about["image_size"]
    ([0, 1, 2], [8, 8])
    """
    text = json.dumps({"format": FORMAT, **about})
    with atomic_path(path, make_folder=False) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, about=np.array(text), **arrays)


def read_arrays(
    path: str | os.PathLike[str],
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read what `write_arrays` wrote; arrays of objects are never unpickled.

    Every array must be as large as it claims, before any is read. As nothing is compressed,
    the file is no smaller than its arrays.

    Raises
    ------
    ProposalsError, ImageError
        It claims more than it holds, does not fit into memory, or is of another format.
    Exception
        Whatever a damaged file makes its parsers raise: call it within `limits.reading`.
    """
    size = file_size(path)
    with zipfile.ZipFile(path) as archive:
        claimed = sum(entry.file_size for entry in archive.infolist())
        if claimed > size:
            raise ProposalsError(
                f"its entries claim {claimed:,} bytes, but it has {size:,}: it is damaged."
            )
        check_memory(claimed, f"A file of {readable(size)}")
        for entry in archive.infolist():
            with archive.open(entry) as member:
                check_npy(member, entry.file_size)
        about = parse_json(str(_array(archive, "about")).encode())
        if about["format"] != FORMAT:
            raise ProposalsError(f"its format is {about['format']!r}; expected {FORMAT!r}.")
        names = [entry.filename.removesuffix(".npy") for entry in archive.infolist()]
        return {name: _array(archive, name) for name in names if name != "about"}, about


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with archive.open(f"{name}.npy") as member:
        array: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array
