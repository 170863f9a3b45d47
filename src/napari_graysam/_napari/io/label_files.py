"""Label images as Labels layers: our own with features and place, any other on request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_graysam._napari.canvas.layers import KEY
from napari_graysam._napari.canvas.placement import transform_of
from napari_graysam._napari.io.placing import open_image, restored_placement, shape_of
from napari_graysam.errors import GraysamError

if TYPE_CHECKING:
    import pandas as pd
    from napari.viewer import Viewer

    from napari_graysam.files.labels import LabelFile

LABEL_ENDINGS = (".labels.tif", ".labels.tiff")
KINDS = "Label images (*.tif *.tiff *.png *.bmp *.npy)"


def open_label_file(path: str) -> list[Any]:
    """Read a label image as a Labels layer; report problems, and where it was put.

    It lies where its file says that the layer lay; else on the open image of the same size;
    else as the file's pixel size says.

    Parameters
    ----------
    path
        Of a TIFF, PNG, BMP or NPY file.

    Returns
    -------
    list
        A layer as napari takes it from readers; of a file that cannot be read, none.
    """
    from napari.utils.notifications import show_info, show_warning

    from napari_graysam.files.labels import read_label_file

    try:
        file = read_label_file(path)
        attributes = _described(path, file)
    except GraysamError as error:
        show_warning(str(error))
        return [(None,)]
    shape, place, note = _placed(file)
    if note:
        show_info(f"{Path(path).name}: {note}")
    return [(file.labels.reshape(shape), {**attributes, **place}, "labels")]


def open_labels() -> None:
    """Ask for label images and add them to the current viewer: File ▸ IO Utilities."""
    import napari
    from napari.layers import Labels
    from napari.utils.notifications import show_warning
    from qtpy.QtWidgets import QFileDialog

    viewer: Viewer | None = napari.current_viewer()
    if viewer is None:
        show_warning("Labels are opened in an open napari window; open one first.")
        return
    paths, _ = QFileDialog.getOpenFileNames(None, "Open label images as Labels", "", KINDS)
    for path in paths:
        for data, *described in open_label_file(path):
            if described:
                viewer.add_layer(Labels(data, **described[0]))


def _described(path: str, file: LabelFile) -> dict[str, Any]:
    from napari_graysam._napari.results.features import shown_and_kept

    features, kept = shown_and_kept(_table(file))
    about: dict[str, Any] = {"file": Path(path).name, **kept}
    recipe = _recipe(file.recipe)
    if recipe is not None:
        about["recipe"] = recipe
    name = Path(path).name.partition(".")[0]
    return {"name": name, "features": features, "metadata": {KEY: about}}


def _table(file: LabelFile) -> pd.DataFrame:
    import pandas as pd

    if file.attachment.table is not None:
        return file.attachment.table
    numbers, areas = np.unique(file.labels[file.labels > 0], return_counts=True)
    return pd.DataFrame({"index": numbers.astype(np.int64), "area": areas})


def _recipe(text: str) -> Mapping[str, Any] | None:
    """Return the recipe as plain data; None where the text is something else."""
    from napari_graysam.recipe import Recipe

    try:
        return Recipe.from_yaml(text).to_dict() if text else None
    except GraysamError:
        return None


def _placed(file: LabelFile) -> tuple[tuple[int, ...], dict[str, Any], str]:
    """Return the layer's shape, where it lies, and a note on that."""
    plane = (file.labels.shape[0], file.labels.shape[1])
    note = ""
    if file.attachment.placement is not None:
        try:
            return *restored_placement(file.attachment.placement, plane), ""
        except ValueError:
            note = "The place that it holds is damaged. "
    image = open_image()
    if image is not None and shape_of(image) == plane:
        note += f"Placed on the image “{image.name}”, which has the same size."
        return plane, transform_of(image), note
    if file.pixel_size is None:
        return plane, {}, note
    return plane, _scaled(file.pixel_size, file.unit or "µm"), note


def _scaled(size: tuple[float, float], unit: str) -> dict[str, Any]:
    """Return the transform of pixels of a size, bare where napari does not know the unit."""
    from napari.layers import Labels

    place = {"scale": size, "units": (unit, unit)}
    try:
        Labels(np.zeros((1, 1), np.uint8), **place)
    except Exception:
        return {"scale": size}
    return place
