"""Candidates of each batch of points, and how they become the proposals of an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_graysam.propose.compact import LogitWindows, join_logits
from napari_graysam.propose.grid import Crop
from napari_graysam.propose.proposals import Proposals

LARGEST = 2**30
"""Bytes of logits above which they are kept compact."""


@dataclass(frozen=True)
class Candidates:
    """What is kept of one batch, in pixels of the image, and each point's best predicted IoU."""

    predicted_iou: npt.NDArray[np.float32]
    stability: npt.NDArray[np.float32]
    area: npt.NDArray[np.int64]
    box: npt.NDArray[np.int32]
    point: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32] | LogitWindows
    number: npt.NDArray[np.intp]
    crop: Crop
    asked: npt.NDArray[np.intp]
    best_iou: npt.NDArray[np.float32]


@dataclass
class Room:
    """How much logits may take while a view is asked; what comes later is kept compact.

    Attributes
    ----------
    level
        Down to which compact logits are kept.
    left
        Bytes for logits as they are.
    """

    level: float
    left: int = LARGEST

    def held(self, some: Candidates) -> Candidates:
        """Return candidates as they are kept."""
        logits = some.logits
        if isinstance(logits, LogitWindows) or logits.nbytes <= self.left:
            self.left -= logits.nbytes
            return some
        return replace(some, logits=LogitWindows.of(logits, self.level))


def gather(
    found: list[Candidates], image_size: tuple[int, int], record: dict[str, Any]
) -> Proposals:
    """Join the batches in the full grid's order: by crop, then point, then mask.

    Logits that are not compact are given back as soon as they are copied. All are compact where
    some are.
    """

    def joined(name: str, dtype: type[np.generic], *shape: int) -> npt.NDArray[Any]:
        parts = [getattr(some, name) for some in found]
        return np.concatenate([np.empty((0, *shape), dtype), *parts])

    counts = [len(some.predicted_iou) for some in found]
    crop = np.repeat(np.array([some.crop.index for some in found], np.int32), counts)
    crop_boxes = np.array([some.crop.box for some in found], np.int32).reshape(-1, 4)
    order = np.lexsort((joined("number", np.intp), crop))
    scores = {
        "predicted_iou": joined("predicted_iou", np.float32),
        "stability": joined("stability", np.float32),
        "area": joined("area", np.int64),
        "box": joined("box", np.int32, 4),
        "point": joined("point", np.float32, 2),
        "crop_box": np.repeat(crop_boxes, counts, axis=0),
        "crop": crop,
    }
    sorted_scores: dict[str, Any] = {name: values[order] for name, values in scores.items()}
    logits: npt.NDArray[np.float32] | LogitWindows
    if any(isinstance(some.logits, LogitWindows) for some in found):
        windows = join_logits([some.logits for some in found])
        assert isinstance(windows, LogitWindows)
        logits = windows.take(order)
    else:
        logits = _stack(found, np.argsort(order))
    return Proposals(**sorted_scores, logits=logits, image_size=image_size, record=record)


def _stack(found: list[Candidates], rank: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Join the logits by rank and empty the list, so that no two copies of all exist."""
    shape = found[0].logits.shape[1:] if found else (0, 0)
    logits = np.empty((sum(len(some.logits) for some in found), *shape), np.float32)
    end = len(logits)
    while found:
        some = found.pop().logits[:]
        logits[rank[end - len(some) : end]] = some
        end -= len(some)
    return logits
