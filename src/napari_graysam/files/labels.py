"""Label images: integers, 0 for background and one number for each object."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.errors import LabelsError
from napari_graysam.files.any_objects import kind_of, read_objects
from napari_graysam.files.attachment import TAG, Attachment, decode, encode
from napari_graysam.files.label_values import checked, components
from napari_graysam.files.objects import paint_objects
from napari_graysam.fingerprint import array_digest, digest_of
from napari_graysam.limits import reading
from napari_graysam.source.reading import TIFF_STARTS, load
from napari_graysam.source.tiff import collected_warnings, open_tiff
from napari_graysam.units import in_micrometres

if TYPE_CHECKING:
    import pandas as pd
    from tifffile import TiffFile

CENTIMETRE = 1e4
"""In micrometres."""


class LabelFile(NamedTuple):
    """A label image and what its file says about it.

    Attributes
    ----------
    labels
        (H, W) integers.
    pixel_size, unit
        (height, width) of a pixel and its unit; None where the file does not tell them.
    recipe
        The text that `write_labels` put in; empty without one.
    attachment
        Object table and placement.
    """

    labels: NDArray[np.integer]
    pixel_size: tuple[float, float] | None
    unit: str | None
    recipe: str
    attachment: Attachment


def write_labels(
    path: str | os.PathLike[str],
    labels: NDArray[np.integer],
    *,
    recipe: str = "",
    pixel_size: tuple[float, float] | None = None,
    unit: str | None = None,
    table: pd.DataFrame | None = None,
    placement: Mapping[str, Any] | None = None,
) -> None:
    """Write a label image as a compressed OME-TIFF that carries its recipe and its table.

    Labels are 32-bit whole numbers without a sign: napari and QuPath take these for labels, and
    16 bits for an image. ImageJ, which has no such numbers, shows them as 32-bit floats.

    Parameters
    ----------
    path
        The TIFF file to write.
    labels
        (H, W) integers, none negative.
    recipe
        Text to carry in the metadata, for `read_recipe_text`.
    pixel_size
        (height, width) of a pixel.
    unit
        Unit of the pixel size; micrometres if omitted.
    table
        Object table to carry; its column ``index`` is the label.
    placement
        Where a layer lies in napari, in JSON's types.

    Raises
    ------
    OutputError
        The file cannot be written.

    See Also
    --------
    read_labels, read_label_file, read_recipe_text : Read it back.

    Examples
    --------
    >>> import numpy as np
    >>> write_labels("cells.tif", np.array([[0, 0], [1, 2]]), pixel_size=(0.5, 0.5))
    >>> read_labels("cells.tif").tolist()
    [[0, 0], [1, 2]]
    """
    import tifffile

    physical: dict[str, Any] = {}
    if pixel_size:
        physical = {
            "PhysicalSizeY": pixel_size[0],
            "PhysicalSizeYUnit": unit or "µm",
            "PhysicalSizeX": pixel_size[1],
            "PhysicalSizeXUnit": unit or "µm",
        }
    attached = encode(table, placement) if table is not None or placement else b""
    size = in_micrometres(pixel_size, unit)
    # The same result is the same file.
    unique = UUID(hex=digest_of(array_digest(labels), recipe, physical)).urn
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            labels.astype(np.uint32),
            ome=True,
            compression="zlib",
            # Programs that do not read OME take the pixel size from here.
            resolution=(CENTIMETRE / size[1], CENTIMETRE / size[0]) if size else None,
            resolutionunit="CENTIMETER" if size else None,
            extratags=[(TAG, 7, len(attached), attached, True)] if attached else (),
            metadata={"axes": "YX", "Description": recipe, "UUID": unique, **physical},
        )


def read_recipe_text(path: str | os.PathLike[str]) -> str:
    """Return the recipe that `write_labels` put into a file.

    Raises
    ------
    LabelsError
        The file is no TIFF, or carries no recipe.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam.files import write_labels
    >>> write_labels("cells.tif", np.array([[0, 0], [1, 2]]), recipe="name: cells")
    >>> read_recipe_text("cells.tif")
    'name: cells'
    """
    with reading(path, "a TIFF file", LabelsError), collected_warnings(), open_tiff(path) as file:
        text = _recipe_text(file)
    if not text:
        raise LabelsError(f"{os.fspath(path)}: the file carries no recipe.")
    return text


def read_label_file(path: str | os.PathLike[str]) -> LabelFile:
    """Read a label image with what its file says about it.

    Parameters
    ----------
    path
        As for `read_labels`; all but TIFF files carry labels alone.

    Raises
    ------
    LabelsError
        As of `read_labels`, or what `write_labels` put in is damaged.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from napari_graysam.files import write_labels
    >>> table = pd.DataFrame({"index": [1, 2], "area": [1, 1]})
    >>> write_labels("cells.tif", np.array([[0, 0], [1, 2]]), pixel_size=(2, 2), table=table)
    >>> file = read_label_file("cells.tif")
    >>> file.labels.shape, file.pixel_size, file.attachment.table.columns.tolist()
    ((2, 2), (2.0, 2.0), ['index', 'area'])
    """
    with reading(path, "labels", LabelsError):
        stored = load(path, colours=False)
        labels = checked(stored)
        recipe, attachment = "", Attachment()
        tiff = False
        if os.path.isfile(path):
            with open(path, "rb") as start:
                tiff = start.read(4) in TIFF_STARTS
        if tiff:
            with collected_warnings(), open_tiff(path) as file:
                recipe = _recipe_text(file)
                tag = file.pages.first.tags.get(TAG)
                if tag is not None and isinstance(tag.value, bytes):
                    attachment = decode(tag.value)
        return LabelFile(labels, stored.pixel_size, stored.unit, recipe, attachment)


def _recipe_text(file: TiffFile) -> str:
    text = None
    if file.is_ome and file.ome_metadata:
        root = ElementTree.fromstring(file.ome_metadata)
        text = next((n.text for n in root.iter() if n.tag.endswith("}Description")), None)
    elif file.imagej_metadata:
        text = file.imagej_metadata.get("Info")
    return str(text or "")


def read_labels(
    path: str | os.PathLike[str],
    *,
    connected: bool = False,
    shape: tuple[int, int] | None = None,
    image: str | None = None,
) -> NDArray[np.integer]:
    """Read a label image, or objects as one.

    Parameters
    ----------
    path
        A file that `napari_graysam.read_image` reads, of integers, or of floats that are whole;
        of a Zarr store that holds nothing but labels, those.
        Numbers are taken as they are stored, whichever of black and white is zero. Or objects:
        COCO (.json), GeoJSON (.geojson) or ImageJ ROIs (.zip); where they overlap, the smaller
        is seen.
    connected
        Whether every connected piece of what is not 0 is an object of its own, whatever its
        number; then yes/no masks are read as well. Pixels that touch at a corner are connected.
    shape
        (H, W) of the image, for files of objects that do not say it.
    image
        Name of the image, for COCO files of several.

    Returns
    -------
    ndarray
        (H, W) integers in native byte order, none negative.

    Raises
    ------
    LabelsError
        The file cannot be read, or holds colours, fractions, negative numbers, a yes/no mask
        (unless ``connected``) or more than one plane.

    See Also
    --------
    write_labels : Writes such a file.
    napari_graysam.read_image : Images of gray values.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import read_labels
    >>> np.save("cells.npy", np.array([[0, 0], [1, 2]]))
    >>> read_labels("cells.npy").tolist()
    [[0, 0], [1, 2]]
    """
    return labels_and_notes(path, connected=connected, shape=shape, image=image)[0]


def labels_and_notes(
    path: str | os.PathLike[str],
    *,
    connected: bool = False,
    shape: tuple[int, int] | None = None,
    image: str | None = None,
) -> tuple[NDArray[np.integer], tuple[str, ...]]:
    """Do as `read_labels`, and tell what was assumed or left out, in sentences."""
    if kind_of(path) or Path(path).suffix.lower() == ".json":
        with reading(path, "objects", LabelsError):
            objects = read_objects(path, shape, image=image)
            labels = paint_objects(objects)
            return (components(labels) if connected else labels), objects.notes
    with reading(path, "labels", LabelsError):
        return checked(load(path, colours=False), connected=connected), ()
