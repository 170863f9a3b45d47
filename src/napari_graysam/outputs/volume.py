"""Volumes as compressed OME-TIFF, written plane by plane."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_graysam.atomic import atomic_path

if TYPE_CHECKING:
    from napari_graysam.source.stack import Stack

BIG = 2**32 - 2**25
"""Bytes from which a TIFF file needs 64-bit offsets."""


def write_volume(
    path: Path,
    planes: Iterable[NDArray[np.integer]],
    dtype: DTypeLike,
    stack: Stack,
    digest: str,
    description: str = "",
) -> None:
    """Write the planes of a stack with its axes and physical sizes, whole or not at all.

    Parameters
    ----------
    path
        The file.
    planes
        (H, W) each, in the order of the stack's; read once, one at a time.
    dtype
        Of the file.
    stack
        What they are planes of.
    digest
        What decides the planes, 32 hexadecimal digits: the same result is the same file.
    description
        Text to carry in the metadata.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    import tifffile

    shape = (len(stack), *stack.shape)
    metadata: dict[str, Any] = {"axes": f"{stack.axis.upper()}YX", "UUID": UUID(hex=digest).urn}
    if description:
        metadata["Description"] = description
    resolution = None
    if stack.pixel_size:
        height, width = stack.pixel_size
        metadata |= {"PhysicalSizeY": height, "PhysicalSizeYUnit": "µm"}
        metadata |= {"PhysicalSizeX": width, "PhysicalSizeXUnit": "µm"}
        resolution = (1e4 / width, 1e4 / height)
    if stack.spacing and stack.axis == "z":
        metadata |= {"PhysicalSizeZ": stack.spacing, "PhysicalSizeZUnit": "µm"}
    elif stack.spacing:
        metadata |= {"TimeIncrement": stack.spacing, "TimeIncrementUnit": "s"}
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            iter(planes),
            shape=shape,
            dtype=dtype,
            ome=True,
            bigtiff=np.dtype(dtype).itemsize * int(np.prod(shape)) > BIG,
            compression="zlib",
            photometric="minisblack",
            resolution=resolution,
            resolutionunit="CENTIMETER" if resolution else None,
            metadata=metadata,
        )
