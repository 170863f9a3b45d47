"""The objects of one tile, in memory and on disk: boxes, scores and run lengths."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import atomic_path
from napari_graysam.masks import ARMS, Mask, touches_border
from napari_graysam.masks.run_lengths import decode, encode
from napari_graysam.tiles.grid import Tile

TOP, BOTTOM, LEFT, RIGHT = 1, 2, 4, 8
"""Edges of a tile's window that lie inside the image, and where an object may be cut off."""
BORDER = 16
"""An edge of the image, which an object touches."""
PINNED = 32
"""The recipe asks for this very object: no filter drops it."""
_ARM: dict[str, int] = {arm: number for number, arm in enumerate(ARMS)}
_COLUMNS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "box": (np.int32, (4,)),
    "area": (np.int64, ()),
    "predicted_iou": (np.float64, ()),
    "stability": (np.float64, ()),
    "point": (np.float64, (2,)),
    "crop_box": (np.int32, (4,)),
    "source": (np.uint8, ()),
    "cut": (np.uint8, ()),
}


@dataclass(frozen=True, eq=False)
class Pieces:
    """Objects that one tile found, in pixels of the whole image.

    Attributes
    ----------
    box
        int32 (N, 4), ``(x0, y0, x1, y1)``, half-open.
    area
        int64 (N,), pixels.
    predicted_iou, stability
        float64 (N,).
    point
        float64 (N, 2), ``(x, y)`` of the prompt.
    crop_box
        int32 (N, 4), of the crop that the model saw.
    source
        uint8 (N,), place of the arm in `ARMS`.
    cut
        uint8 (N,), edges of the window where an object goes on unseen, `TOP`, `BOTTOM`, `LEFT` and
        `RIGHT`, and `BORDER` and `PINNED`: bits; none of the first four for an object that is seen
        whole.
    runs
        uint32, run lengths of all objects inside their boxes, column by column.
    ends
        int64 (N,), where those of each object end.
    about
        What else is known of the tile, in JSON's types.
    """

    box: NDArray[np.int32]
    area: NDArray[np.int64]
    predicted_iou: NDArray[np.float64]
    stability: NDArray[np.float64]
    point: NDArray[np.float64]
    crop_box: NDArray[np.int32]
    source: NDArray[np.uint8]
    cut: NDArray[np.uint8]
    runs: NDArray[np.uint32]
    ends: NDArray[np.int64]
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.area)

    @classmethod
    def of(
        cls,
        masks: Sequence[Mask],
        cut: Sequence[int] | None = None,
        about: dict[str, Any] | None = None,
    ) -> Self:
        """Return masks in pixels of the whole image; ``cut`` as of the attribute, else 0.

        Examples
        --------
        >>> import numpy as np
        >>> from napari_graysam.masks import Mask
        >>> pieces = Pieces.of([Mask(np.eye(3, dtype=bool), (10, 20, 13, 23))])
        >>> pieces.area.tolist(), pieces.runs.tolist(), pieces.mask(0).box
        ([3], [0, 1, 3, 1, 3, 1], (10, 20, 13, 23))
        """
        counts = [_runs(mask) for mask in masks]
        rows: dict[str, list[Any]] = {
            "box": [mask.box for mask in masks],
            "area": [mask.area for mask in masks],
            "predicted_iou": [mask.predicted_iou for mask in masks],
            "stability": [mask.stability for mask in masks],
            "point": [mask.point for mask in masks],
            "crop_box": [mask.crop_box for mask in masks],
            "source": [_ARM.get(mask.source, 1) for mask in masks],
            "cut": [0] * len(masks) if cut is None else list(cut),
        }
        columns = {
            name: np.array(rows[name], dtype).reshape(len(masks), *shape)
            for name, (dtype, shape) in _COLUMNS.items()
        }
        runs = np.concatenate([np.zeros(0, np.uint32), *counts])
        ends = np.cumsum([len(one) for one in counts], dtype=np.int64)
        return cls(**columns, runs=runs, ends=ends, about=about or {})

    def mask(self, index: int) -> Mask:
        """Return one object."""
        x0, y0, x1, y1 = (int(side) for side in self.box[index])
        size = (y1 - y0, x1 - x0)
        first = int(self.ends[index - 1]) if index else 0
        counts = self.runs[first : int(self.ends[index])].tolist()
        bits = decode({"size": size, "counts": counts}, size, (0, 0, size[1], size[0]))
        crop = self.crop_box[index].tolist()
        return Mask(
            bits,
            (x0, y0, x1, y1),
            predicted_iou=float(self.predicted_iou[index]),
            stability=float(self.stability[index]),
            point=(float(self.point[index, 0]), float(self.point[index, 1])),
            crop_box=(crop[0], crop[1], crop[2], crop[3]),
            source=ARMS[int(self.source[index])],
            pinned=bool(self.cut[index] & PINNED),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file, whole or not at all; errors as of `atomic_path`."""
        arrays = {name: value for name, value in vars(self).items() if name != "about"}
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, **arrays, about=np.array(json.dumps(self.about)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file of `save`.

        Raises
        ------
        OSError, ValueError
            It is missing or damaged.
        """
        with np.load(Path(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name != "about"}
            return cls(**arrays, about=json.loads(str(file["about"])))

    @staticmethod
    def load_about(path: str | os.PathLike[str]) -> dict[str, Any]:
        """Read only ``about`` of a file of `save`; errors as of `load`."""
        with np.load(Path(path), allow_pickle=False) as file:
            found: dict[str, Any] = json.loads(str(file["about"]))
            return found


def cut_edges(mask: Mask, tile: Tile, shape: tuple[int, int]) -> int:
    """Return where an object touches its tile's window, as ``cut`` of `Pieces`.

    Parameters
    ----------
    mask
        In pixels of the image.
    tile
        The tile that saw it.
    shape
        (H, W) of the image: nothing goes on beyond that.
    """
    (rows, columns), (x0, y0, x1, y1) = tile.window, mask.box
    bits, found = mask.bits, 0
    if y0 == rows.start > 0 and bits[:1].any():
        found += TOP
    if y1 == rows.stop < shape[0] and bits[-1:].any():
        found += BOTTOM
    if x0 == columns.start > 0 and bits[:, :1].any():
        found += LEFT
    if x1 == columns.stop < shape[1] and bits[:, -1:].any():
        found += RIGHT
    return found | (BORDER if touches_border(mask, shape) else 0)


def _runs(mask: Mask) -> NDArray[np.uint32]:
    height, width = mask.bits.shape
    inside = Mask(mask.bits, (0, 0, width, height))
    return np.array(encode(inside, (height, width), compressed=False)["counts"], np.uint32)
