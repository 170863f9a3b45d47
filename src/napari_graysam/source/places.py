"""Places of Zarr stores: folders and addresses, and the small documents in them."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Self

from napari_graysam.errors import ImageError
from napari_graysam.source.remote import fetch

if sys.platform == "win32":
    from pathlib import WindowsPath as _OfSystem
else:
    from pathlib import PosixPath as _OfSystem

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)::?//?(?!/)")
LARGEST_DOCUMENT = 2**28


def is_address(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is an address, such as ``s3://bucket/image.zarr``.

    Examples
    --------
    >>> is_address("s3://bucket/image.zarr"), is_address("C:/image.zarr"), is_address("a:b/c")
    (True, False, False)
    """
    return "://" in os.fspath(path) and ADDRESS.match(os.fspath(path)) is not None


class Address(_OfSystem):
    """An address in the place of a path: paths in general lose one of its slashes.

    Examples
    --------
    >>> place = Address("s3://bucket/cells.zarr")
    >>> str(place), place.stem, place.absolute() == place, str(place / "0")
    ('s3://bucket/cells.zarr', 'cells', True, 's3://bucket/cells.zarr/0')
    """

    def __str__(self) -> str:
        """Return the address with both of its slashes."""
        return re.sub(r"^([^:/]+):/+", r"\1://", super().__str__().replace("\\", "/"))

    def absolute(self) -> Self:
        """Return itself: it means the same everywhere."""
        return self


def path_of(path: str | os.PathLike[str]) -> Path:
    """Return a path, which is an `Address` where it is one.

    Examples
    --------
    >>> path_of("http://host/a.zarr").name, path_of("a.zarr") == Path("a.zarr")
    ('a.zarr', True)
    """
    return Address(os.fspath(path)) if is_address(path) else Path(path)


def everywhere(path: str) -> str:
    """Return an address as it is, and the absolute path of all else."""
    return path if is_address(path) else os.path.abspath(path)


def joined(root: str, path: str) -> str:
    """Return the place of something inside a store.

    Raises
    ------
    ImageError
        The path leads out of the store.

    Examples
    --------
    >>> joined("image.zarr", "scale/0")
    'image.zarr/scale/0'
    """
    parts = path.split("/")
    if "" in parts or ".." in parts or "\\" in path or "\0" in path or ":" in path:
        raise ImageError(
            f"Its metadata name a place that may lead out of the store, {path[:80]!r}; expected "
            "names within, such as '0'. The store is damaged or made up."
        )
    return "/".join((root.rstrip("/"), *(part for part in parts if part != ".")))


def read_document(root: str, name: str) -> dict[str, Any] | None:
    """Read a JSON document of a store; None where there is none.

    Parameters
    ----------
    root
        Folder or address of a group or an array.
    name
        ``zarr.json``, ``.zattrs`` and so on.

    Raises
    ------
    ImageError
        It is no JSON object, or too large, a package for addresses of its kind is missing, or
        the address cannot be reached.
    OSError
        It cannot be read.
    """
    # Not above: whoever only asks what a path is needs no NumPy.
    from napari_graysam.limits import parse_json

    if is_address(root):
        data = fetch(f"{root}/{name}", LARGEST_DOCUMENT)
    else:
        data = _load(Path(root, name))
    if data is None:
        return None
    try:
        found = parse_json(data)
    except ImageError as error:
        raise ImageError(
            f"{name} of {root} cannot be read ({len(data):,} bytes). {error} The copy of the "
            "image may be unfinished: copy it again."
        ) from error
    if not isinstance(found, dict):
        raise ImageError(f"{name} of {root} is {json.dumps(found)[:40]}; expected an object.")
    return found


def _load(path: Path) -> bytes | None:
    try:
        if path.stat().st_size > LARGEST_DOCUMENT:
            raise ImageError(f"{path} is larger than {LARGEST_DOCUMENT:,} bytes: no metadata.")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
