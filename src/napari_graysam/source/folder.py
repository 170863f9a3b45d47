"""The images of a folder."""

from __future__ import annotations

import os
from pathlib import Path

from napari_graysam.errors import ImageError
from napari_graysam.source import kinds
from napari_graysam.source.label_store import holds_labels_only

SUFFIXES = (
    ".tif", ".tiff", ".btf", ".tf8", ".lsm", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp",
    ".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".j2k", ".npy",
)  # fmt: skip
RESULTS = (".labels", ".overlay")
"""Ends of the names, without suffix, of pictures that this program writes."""


def image_files(path: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """List the image files of a folder by their names, sorted.

    Hidden files and results of this program are left out. A Zarr folder is an image, unless it
    holds labels only.

    Parameters
    ----------
    path
        The folder.
    recursive
        Whether folders within it are looked through as well; links to folders are not followed.

    Raises
    ------
    ImageError
        It is no folder, cannot be read, or holds no image.

    Examples
    --------
    >>> import numpy as np
    >>> np.save("a.npy", np.zeros((3, 4)))
    >>> [path.name for path in image_files(".")]
    ['a.npy']
    """
    folder = Path(path)
    if kinds.is_zarr(folder):
        return [folder]
    found: list[Path] = []
    try:
        waiting = [folder]
        while waiting:
            for entry in waiting.pop().iterdir():
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    if kinds.is_zarr(entry):
                        found += [entry] * (not holds_labels_only(entry))
                    elif recursive and not entry.is_symlink():
                        waiting.append(entry)
                elif entry.suffix.lower() in SUFFIXES and not entry.stem.endswith(RESULTS):
                    found.append(entry)
    except OSError as error:
        raise ImageError(f"{folder}: cannot be read: {error.strerror}.") from error
    if not found:
        more = "" if recursive else "; --recursive looks into the folders within"
        raise ImageError(f"{folder} holds no image file ({', '.join(SUFFIXES)}){more}.")
    return sorted(found)
