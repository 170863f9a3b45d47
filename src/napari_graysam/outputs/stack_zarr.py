"""The label volume of a stack in OME-Zarr."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import OutputError
from napari_graysam.files.zarr_labels import LabelPlan, create_labels, plan_labels
from napari_graysam.outputs.kinds import FOLDERS, INTO_IMAGE, Kind
from napari_graysam.outputs.zarr import (
    check_free,
    check_sides,
    labels_place,
    open_recorded,
    own_record,
)

if TYPE_CHECKING:
    from napari_graysam.source.stack import Stack


def check_stack_labels(
    kinds: Collection[Kind], stack: Stack, name: str, image: Mapping[str, Any]
) -> None:
    """Refuse, before anything is computed, what could not be written into the image.

    Parameters
    ----------
    kinds
        Of which ``into-image`` counts.
    stack, name
        What is segmented, and the name of its results.
    image
        Record of the stack.

    Raises
    ------
    OutputError
        The image is no OME-Zarr image, has labels of that name that are not a stack's of this
        program, or has more planes than are segmented.
    """
    if INTO_IMAGE not in kinds:
        return
    if "stack" not in own_record(labels_place(INTO_IMAGE, "", name, image)):
        check_free(name, image)
    _plan(stack, image, into=True)


def stack_labels_are_there(
    kinds: Collection[Kind], folder: Path, name: str, image: Mapping[str, Any], digest: str
) -> bool:
    """Tell whether the volumes in OME-Zarr that are wanted are those of a stack's digest."""
    places = [labels_place(kind, folder, name, image) for kind in kinds if kind in FOLDERS]
    return all(own_record(place).get("stack") == digest for place in places)


def write_stack_labels(
    kinds: Collection[Kind],
    stack: Stack,
    planes: Callable[[], Iterable[NDArray[np.uint32]]],
    objects: Path,
    folder: Path,
    name: str,
    image: Mapping[str, Any],
    digest: str,
    *,
    overwrite: bool,
) -> dict[str, Path]:
    """Write the volume of a stack, plane by plane, with all levels and colours.

    Parameters
    ----------
    kinds
        Of which ``zarr`` and ``into-image`` count.
    stack
        What was segmented.
    planes
        Yields every plane, (H, W), with the numbers of the objects.
    objects
        Table that has been written, with one row an object.
    folder, name
        As for `napari_graysam.outputs.stack.write_stack`.
    image, digest
        Record of the stack, and what decides its results.
    overwrite
        Whether labels of that name in the image are replaced.

    Returns
    -------
    dict
        Paths by kind.
    """
    found: dict[str, Path] = {}
    if not set(kinds) & set(FOLDERS):
        return found
    import pandas as pd

    table = pd.read_csv(objects).rename(columns={"id": "index"})
    count = int(table["index"].max()) if len(table) else 0
    for kind in (kind for kind in FOLDERS if kind in kinds):
        into = kind == INTO_IMAGE
        place = labels_place(kind, folder, name, image)
        if into and not overwrite and own_record(place).get("stack") == digest:
            found[str(kind)] = place
            continue
        pyramid = open_recorded(image)
        with create_labels(
            place.parent.parent,
            place.name,
            _plan(stack, image, into=into),
            into_image=into,
            overwrite=overwrite or not into,
        ) as writer:
            for position, plane in enumerate(planes()):
                for y0, y1, x0, x1 in writer.blocks.places():
                    writer.write_block(y0, x0, plane[y0:y1, x0:x1], at=(position,))
            source = None if into or pyramid is None else pyramid.group or pyramid.path
            about = {"stack": digest, "recipe": stack.recipe.to_yaml()}
            found[str(kind)] = writer.finish(count, table, source=source, about=about)
    return found


def _plan(stack: Stack, image: Mapping[str, Any], *, into: bool) -> LabelPlan:
    axes = f"{stack.axis.upper()}YX"
    shape = (len(stack), *stack.shape)
    pyramid = open_recorded(image)
    if pyramid is not None:
        if into:
            check_sides(pyramid, stack.axes)
        options = stack.recipe.image.replace(axes=stack.axes, gray="max")
        plan = plan_labels(pyramid, options=options, axes=axes)
        if plan.shapes[0] == shape:
            return plan
        if into:
            raise OutputError(
                f"The image has {plan.shapes[0][0]} planes along {stack.axis}, of which "
                f"{len(stack)} are segmented; labels in the image need all. Leave stack.first, "
                "stack.last and stack.step out, or use --write zarr."
            )
    return plan_labels(
        shape=shape, axes=axes, pixel_size=stack.pixel_size, unit="µm", spacing=stack.spacing
    )
