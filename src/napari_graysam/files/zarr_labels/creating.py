"""Begin labels in OME-Zarr, or write those that are in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import OutputError
from napari_graysam.files.zarr_labels.plan import LabelPlan
from napari_graysam.files.zarr_labels.store import check_name, open_store
from napari_graysam.files.zarr_labels.writer import LabelsWriter
from napari_graysam.locks import Lock

if TYPE_CHECKING:
    import pandas as pd


def create_labels(
    store: str | os.PathLike[str],
    name: str,
    plan: LabelPlan,
    *,
    into_image: bool = False,
    overwrite: bool = False,
    token: str = "",
) -> LabelsWriter:
    """Begin to write labels into an OME-Zarr store, or go on with those of a killed run.

    Parameters
    ----------
    store
        Folder of the OME-Zarr image, or of a store of labels only, which is made if missing.
    name
        Of the labels.
    plan
        Of `plan_labels`.
    into_image
        Whether the store is an image that shall get the labels; one is never changed unasked.
        They are of its version, 0.4 or 0.5.
    overwrite
        Whether labels of that name, which are there, are replaced when the new ones are whole.
    token
        Says which run it is: unfinished labels of the same token are continued, others begun
        anew.

    Raises
    ------
    OutputError
        Labels of that name are there, another process writes them, the store is something
        else, or the place cannot be written to.

    See Also
    --------
    write_zarr_labels : The same for labels that are in memory.

    Examples
    --------
    >>> from napari_graysam.files.zarr_labels import plan_labels
    >>> from napari_graysam.source.pyramid import open_pyramid
    >>> plan = plan_labels(shape=(40, 60), block=32, chunk=32)
    >>> with create_labels("cells.zarr", "cells", plan) as writer:
    ...     for y0, y1, x0, x1 in writer.blocks.places():
    ...         writer.write_block(y0, x0, np.full((y1 - y0, x1 - x0), 1 + (x0 > 0)))
    ...     path = writer.finish(labels=2)
    >>> path.as_posix(), open_pyramid(path).plane()[0, 30:34].tolist()
    ('cells.zarr/labels/cells', [1, 1, 2, 2])
    """
    check_name(name)
    root, zarr_format = open_store(store, into_image=into_image)
    target = root / "labels" / name
    lock = Lock(root / "labels" / f".{name}.lock", f"The labels {target}")
    _check_target(target, overwrite=overwrite)
    lock.__enter__()
    try:
        # Another process may have finished them before it gave the lock away.
        _check_target(target, overwrite=overwrite)
        return LabelsWriter(root, name, plan, lock, zarr_format, token)
    except BaseException:
        lock.release()
        raise


def _check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse labels that are there, unless they are to be replaced."""
    if target.is_symlink():
        raise OutputError(f"{target} is a link; remove it yourself, or choose another name.")
    if target.exists() and not overwrite:
        raise OutputError(
            f"{target} is there already. Choose another name, or --overwrite, which replaces it."
        )


def write_zarr_labels(
    store: str | os.PathLike[str],
    name: str,
    labels: NDArray[np.integer],
    plan: LabelPlan,
    *,
    count: int | None = None,
    table: pd.DataFrame | None = None,
    source: str | os.PathLike[str] | None = None,
    about: Mapping[str, Any] | None = None,
    into_image: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write labels that are in memory, (..., H, W), with all levels and metadata.

    Parameters
    ----------
    labels
        Integers, none negative.
    count
        The highest label; the highest that is seen if omitted.
    store, name, plan, into_image, overwrite
        As for `create_labels`.
    table, source, about
        As for `LabelsWriter.finish`.

    Returns
    -------
    Path
        Of the labels.

    Examples
    --------
    >>> from napari_graysam.files.zarr_labels import plan_labels
    >>> labels = np.array([[0, 1], [2, 2]])
    >>> write_zarr_labels("a.zarr", "cells", labels, plan_labels(shape=(2, 2))).as_posix()
    'a.zarr/labels/cells'
    >>> from napari_graysam.files.zarr_labels import label_names
    >>> label_names("a.zarr")
    ['cells']
    """
    highest = int(labels.max(initial=0)) if count is None else count
    with create_labels(store, name, plan, into_image=into_image, overwrite=overwrite) as writer:
        for at in writer.blocks.leading():
            plane = labels[at]
            for y0, y1, x0, x1 in writer.blocks.places():
                writer.write_block(y0, x0, plane[y0:y1, x0:x1], at=at)
        return writer.finish(highest, table, source=source, about=about)
