"""Labels in OME-Zarr among the results: in a store beside the other files, or in the image's."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from napari_graysam.errors import ImageError, OutputError
from napari_graysam.files.zarr_labels import (
    LabelPlan,
    check_store,
    plan_labels,
    write_zarr_labels,
)
from napari_graysam.files.zarr_labels.store import (
    read_attributes,
    remove_group,
    remove_labels,
)
from napari_graysam.files.zarr_labels.writer import OWN
from napari_graysam.outputs.kinds import ENDINGS, INTO_IMAGE, Kind
from napari_graysam.recipe import ImageOptions
from napari_graysam.results import Segmentation
from napari_graysam.source.label_store import holds_labels_only
from napari_graysam.source.places import is_address
from napari_graysam.source.pyramid import Pyramid, open_pyramid
from napari_graysam.source.zarr_arrays import children


def labels_place(
    kind: Kind, folder: str | os.PathLike[str], stem: str, image: Mapping[str, Any]
) -> Path:
    """Return where the labels of a result are, or would be.

    Parameters
    ----------
    kind
        ``zarr`` or ``into-image``.
    folder, stem
        As for `write_segmentation`.
    image
        Record of the image.

    Raises
    ------
    OutputError
        The labels shall go into the image, which is no OME-Zarr image of this machine.
    """
    store = Path(folder) / f"{stem}.{ENDINGS['zarr']}"
    if kind == INTO_IMAGE:
        store = Path(image_group(image))
    return store / "labels" / Path(stem).name


def image_group(image: Mapping[str, Any]) -> str:
    """Return the OME-Zarr group that an image was read from.

    Raises
    ------
    OutputError
        It was not read from one, or from an address, or with rows as columns.
    """
    pyramid = open_recorded(image)
    if pyramid is None or pyramid.group is None or is_address(pyramid.group):
        raise OutputError(
            f"--write {INTO_IMAGE} adds labels to an OME-Zarr image on this machine; "
            f"{image.get('path') or 'an array without a file'} is none. Use --write zarr, which "
            "makes a store of its own."
        )
    check_sides(pyramid, image.get("axes"))
    return pyramid.group


def check_sides(pyramid: Pyramid, axes: str | None) -> None:
    """Refuse an image whose rows were read as columns: labels would lie across it.

    Parameters
    ----------
    pyramid
        The image, with the axes that it names itself.
    axes
        By which it was read; None for its own.

    Raises
    ------
    OutputError
        The message names both.
    """
    if axes is None or pyramid.axes is None:
        return
    if (axes.index("Y") < axes.index("X")) != (pyramid.axes.index("Y") < pyramid.axes.index("X")):
        raise OutputError(
            f"image.axes={axes} takes the rows of the image, whose axes are {pyramid.axes}, for "
            f"columns, so that labels would lie across it: leave image.axes out, or use --write "
            "zarr."
        )


def labels_are_there(
    kinds: Collection[Kind],
    folder: str | os.PathLike[str],
    stem: str,
    image: Mapping[str, Any],
    digest: str,
) -> bool:
    """Tell whether the labels in OME-Zarr that are wanted are those of a result.

    Parameters
    ----------
    kinds
        Of which ``zarr`` and ``into-image`` count.
    folder, stem, image
        As for `labels_place`.
    digest
        Of the result's fingerprint.
    """
    try:
        places = [
            labels_place(kind, folder, stem, image)
            for kind in kinds
            if kind in ("zarr", INTO_IMAGE)
        ]
    except OutputError:
        return False
    return all(own_record(place).get("digest") == digest for place in places)


def _is_of(place: Path, digest: str | None, image: Mapping[str, Any]) -> bool:
    """Tell whether labels are those of a result, with the same size of a pixel."""
    return _about(digest, image).items() <= own_record(place).items()


def _about(digest: str | None, image: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "digest": digest,
        **{key: image.get(key) for key in ("plane", "channel", "pixel_size", "pixel_unit")},
    }


def own_record(place: Path) -> dict[str, Any]:
    """Return what this program said of labels that it wrote; nothing of others, or damaged ones."""
    found = read_attributes(place).get(OWN)
    return found if isinstance(found, dict) else {}


def check_free(stem: str, image: Mapping[str, Any], digest: str | None = None) -> None:
    """Refuse an image that has other labels of that name already, before anything is computed.

    Parameters
    ----------
    stem, image
        As for `labels_place`.
    digest
        Of the result's fingerprint; its own labels are no others.

    Raises
    ------
    OutputError
        It has, or it is no OME-Zarr image.
    """
    place = labels_place(INTO_IMAGE, "", stem, image)
    if place.exists() and not _is_of(place, digest, image):
        raise OutputError(
            f"{place} is there already: choose another name with --name, or --overwrite, which "
            "replaces these labels"
        )


def check_own_store(kinds: Collection[Kind], folder: str | os.PathLike[str], *stems: str) -> None:
    """Refuse, before anything is computed, a store of results that would be something else.

    Parameters
    ----------
    kinds
        Of which ``zarr`` counts.
    folder, stems
        As for `write_segmentation`, of every result.

    Raises
    ------
    OutputError
        There is an image of that name, perhaps the very input, or labels of another program.
    """
    for stem in stems if "zarr" in kinds else ():
        store = Path(folder) / f"{stem}.{ENDINGS['zarr']}"
        place = store / "labels" / Path(stem).name
        check_store(store)
        if (about := read_attributes(place)) and OWN not in about:
            raise OutputError(
                f"{place} is there already and was not written by graysam: choose another folder "
                "(--out) or another name (--name)."
            )


def write_labels_zarr(
    segmentation: Segmentation,
    kind: Kind,
    folder: str | os.PathLike[str],
    stem: str,
    *,
    overwrite: bool,
) -> Path:
    """Write the labels of a result in OME-Zarr, with as many levels as its image.

    Parameters
    ----------
    segmentation
        The result.
    kind, folder, stem
        As for `labels_place`.
    overwrite
        Whether labels of that name in the image are replaced; those in the folder of results
        are, as all files there.

    Raises
    ------
    OutputError
        They cannot be written, or are there already.
    """
    image = segmentation.provenance["image"]
    place = labels_place(kind, folder, stem, image)
    pyramid = open_recorded(image)
    into, digest = kind == INTO_IMAGE, segmentation.fingerprint.digest
    if into and not overwrite and _is_of(place, digest, image):
        return place
    about = _about(digest, image) | {"recipe": segmentation.recipe.to_yaml()}
    return write_zarr_labels(
        place.parent.parent,
        place.name,
        segmentation.labels,
        _plan(segmentation, pyramid),
        count=len(segmentation.masks),
        table=segmentation.table,
        source=None if into or pyramid is None else pyramid.group or pyramid.path,
        about=about,
        into_image=into,
        overwrite=overwrite or not into,
    )


def remove_store(folder: str | os.PathLike[str], stem: str) -> None:
    """Remove a result's labels that this program wrote, and their store, if nothing else is in it.

    Raises
    ------
    OutputError
        They cannot be removed.
    """
    store, name = Path(folder) / f"{stem}.{ENDINGS['zarr']}", Path(stem).name
    own = own_record(store / "labels" / name)
    # An image of that name may have got labels of that name: these are its own.
    if store.is_symlink() or not own or not holds_labels_only(store):
        return
    labels = [one for one in children(str(store / "labels")) if not one.startswith(".")]
    if labels == [name]:
        remove_group(store)
    else:
        remove_labels(store, name)


def _plan(segmentation: Segmentation, pyramid: Pyramid | None) -> LabelPlan:
    image = segmentation.provenance["image"]
    shape = (int(segmentation.labels.shape[0]), int(segmentation.labels.shape[1]))
    size, unit = image.get("pixel_size"), image.get("pixel_unit")
    given = (float(size[0]), float(size[1])) if size else None
    if pyramid is not None:
        axes = pyramid.axes or image.get("axes")
        options = ImageOptions(axes=axes, channel=image.get("channel"), gray="max")
        known = pyramid.pixel_size()
        same = given is None or (known.size, known.unit) == (given, unit)
        plan = plan_labels(pyramid, options=options, pixel_size=None if same else given, unit=unit)
        if plan.shapes[0] == shape:
            return plan
    return plan_labels(shape=shape, pixel_size=given, unit=unit)


def open_recorded(image: Mapping[str, Any]) -> Pyramid | None:
    """Open the image that a record tells of; None where it came as an array, or is gone."""
    path = image.get("path")
    if not isinstance(path, str):
        return None
    try:
        return open_pyramid(path, image.get("series"))
    except ImageError:
        return None
