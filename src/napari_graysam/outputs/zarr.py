"""Labels in OME-Zarr among the results: in a store beside the other files, or in the image's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from napari_graysam.errors import ImageError, OutputError
from napari_graysam.files.zarr_labels import LabelPlan, plan_labels, write_zarr_labels
from napari_graysam.files.zarr_labels.writer import OWN
from napari_graysam.outputs.kinds import ENDINGS, INTO_IMAGE, Kind
from napari_graysam.recipe import ImageOptions
from napari_graysam.results import Segmentation
from napari_graysam.source.places import is_address
from napari_graysam.source.pyramid import Pyramid, open_pyramid
from napari_graysam.source.zarr_arrays import read_node


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
        It was not read from one, or from an address.
    """
    pyramid = open_recorded(image)
    if pyramid is None or pyramid.group is None or is_address(pyramid.group):
        raise OutputError(
            f"--write {INTO_IMAGE} adds labels to an OME-Zarr image on this machine; "
            f"{image.get('path') or 'an array without a file'} is none. Use --write zarr, which "
            "makes a store of its own."
        )
    return pyramid.group


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
        nodes = [read_node(str(place)) for place in places]
    except (OutputError, ImageError, OSError):
        return False
    found = [node.attributes.get(OWN) if node is not None else None for node in nodes]
    return all(isinstance(own, dict) and own.get("digest") == digest for own in found)


def check_free(stem: str, image: Mapping[str, Any]) -> None:
    """Refuse an image that has labels of that name already, before anything is computed.

    Raises
    ------
    OutputError
        It has, or it is no OME-Zarr image.
    """
    place = labels_place(INTO_IMAGE, "", stem, image)
    if place.exists():
        raise OutputError(
            f"{place} is there already: choose another name with --name, or --overwrite, which "
            "replaces these labels"
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
    about = {
        "digest": segmentation.fingerprint.digest,
        "recipe": segmentation.recipe.to_yaml(),
        "plane": image.get("plane"),
        "channel": image.get("channel"),
    }
    into = kind == INTO_IMAGE
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
    """Remove a result's store of labels, if this program wrote it."""
    store = Path(folder) / f"{stem}.{ENDINGS['zarr']}"
    own = store / "labels" / Path(stem).name
    if not store.is_symlink() and own.is_dir():
        shutil.rmtree(store)


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
