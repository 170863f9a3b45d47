"""What makes an array a label image: whole numbers of one plane, none negative."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_graysam.errors import LabelsError
from napari_graysam.limits import check_memory
from napari_graysam.source.stored import Stored


def checked(stored: Stored, *, connected: bool = False) -> NDArray[np.integer]:
    """Return a file's array as labels, if that is what it holds."""
    array = stored.array
    while array.ndim > 2 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if stored.palette or (array.ndim == 3 and array.shape[-1] in (3, 4)):
        raise LabelsError(
            "These are colours, not labels; save the label numbers themselves as an integer "
            "TIFF, 16-bit PNG or NPY file."
        )
    if array.dtype.kind == "b" and not connected:
        raise LabelsError(
            f"Labels must be integers; the file holds {array.dtype}, a mask. Read its connected "
            "pieces as objects (--connected, or read_labels(…, connected=True))."
        )
    if array.ndim != 2:
        raise LabelsError(f"Labels must be one plane of rows and columns; got {array.shape}.")
    check_memory(array.nbytes, f"A label image of {array.shape}")
    labels = np.array(array, dtype=array.dtype.newbyteorder("="), order="C", subok=False)
    if labels.size and labels.min() < 0:
        raise LabelsError(f"Labels must not be negative; the lowest is {labels.min()}.")
    if labels.dtype.kind == "f":
        labels = _whole(labels)
    return components(labels) if connected else labels


def pieces(labels: NDArray[np.integer]) -> int:
    """Count the connected pieces of the only label of an image; 1 where there are more labels.

    More than one is what a mask of many objects looks like, 0 and 255 for no and yes.

    Parameters
    ----------
    labels
        (H, W) integers, none negative.

    Examples
    --------
    >>> pieces(np.array([[255, 0, 255]])), pieces(np.array([[1, 0, 2]]))
    (2, 1)
    """
    highest = labels.max(initial=0)
    if highest == 0 or ((labels != 0) & (labels != highest)).any():
        return 1
    return int(components(labels).max())


def _whole(labels: NDArray[np.floating]) -> NDArray[np.integer]:
    """Turn floats that are whole, as ImageJ's 32-bit label images hold them, into integers."""
    if not (np.isfinite(labels).all() and (labels == np.rint(labels)).all()):
        raise LabelsError(f"Labels must be integers; the file holds {labels.dtype} fractions.")
    if labels.max(initial=0) >= 2**32:
        raise LabelsError(f"Labels must be below 2³²; the highest is {labels.max():g}.")
    return labels.astype(np.uint32)


def components(labels: NDArray[np.generic]) -> NDArray[np.integer]:
    """Return a number for each connected piece of what is not 0; corners connect."""
    from scipy import ndimage

    found, _ = ndimage.label(labels, structure=np.ones((3, 3)))
    return np.asarray(found).astype(np.uint32)
