"""OME-Zarr images as other programs write them, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr


def half(array: np.ndarray) -> np.ndarray:
    """Return an array with every second row and column."""
    return array[..., ::2, ::2]


def metadata(
    axes: str, levels: int, *, version: str = "0.5", pixel: float = 0.5, **more: Any
) -> dict[str, Any]:
    """Return attributes of an OME-Zarr image whose levels are called 0, 1 and so on."""
    types = {"t": "time", "c": "channel"}
    units = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
    named = [
        {"name": axis, "type": types.get(axis, "space")}
        | ({"unit": units[axis]} if axis in units else {})
        for axis in axes
    ]
    steps = {"z": 2.0, "y": pixel, "x": pixel}
    datasets = []
    for level in range(levels):
        scale = [steps.get(axis, 1.0) * (2.0**level if axis in "yx" else 1.0) for axis in axes]
        transformations = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    image: dict[str, Any] = {"name": "cells", "axes": named, "datasets": datasets, **more}
    if version == "0.5":
        return {"ome": {"version": version, "multiscales": [image]}}
    return {"multiscales": [image | {"version": version}]}


def write_image(
    path: Path,
    array: np.ndarray,
    axes: str = "yx",
    *,
    levels: int = 3,
    version: str = "0.5",
    chunk: int = 64,
    **more: Any,
) -> list[np.ndarray]:
    """Write an array as OME-Zarr 0.5 (Zarr format 3) or older (format 2); return its levels."""
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.create_group(path, zarr_format=zarr_format)
    written = []
    for level in range(levels):
        chunks = (1,) * (array.ndim - 2) + (chunk, chunk)
        named = {"dimension_names": list(axes)} if zarr_format == 3 else {}
        stored = group.create_array(
            str(level), shape=array.shape, dtype=array.dtype, chunks=chunks, fill_value=0, **named
        )
        stored[...] = array
        written.append(array)
        array = half(array)
    group.attrs.update(metadata(axes, levels, version=version, **more))
    return written
