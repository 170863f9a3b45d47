"""Places of Zarr stores: folders and addresses, and the small documents in them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from napari_graysam.errors import ImageError
from napari_graysam.limits import parse_json

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)::?//?(?!/)")
LARGEST_DOCUMENT = 2**28
PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "fsspec aiohttp requests",
    "https": "fsspec aiohttp requests", "az": "adlfs", "abfs": "adlfs",
}  # fmt: skip


def is_address(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is an address, such as ``s3://bucket/image.zarr``.

    Examples
    --------
    >>> is_address("s3://bucket/image.zarr"), is_address("C:/image.zarr"), is_address("a:b/c")
    (True, False, False)
    """
    return "://" in os.fspath(path) and ADDRESS.match(os.fspath(path)) is not None


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
        It is no JSON object, a package for addresses of its kind is missing, or the address
        cannot be reached.
    OSError
        It cannot be read.
    """
    data = _fetch(f"{root}/{name}") if is_address(root) else _load(Path(root, name))
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


def _fetch(address: str) -> bytes | None:
    files, path = file_system(address)
    try:
        return bytes(files.cat_file(path))
    except FileNotFoundError:
        return None


def file_system(address: str) -> tuple[Any, str]:
    """Return what reads the files of an address, of fsspec, and the path in it.

    Raises
    ------
    ImageError
        fsspec or the package of that kind of address is missing, or nobody knows it.
    """
    kind = address.partition("://")[0].lower()
    package = PACKAGES.get(kind, "fsspec")
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(address)
    except ImportError as error:
        raise ImageError(
            f"Addresses of {kind}:// need a package that is not installed: pip install "
            f"{package}; or copy the image to this machine."
        ) from error
    except ValueError as error:
        raise ImageError(f"Addresses of {kind}:// are not known: {error}.") from error
    return files, str(path)
