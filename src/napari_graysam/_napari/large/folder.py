"""The folder for the results of a whole image."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_graysam._napari.large.job import path_of
from napari_graysam.errors import UsageError

if TYPE_CHECKING:
    from napari.layers import Layer


def default_folder(layer: Layer) -> Path:
    """Return a folder for results: beside the image, or in the user's cache where it cannot be."""
    from platformdirs import user_cache_path

    path = path_of(layer)
    name = re.sub(r"[^\w.-]+", "_", layer.name).strip("._") or "image"
    if path is not None and os.access(Path(path).parent, os.W_OK):
        return Path(path).parent / f"{name}_graysam"
    return user_cache_path("napari-graysam", appauthor=False) / "large" / name


def check_folder(text: str) -> Path:
    """Return the folder that was typed.

    Raises
    ------
    UsageError
        It is empty, a file, or cannot be written to.
    """
    if not text.strip():
        raise UsageError("No folder for the results is given: type one, or choose it with “…”.")
    folder = Path(text.strip()).expanduser().absolute()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        raise UsageError(f"{there} is a file: choose a folder for the results.")
    if not os.access(there, os.W_OK):
        raise UsageError(f"{there} cannot be written to: choose another folder for the results.")
    return folder
