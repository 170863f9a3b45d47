"""Label images: integers, 0 for background and one number for each object."""

from __future__ import annotations

import os
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.errors import LabelsError
from napari_graysam.limits import check_memory, reading
from napari_graysam.source.reading import load
from napari_graysam.source.tiff import collected_warnings, open_tiff

UINT16_MAX = 65535
IMAGEJ_UNITS = {"µm": "um", "μm": "um"}


def write_labels(
    path: str | os.PathLike[str],
    labels: NDArray[np.integer],
    *,
    recipe: str = "",
    pixel_size: tuple[float, float] | None = None,
    unit: str | None = None,
) -> None:
    """Write a label image as a compressed TIFF that carries its recipe.

    Up to 65535 labels it is a uint16 file for ImageJ, above that a uint32 OME-TIFF, because
    ImageJ has no 32-bit integers; Fiji opens both.

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

    Raises
    ------
    OutputError
        The file cannot be written.

    See Also
    --------
    read_labels, read_recipe_text : Read it back.

    Examples
    --------
    >>> import numpy as np
    >>> write_labels("cells.tif", np.array([[0, 0], [1, 2]]), pixel_size=(0.5, 0.5))
    >>> read_labels("cells.tif").tolist()
    [[0, 0], [1, 2]]
    """
    import tifffile

    unit = unit or "µm"
    with atomic_path(path) as temporary:
        if labels.max(initial=0) <= UINT16_MAX:
            tifffile.imwrite(
                temporary,
                labels.astype(np.uint16),
                imagej=True,
                compression="zlib",
                resolution=(1 / pixel_size[1], 1 / pixel_size[0]) if pixel_size else None,
                metadata={
                    "axes": "YX",
                    "Info": recipe,
                    **({"unit": IMAGEJ_UNITS.get(unit, unit)} if pixel_size else {}),
                },
            )
            return
        physical = {}
        if pixel_size:
            physical = {
                "PhysicalSizeY": pixel_size[0],
                "PhysicalSizeYUnit": unit,
                "PhysicalSizeX": pixel_size[1],
                "PhysicalSizeXUnit": unit,
            }
        tifffile.imwrite(
            temporary,
            labels.astype(np.uint32),
            ome=True,
            compression="zlib",
            metadata={"axes": "YX", "Description": recipe, **physical},
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
    text = None
    with reading(path, "a TIFF file", LabelsError), collected_warnings(), open_tiff(path) as file:
        if file.is_ome and file.ome_metadata:
            root = ElementTree.fromstring(file.ome_metadata)
            text = next((n.text for n in root.iter() if n.tag.endswith("}Description")), None)
        elif file.imagej_metadata:
            text = file.imagej_metadata.get("Info")
    if not text:
        raise LabelsError(f"{os.fspath(path)}: the file carries no recipe.")
    return str(text)


def read_labels(path: str | os.PathLike[str]) -> NDArray[np.integer]:
    """Read a label image.

    Parameters
    ----------
    path
        A TIFF, PNG, BMP or NPY file of integers.

    Returns
    -------
    ndarray
        (H, W) integers in native byte order, none negative.

    Raises
    ------
    LabelsError
        The file cannot be read, or holds colours, fractions, negative numbers, a yes/no mask or
        more than one plane.

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
    with reading(path, "labels", LabelsError):
        stored = load(path)
        array = stored.array
        while array.ndim > 2 and 1 in (array.shape[0], array.shape[-1]):
            array = array[0] if array.shape[0] == 1 else array[..., 0]
        if stored.palette or (array.ndim == 3 and array.shape[-1] in (3, 4)):
            raise LabelsError(
                "These are colours, not labels; save the label numbers themselves as an integer "
                "TIFF, 16-bit PNG or NPY file."
            )
        if array.dtype.kind not in "iu":
            raise LabelsError(f"Labels must be integers; the file holds {array.dtype}.")
        if array.ndim != 2:
            raise LabelsError(f"Labels must be one plane of rows and columns; got {array.shape}.")
        check_memory(array.nbytes, f"A label image of {array.shape}")
        labels = np.array(array, dtype=array.dtype.newbyteorder("="), order="C", subok=False)
        if labels.size and labels.min() < 0:
            raise LabelsError(f"Labels must not be negative; the lowest is {labels.min()}.")
        return labels
