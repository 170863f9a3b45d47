"""Zarr nodes: groups and arrays of format 2 and 3, opened only where their metadata are safe.

Metadata may be made up. An array is opened when its values are plain numbers, its codecs are
known ones that run no code of the store, and one of its chunks fits into memory.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_graysam.errors import ImageError
from napari_graysam.limits import check_memory
from napari_graysam.source.places import is_address, read_document
from napari_graysam.source.remote import RefusedError, asking
from napari_graysam.source.zarr_level import ZarrLevel

CODECS = frozenset(
    (
        "adler32", "astype", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta",
        "endian", "fixedscaleoffset", "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma",
        "packbits", "pcodec", "quantize", "sharding_indexed", "shuffle", "transpose", "zfpy",
        "zlib", "zstd",
    )
)  # fmt: skip
TYPES = frozenset(
    (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64",
    )
)  # fmt: skip
LONGEST_SIDE = 2**40
MOST_AXES = 8
MOST_COUNTED = 100_000
"""Chunks of an array that are counted; of more, nobody waits for the answer."""


class Node(NamedTuple):
    """A group or an array: its metadata as they are stored, format 2 or 3, and attributes."""

    document: dict[str, Any]
    attributes: dict[str, Any]
    zarr_format: int
    is_array: bool


def read_node(root: str) -> Node | None:
    """Read what a folder or an address is in a Zarr store; None where it is no part of one.

    Raises
    ------
    ImageError
        Its metadata are damaged, or their address cannot be reached.
    """
    refused: list[RefusedError] = []

    def read(name: str) -> dict[str, Any] | None:
        # Servers that hide what is not there refuse it.
        try:
            return read_document(root, name)
        except RefusedError as error:
            refused.append(error)
            return None

    document = read("zarr.json")
    if document is not None:
        kind = document.get("node_type")
        if document.get("zarr_format") != 3 or kind not in ("group", "array"):
            raise ImageError(f"zarr.json of {root} describes neither a group nor an array.")
        return Node(document, _mapping(document.get("attributes")), 3, kind == "array")
    for name in (".zarray", ".zgroup"):
        document = read(name)
        if document is not None:
            attributes = read(".zattrs")
            return Node(document, _mapping(attributes), 2, name == ".zarray")
    attributes = read(".zattrs")
    if attributes is None and refused:
        raise refused[0]
    return None if attributes is None else Node({}, attributes, 2, False)


def _mapping(found: Any) -> dict[str, Any]:
    if found is not None and not isinstance(found, dict):
        raise ImageError("The attributes of a Zarr node are no mapping.")
    return found or {}


def open_array(root: str, node: Node) -> ZarrLevel:
    """Open an array whose metadata have been read.

    Raises
    ------
    ImageError
        It does not hold plain numbers, uses a codec that is not allowed, or has chunks larger
        than the memory that is free.
    """
    check_array(node.document, node.zarr_format)
    import zarr

    with warnings.catch_warnings(), asking(root):
        # Codecs that are not in the specification of format 3 are named above.
        warnings.simplefilter("ignore")
        store: Any = root
        if is_address(root):
            from napari_graysam.source.remote_store import WatchedStore

            documents = {"zarr.json": node.document}
            if node.zarr_format != 3:
                documents = {".zarray": node.document, ".zattrs": node.attributes}
            store = WatchedStore.at(root, documents)
        array = zarr.open_array(store, mode="r", zarr_format=3 if node.zarr_format == 3 else 2)
    last = list(_names(_codecs(node.document, node.zarr_format)))[-1:]
    return ZarrLevel(root, array, blosc=bool(last) and last[0][0] == "blosc")


def check_array(document: Mapping[str, Any], zarr_format: int) -> None:
    """Refuse metadata of an array that ask for objects, unknown codecs or too much memory.

    Raises
    ------
    ImageError
        The message names what came.

    Examples
    --------
    >>> check_array({"shape": [4], "chunks": [4], "dtype": "|O", "filters": None}, 2)
    Traceback (most recent call last):
    napari_graysam.errors.ImageError: The array holds '|O'; expected integers, floats or bool...
    """
    shape = _sides(document.get("shape"), "shape", 0)
    if zarr_format == 3:
        dtype = _type_of(document.get("data_type"), TYPES)
        chunks = _chunks(document, len(shape))
        if document.get("storage_transformers"):
            raise ImageError("The array uses storage transformers, which are not read.")
    else:
        dtype = _type_of(document.get("dtype"))
        chunks = _sides(document.get("chunks"), "chunks", 1)
    if len(chunks) != len(shape):
        raise ImageError(f"An array of shape {shape} has chunks of {chunks}: other axes.")
    for name, one in _names(_codecs(document, zarr_format)):
        if name not in CODECS:
            raise ImageError(
                f"The array is stored with {name[:60]!r}, which is not read; expected a usual "
                f"codec such as blosc, zstd or gzip. Convert the image with its own program."
            )
        if name == "sharding_indexed":
            chunks = _sides(one.get("chunk_shape"), "chunk_shape", 1)
    size = math.prod(chunks) * dtype.itemsize
    check_memory(size, f"A chunk of {' × '.join(map(str, chunks))} {dtype}")


def _type_of(given: Any, allowed: frozenset[str] | None = None) -> np.dtype[Any]:
    """Return the type of values, if these are numbers."""
    if isinstance(given, str) and (allowed is None or given in allowed):
        try:
            dtype = np.dtype(given)
        except (TypeError, ValueError, SyntaxError):
            dtype = np.dtype(object)
        if dtype.kind in "biuf" and dtype.fields is None:
            return dtype
    raise ImageError(
        f"The array holds {str(given)[:60]!r}; expected integers, floats or bool. Objects, texts "
        "and records are no image, and objects could run code."
    )


def _sides(given: Any, what: str, least: int) -> tuple[int, ...]:
    whole = isinstance(given, list) and all(
        isinstance(side, int) and not isinstance(side, bool) and least <= side <= LONGEST_SIDE
        for side in given
    )
    if not whole or len(given) > MOST_AXES:
        raise ImageError(
            f"The {what} of the array is {str(given)[:80]}; expected at most {MOST_AXES} whole "
            f"numbers from {least} to {LONGEST_SIDE}. The store is damaged or made up."
        )
    return tuple(given)


def _chunks(document: Mapping[str, Any], count: int) -> tuple[int, ...]:
    grid = document.get("chunk_grid")
    if not isinstance(grid, dict) or grid.get("name") != "regular":
        raise ImageError("The chunks of the array form no regular grid, which is not read.")
    return _sides(_mapping(grid.get("configuration")).get("chunk_shape"), "chunk_shape", 1)


def _codecs(document: Mapping[str, Any], zarr_format: int) -> Any:
    """Return what is done to the values of a chunk, one after the other."""
    if zarr_format == 3:
        return document.get("codecs")
    filters = document.get("filters") or []
    return [*filters, document.get("compressor")] if isinstance(filters, list) else filters


def _names(codecs: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the configuration of every codec, those within shards as well."""
    if not isinstance(codecs, Sequence) or isinstance(codecs, str):
        raise ImageError("The codecs of the array are no list. The store is damaged or made up.")
    for codec in codecs:
        if codec is None:
            continue
        if isinstance(codec, str):
            codec = {"name": codec}
        if not isinstance(codec, dict):
            raise ImageError("A codec of the array is no mapping. The store is damaged or made up.")
        name = codec.get("name", codec.get("id"))
        about = _mapping(codec.get("configuration"))
        yield str(name).removeprefix("numcodecs."), about
        if name == "sharding_indexed":
            yield from _names(about.get("codecs"))
            yield from _names(about.get("index_codecs", []))


def missing_chunks(root: str, array: ZarrLevel) -> tuple[int, int] | None:
    """Return how many stored blocks of an array are missing, and how many it has.

    Missing blocks are not an error of Zarr: they hold the fill value. None where it would take
    long to count them: at an address, or of more than `MOST_COUNTED`.
    """
    block = array.shards or array.chunks
    sides = zip(array.shape, block, strict=True)
    count = math.prod(-(-side // length) for side, length in sides)
    if is_address(root) or count > MOST_COUNTED:
        return None
    found, waiting = 0, [Path(root)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.name.startswith(".z") and entry.name != "zarr.json":
                    found += not entry.name.endswith(".partial")
    return max(0, count - found), count


def children(root: str) -> list[str]:
    """Return the names of the arrays and groups in a group; none of an address."""
    if is_address(root) or not Path(root).is_dir():
        return []
    names = ("zarr.json", ".zarray", ".zgroup")
    return sorted(
        path.name
        for path in Path(root).iterdir()
        if path.is_dir() and any((path / name).is_file() for name in names)
    )
