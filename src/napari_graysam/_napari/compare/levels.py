"""The levels of compared planes, of which only what is sliced is read."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np

from napari_graysam._napari.canvas.part import lazy, levels_of
from napari_graysam._napari.compare.planes import ShownPlane
from napari_graysam.comparison import ARMS, Arm
from napari_graysam.comparison.blocks import BLOCK
from napari_graysam.comparison.painted import ChangePainter

CHUNK = 512
"""Side of the blocks in which a difference is painted where arrays have none, in pixels."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Label images that are compared block by block.

    Attributes
    ----------
    key
        Equal keys stand for equal pixels.
    arms
        From fine to coarse: each arm's labels (H, W).
    truth
        The ground truth (H, W), if there is one.
    """

    key: Hashable
    arms: Sequence[Mapping[Arm, Any]]
    truth: Any = None


def too_large(planes: Iterable[ShownPlane]) -> bool:
    """Whether a plane is too large to be compared in one piece: where images need tiles, too."""
    from napari_graysam.recipe import Recipe
    from napari_graysam.tiles.extent import needs_tiles

    return any(needs_tiles(plane.placement.plane_shape, Recipe()) for plane in planes)


def in_blocks(planes: Iterable[ShownPlane]) -> bool:
    """Whether planes are compared block by block: those of multiscale layers, and large ones."""
    found = tuple(planes)
    return any(plane.layer.multiscale for plane in found) or too_large(found)


def levels_between(
    planes: Mapping[Arm, ShownPlane], truth: ShownPlane | None, version: int
) -> Levels:
    """Return the levels that two planes have in common; nothing is read.

    Parameters
    ----------
    planes
        Of each arm, of one shape.
    truth
        The ground truth, if there is one.
    version
        Another one says that pixels have changed.
    """
    raw, preprocessed = (_levels(planes[arm]) for arm in ARMS)
    shapes = {tuple(level.shape): level for level in preprocessed}
    common: list[Mapping[Arm, Any]] = [
        {"raw": level, "preprocessed": shapes[tuple(level.shape)]}
        for level in raw
        if tuple(level.shape) in shapes
    ]
    every = [*planes.values(), *([] if truth is None else [truth])]
    key = (version, tuple((one.layer.unique_id, one.axes, one.index) for one in every))
    return Levels(key, _completed(common), None if truth is None else _levels(truth)[0])


def painted(arms: Mapping[Arm, Any], painter: ChangePainter) -> Any:
    """Return the difference of one level, uint8 (H, W), of which blocks are painted when read."""
    import dask.array as da

    raw, preprocessed = (
        plane
        if hasattr(plane, "dask")
        else da.from_array(plane, chunks=_chunks(plane), name=False, asarray=True)
        for plane in (arms[arm] for arm in ARMS)
    )
    return da.map_blocks(
        painter.paint,
        raw,
        preprocessed.rechunk(raw.chunks),
        dtype=np.uint8,
        meta=np.empty((0, 0), np.uint8),
        name=f"difference-{uuid4()}",
    )


def _chunks(plane: Any) -> tuple[int, int]:
    known = getattr(plane, "chunks", None) or (CHUNK, CHUNK)
    return min(int(known[0]), BLOCK), min(int(known[1]), BLOCK)


def _levels(plane: ShownPlane) -> list[Any]:
    """Return a plane at every level of its layer, (H, W)."""
    levels, (y, x) = levels_of(plane.layer), plane.axes
    fine = levels[0].shape
    if plane.layer.ndim == 2 and y < x:
        return list(levels)
    found = []
    for level in levels:
        where = []
        for axis, (size, whole) in enumerate(zip(level.shape, fine, strict=True)):
            at = plane.index[axis] * size // whole
            where.append(slice(None) if axis in plane.axes else slice(at, at + 1))
        place = plane.placement.at_level((int(level.shape[y]), int(level.shape[x])))
        found.append(place.extract(lazy(level)[tuple(where)]))
    return found


def _completed(levels: list[Mapping[Arm, Any]]) -> list[Mapping[Arm, Any]]:
    """Add coarser levels, of every second pixel, until one is small enough to be seen whole."""
    from napari_graysam.files.zarr_labels.plan import SMALLEST_LEVEL

    while max(levels[-1]["raw"].shape) > SMALLEST_LEVEL:
        levels.append({arm: lazy(plane)[::2, ::2] for arm, plane in levels[-1].items()})
    return levels
