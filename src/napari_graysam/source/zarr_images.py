"""Images in Zarr stores: OME-Zarr groups, and plain arrays."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any

from napari_graysam.errors import ImageError
from napari_graysam.limits import reading
from napari_graysam.source.images import check_number
from napari_graysam.source.multiscales import ome_attributes, parse_multiscales, scale_notes
from napari_graysam.source.places import everywhere, is_address, joined
from napari_graysam.source.pyramid import Pyramid, check_levels
from napari_graysam.source.remote import RefusedError
from napari_graysam.source.zarr_arrays import (
    Node,
    children,
    missing_chunks,
    open_array,
    read_node,
)
from napari_graysam.source.zarr_level import ZarrLevel, gaps_note

MOST_SERIES = 10_000
MOST_SHOWN = 8
DEEPEST = 4
"""Groups above an array that are looked through for what is said of it."""


def open_zarr(path: str, series: int | None = None) -> Pyramid | None:
    """Open an image in a Zarr store; None where the path is no part of one.

    Parameters
    ----------
    path
        Folder or address of an OME-Zarr image, of one of its levels, or of an array.
    series
        Which image of a group that holds several.

    Raises
    ------
    ImageError
        The store is damaged, unsafe or no image; the message says what is there.
    """
    root = path if is_address(path) else path.rstrip("/") or "/"
    with reading(path, "a readable Zarr store"):
        node = read_node(root)
        if node is None:
            return None
        if node.is_array:
            return _array(root, node, series)
        return _group(root, node, series)


def only_labels(path: str) -> str:
    """Return where the labels of a store are that holds nothing else; else the path as it is.

    Raises
    ------
    ImageError
        The store holds several.
    """
    with reading(path, "a readable Zarr store"):
        node = read_node(path)
        if node is None or node.is_array or "multiscales" in ome_attributes(node.attributes):
            return path
        place = joined(path, "labels")
        found = read_node(place)
        names = ome_attributes(found.attributes).get("labels") if found is not None else None
        if not isinstance(names, list) or not names:
            return path
        if len(names) > 1:
            shown = ", ".join(str(name)[:40] for name in names[:MOST_SHOWN])
            raise ImageError(f"The store holds several labels, {shown}; give one: {place}/NAME.")
        return joined(place, str(names[0]))


def _group(root: str, node: Node, series: int | None) -> Pyramid:
    attributes = ome_attributes(node.attributes)
    if "multiscales" in attributes:
        return _multiscales(root, node, series)
    if "bioformats2raw.layout" in attributes:
        return _series(root, series)
    raise ImageError(_without_image(root, attributes))


def _without_image(root: str, attributes: dict[str, Any]) -> str:
    """Say what a group without levels holds, and what to give instead."""
    plate, well = attributes.get("plate"), attributes.get("well")
    if isinstance(plate, dict):
        wells = [str(one.get("path")) for one in plate.get("wells", []) if isinstance(one, dict)]
        first = wells[0] if wells else "A/1"
        return f"This is a plate of {len(wells)} wells; give one field, such as {root}/{first}/0."
    if isinstance(well, dict):
        count = len(well.get("images", []))
        return f"This is a well of {count} fields; give one, such as {root}/0."
    inside = attributes.get("labels")
    inside = inside if isinstance(inside, list) and inside else children(root)
    if not inside:
        return (
            "This Zarr group holds no image: its attributes name no 'multiscales', and no array "
            "was found in it. The copy may be unfinished: copy it again."
        )
    shown = ", ".join(str(name)[:40] for name in inside[:MOST_SHOWN])
    more = ", …" * (len(inside) > MOST_SHOWN)
    return (
        f"This Zarr group is no OME-Zarr image: its attributes name no 'multiscales'. It holds "
        f"{shown}{more}; give one of these, such as {root}/{str(inside[0])[:40]}."
    )


def _series(root: str, series: int | None) -> Pyramid:
    """Open an image of a store that Bio-Formats wrote: its images are called 0, 1 and so on."""
    count = 0
    while count < MOST_SERIES and read_node(joined(root, str(count))) is not None:
        count += 1
        if series is not None and count > series:
            break
    if not count:
        raise ImageError("The store holds no image '0'. The copy may be unfinished: copy it again.")
    if series is None and count > 1:
        raise ImageError(
            f"The store holds {count} images; choose one with image.series=N, "
            f"image.series=0..{count - 1}."
        )
    check_number(series or 0, count)
    place = joined(root, str(series or 0))
    found = read_node(place)
    if found is None or "multiscales" not in ome_attributes(found.attributes):
        raise ImageError(f"{place} has no 'multiscales'. The copy may be unfinished.")
    return _multiscales(place, found, None)


def _multiscales(root: str, node: Node, series: int | None) -> Pyramid:
    about = parse_multiscales(ome_attributes(node.attributes), series)
    arrays, kept, notes = [], [], []
    for number, path in enumerate(about.paths):
        place = joined(root, path)
        try:
            level = read_node(place)
        except RefusedError:
            # Servers that hide what is not there refuse it.
            if number == 0:
                raise
            level = None
        if level is None or not level.is_array:
            if number == 0:
                raise ImageError(
                    f"The metadata name the array {path!r}, which is not there: the copy of the "
                    "image is unfinished. Copy it again."
                )
            notes.append(f"Level {number} ({path!r}) is missing and was left out.")
            continue
        array = open_array(place, level)
        if len(array.shape) != len(about.units):
            raise ImageError(
                f"Level {number} has the shape {array.shape}, but {len(about.units)} axes are "
                "named. The metadata are damaged."
            )
        arrays.append(array)
        kept.append(number)
    check_levels(arrays, about.axes)
    scales = tuple(about.scales[number] for number in kept) if about.scales else ()
    translations = tuple(about.translations[number] for number in kept) if scales else ()
    fits = scale_notes(scales, [array.shape for array in arrays]) if scales else ()
    gaps = _gaps(joined(root, about.paths[0]), arrays[0])
    return Pyramid(
        tuple(arrays),
        about.axes,
        scales,
        about.units,
        translations,
        path=root,
        kind="ome-zarr",
        group=root,
        version=about.version or "0.5" * (node.zarr_format == 3),
        name=about.name,
        notes=(*notes, *gaps),
        size_notes=(*about.notes, *fits),
        reopen=(open_again, (everywhere(root), series)),
    )


def _gaps(root: str, array: ZarrLevel) -> tuple[str, ...]:
    counted = missing_chunks(root, array)
    return () if counted is None else gaps_note(*counted, array.fill_value)


def _array(root: str, node: Node, series: int | None) -> Pyramid:
    """Open one array; a group above it may tell its axes and the size of a pixel."""
    if series is not None:
        check_number(series, 1)
    array = open_array(root, node)
    axes: str | None = None
    units: tuple[str, ...] = ()
    scales: tuple[tuple[float, ...], ...] = ()
    names = node.document.get("dimension_names")
    if isinstance(names, list) and len(names) == len(array.shape):
        axes = _named(names)
    said = _said_above(root, len(array.shape))
    if said is not None:
        axes, units, scales = said
    check_levels([array], axes)
    return Pyramid(
        (array,),
        axes,
        scales,
        units,
        path=root,
        kind="zarr",
        notes=_gaps(root, array),
        reopen=(open_again, (everywhere(root), series)),
    )


def _named(names: list[Any]) -> str | None:
    letters = [str(name).upper() for name in names]
    known = all(letter in "TZCYX" and len(letter) == 1 for letter in letters)
    unique = len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters)
    return "".join(letters) if known and unique else None


def _said_above(
    root: str, count: int
) -> tuple[str | None, tuple[str, ...], tuple[tuple[float, ...], ...]] | None:
    """Return axes, units and scale that an OME-Zarr image gives for one of its levels."""
    place = PurePosixPath(os.path.abspath(root)) if not is_address(root) else None
    for parent in list(place.parents)[:DEEPEST] if place is not None else []:
        try:
            node = read_node(str(parent))
            attributes = ome_attributes(node.attributes) if node is not None else {}
            images = attributes.get("multiscales")
            for number in range(len(images) if isinstance(images, list) else 0):
                about = parse_multiscales(attributes, number)
                path = str(place.relative_to(parent)) if place is not None else ""
                if path in about.paths and len(about.units) == count:
                    scales = about.scales[about.paths.index(path) :][:1]
                    return about.axes, about.units, tuple(scales)
        except (ImageError, OSError):
            # What lies around the array is damaged; the array itself is not.
            return None
    return None


def open_again(path: str, series: int | None) -> Pyramid:
    """Open an image that has been opened before, in another process."""
    found = open_zarr(path, series)
    if found is None:
        raise ImageError(f"{path}: there is no Zarr store any more.")
    return found
