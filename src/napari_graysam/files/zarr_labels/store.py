"""The store that labels are written into: its groups, and the list of the names."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_graysam.atomic import writing
from napari_graysam.errors import ImageError, OutputError
from napari_graysam.source.label_store import AN_IMAGE, more_than_labels
from napari_graysam.source.multiscales import ome_attributes
from napari_graysam.source.places import is_address
from napari_graysam.source.zarr_arrays import Node, read_node

ELSEWHERE = "choose another folder (--out) or another name (--name)"

NAME = re.compile(r"(?!__)[^./\\\x00-\x1f][^/\\\x00-\x1f]*")


def check_name(name: str) -> None:
    """Refuse a name of labels that is no name of a folder in a store.

    Examples
    --------
    >>> check_name("../cells")
    Traceback (most recent call last):
    napari_graysam.errors.OutputError: Labels cannot be called '../cells': expected ...
    """
    if not NAME.fullmatch(name):
        raise OutputError(
            f"Labels cannot be called {name[:80]!r}: expected a name without / and \\ that does "
            "not begin with a dot or two underscores."
        )


def open_store(store: str | os.PathLike[str], *, into_image: bool) -> tuple[Path, int]:
    """Return the folder of a store, which is made if missing, and its format, 2 or 3.

    Raises
    ------
    OutputError
        It is an address, is something else, or is an image although none was meant.
    """
    node = check_store(store, into_image=into_image)
    root = Path(store)
    if node is None:
        make_group(root, 3)
        set_attributes(root, {"ome": {"version": "0.5"}}, 3)
        return root, 3
    return root, node.zarr_format


def check_store(store: str | os.PathLike[str], *, into_image: bool = False) -> Node | None:
    """Refuse a store that labels would not go into; nothing is written.

    Parameters
    ----------
    store
        As of `create_labels`.
    into_image
        Whether it is an image that shall get labels; else it must hold labels only, or be new.

    Returns
    -------
    Node or None
        What is there; None where the store is to be made.

    Raises
    ------
    OutputError
        It is an address, is something else, is an image although none was meant, or is an image
        that cannot be written to.
    """
    if is_address(store):
        raise OutputError(
            f"Labels cannot be written to {os.fspath(store)}: an address cannot be locked. Write "
            "them to a folder of this machine, and copy them."
        )
    root = Path(store)
    try:
        node = _node(root)
    except OutputError as error:
        if into_image:
            raise
        raise OutputError(f"{error} If it holds results only, delete it.") from error
    if node is None:
        if into_image:
            raise OutputError(f"{root} is no OME-Zarr image that could get labels.")
        with writing(root):
            if root.exists() and (not root.is_dir() or any(root.iterdir())):
                raise OutputError(f"{root} is there already and is no Zarr store; {ELSEWHERE}.")
        return None
    if into_image and (node.is_array or "multiscales" not in ome_attributes(node.attributes)):
        raise OutputError(f"{root} is no OME-Zarr image that could get labels.")
    if into_image and not os.access(root, os.W_OK):
        raise OutputError(
            f"Labels cannot be written into {root}: it is read-only, or you may not write there. "
            "Leave out --write into-image, and they get a store of their own."
        )
    if not into_image and (other := more_than_labels(root)):
        what = f"is {other}" if other == AN_IMAGE else f"holds more than labels ({other})"
        raise OutputError(
            f"{root} {what} and is not changed unasked: {ELSEWHERE}, or, for labels in the image "
            "that is segmented, --write into-image."
        )
    _check_labels(root)
    if node.zarr_format == 2 and not into_image:
        raise OutputError(f"{root} is a store of an older format; {ELSEWHERE}.")
    return node


def _check_labels(root: Path) -> None:
    """Refuse a store whose list of labels could not be kept."""
    group = root / "labels"
    node = _node(group)
    names = None if node is None else ome_attributes(node.attributes).get("labels")
    damaged = names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    )
    if damaged or (group.exists() and not group.is_dir()):
        raise OutputError(
            f"Labels cannot be written into {group}: it holds no list of names of labels, but "
            f"{str(names)[:40] if damaged else 'is a file'}. The store is damaged."
        )


def label_names(store: str | os.PathLike[str]) -> list[str]:
    """Return the names of the labels in a store, as its list of names has them.

    Examples
    --------
    >>> label_names("nothing.zarr")
    []
    """
    node = _node(Path(store, "labels"))
    names = [] if node is None else ome_attributes(node.attributes).get("labels", [])
    return [str(name) for name in names] if isinstance(names, list) else []


def add_name(root: Path, name: str, zarr_format: int) -> None:
    """Add a name to the list of labels, which keeps the others."""
    group = root / "labels"
    node = _node(group)
    if node is None:
        make_group(group, zarr_format)
    known = label_names(root)
    _list(root, known if name in known else [*known, name], zarr_format)


def remove_labels(root: Path, name: str) -> None:
    """Remove labels of this program from a store whose other labels stay."""
    remove_group(root / "labels" / name)
    node = _node(root)
    zarr_format = 3 if node is None else node.zarr_format
    _list(root, [one for one in label_names(root) if one != name], zarr_format)


def _list(root: Path, names: list[str], zarr_format: int) -> None:
    group = root / "labels"
    node = _node(group)
    if zarr_format == 2:
        attributes = {**(node.attributes if node else {}), "labels": names}
    else:
        ome = {"version": "0.5"} | dict((node.attributes if node else {}).get("ome", {}))
        attributes = {**(node.attributes if node else {}), "ome": {**ome, "labels": names}}
    set_attributes(group, attributes, zarr_format)
    _consolidate(root)


def _consolidate(root: Path) -> None:
    """Renew a store's copy of all its metadata, if it has one: readers look only there."""
    import zarr

    node = _node(root)
    inline = node is not None and node.document.get("consolidated_metadata")
    if not inline and not (root / ".zmetadata").is_file():
        return
    with writing(root), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            zarr.consolidate_metadata(str(root))
        except OSError:
            raise
        except Exception as error:
            # Zarr parses every group and array of the store, and raises what damage comes to.
            raise OutputError(
                f"The labels are in {root}, but not in its consolidated metadata, which cannot be "
                f"renewed: the metadata of something in the store are damaged ({error}). Remove "
                f"that, or copy it again, and call zarr.consolidate_metadata({str(root)!r})."
            ) from error


def make_group(path: Path, zarr_format: int) -> None:
    """Make a group, unless it is there."""
    import zarr

    with writing(path):
        zarr.open_group(str(path), mode="a", zarr_format=3 if zarr_format == 3 else 2)


def set_attributes(path: Path, attributes: Mapping[str, Any], zarr_format: int) -> None:
    """Replace the attributes of a group, in one step."""
    import zarr

    with writing(path):
        group = zarr.open_group(
            str(path), mode="r+", zarr_format=3 if zarr_format == 3 else 2, use_consolidated=False
        )
        group.attrs.put(dict(attributes))


def read_attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a group; none of what is damaged."""
    try:
        node = read_node(str(path))
    except (ImageError, OSError):
        return {}
    return {} if node is None else node.attributes


def remove_group(path: Path) -> None:
    """Remove a group of this program; a link is refused, whatever it leads to."""
    with writing(path):
        if path.is_symlink():
            raise OutputError(f"{path} is a link; remove it yourself.")
        shutil.rmtree(path)


def _node(path: Path) -> Node | None:
    try:
        return read_node(str(path))
    except (ImageError, OSError) as error:
        raise OutputError(f"Labels cannot be written into {path}: {error}") from error
