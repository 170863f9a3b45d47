"""Proposals without a model: blobs with duplicates, parts and wholes."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_graysam.propose import Proposals
from napari_graysam.propose.grid import layer_boxes
from napari_graysam.propose.rescoring import remeasure
from napari_graysam.recipe import GeneratorOptions


def blobs(
    count: int,
    size: tuple[int, int],
    *,
    side: int = 64,
    radius: tuple[float, float] = (0.01, 0.06),
    crops: bool = False,
    steps: float = 0.0,
    background: int = 0,
    seed: int = 0,
) -> Proposals:
    """Make candidates in threes (a part, an object, a group) around points, many of them shared.

    Parameters
    ----------
    count
        Of candidates.
    size
        ``(H, W)`` of the image.
    side
        Of the logits.
    radius
        Smallest and largest of the objects, as a fraction of the crop.
    crops
        Whether two of three candidates come from the crops of a first layer.
    steps
        Logits and scores are rounded to multiples of this; 0 leaves them.
    background
        Every so manyth candidate covers a large part of the crop; 0 for none.
    seed
        Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    crop_boxes = [(0, 0, width, height), *(layer_boxes(size, 1, 0.3) if crops else [])]
    crop = np.sort(rng.integers(0, len(crop_boxes), -(-count // 3))).repeat(3)[:count]
    objects = rng.uniform(0.05, 0.95, (max(2, count // 25), 2))
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    logits = np.empty((count, side, side), np.float32)
    point = np.empty((count, 2), np.float32)
    for index in range(count):
        if index % 3 == 0:
            centre = objects[rng.integers(len(objects))]
            base = rng.uniform(*radius)
            shift = rng.normal(0, base / 8, 2)
        x0, y0, x1, y1 = crop_boxes[crop[index]]
        own = base * (0.6, 1, 1.9)[index % 3]
        if background and index % background == background - 1:
            own = 0.5
        angle = np.arctan2(y - centre[1], x - centre[0])
        edge = own * (1 + 0.15 * np.sin(3 * angle + rng.uniform(0, 6)))
        distance = np.hypot(x - centre[0] - shift[0], y - centre[1] - shift[1])
        logits[index] = np.clip((edge - distance) / own * rng.uniform(6, 40), -20, 20)
        if index % 7 == 0:
            bump = (x - centre[0]) ** 2 + (y - centre[1] - own) ** 2
            logits[index] += 4 * np.exp(-900 * bump)
        point[index] = x0 + (centre[0] + index // 3 / 1e4) * (x1 - x0), y0 + centre[1] * (y1 - y0)
    iou = rng.uniform(0.2, 1, count).astype(np.float32)
    if steps:
        logits, iou = np.round(logits / steps) * np.float32(steps), np.round(iou * 16) / 16
    return proposals(
        logits,
        iou.astype(np.float32),
        size,
        point=point,
        crop=crop.astype(np.int32),
        crop_box=np.array(crop_boxes, np.int32)[crop].reshape(-1, 4),
        options=GeneratorOptions(crop_n_layers=int(crops)),
    )


def drawn(images: np.ndarray, iou: list[float] | np.ndarray, **columns: Any) -> Proposals:
    """Make candidates of masks, bool (N, S, S), one logit to a pixel, or of logits.

    Parameters
    ----------
    images
        Of the masks, or their logits.
    iou
        Predicted, (N,).
    columns
        As for `proposals`.
    """
    logits = np.where(images, 8, -8) if images.dtype == bool else images
    return proposals(logits.astype(np.float32), np.float32(iou), images.shape[1:], **columns)


def riddled(count: int, side: int = 48, seed: int = 0) -> Proposals:
    """Make candidates with holes and islands of many sizes, parts, wholes, twins and empty ones.

    Parameters
    ----------
    count
        Of candidates.
    side
        Of the square image.
    seed
        Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]

    def disc(row: float, column: float, radius: float) -> np.ndarray:
        return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2

    images = np.zeros((count, side, side), bool)
    for index, image in enumerate(images):
        if index % 4 == 0:
            row, column = rng.uniform(0.2, 0.8, 2) * side
            radius = rng.uniform(0.15, 0.35) * side
        own = radius * (1, 1, 0.6, 0.3)[index % 4]
        image |= disc(row, column, own)
        for _ in range(rng.integers(3)):
            image &= ~disc(*rng.normal((row, column), own / 2), rng.uniform(0, 3.5))
        for _ in range(rng.integers(3)):
            image |= disc(*rng.uniform(0, side, 2), rng.uniform(0, 3.5))
        if index % 12 == 5:
            image[:] = images[index - 1]
        if index % 29 == 28:
            image[:] = False
    return drawn(images, np.round(rng.uniform(0.2, 1, count), 1))


def proposals(
    logits: np.ndarray,
    iou: np.ndarray,
    size: tuple[int, int],
    *,
    point: np.ndarray | None = None,
    crop: np.ndarray | None = None,
    crop_box: np.ndarray | None = None,
    options: GeneratorOptions | None = None,
) -> Proposals:
    """Measure logits (N, S, S) with predicted IoU (N,) as a run would have left them.

    By default each has a point of its own, and all are of the whole image.
    """
    count, options = len(logits), options or GeneratorOptions()
    whole = np.tile(np.int32([0, 0, size[1], size[0]]), (count, 1))
    steps = np.arange(count, dtype=np.float32)
    record = {
        "device": "cpu",
        "precision": "float32",
        "generator": options.model_dump(mode="json"),
        "iou_floor": 0.0,
        "stability_floor": 0.0,
        "masks_together": 3 if crop is not None else 1,
    }
    unscored = Proposals(
        predicted_iou=iou,
        stability=np.zeros(count, np.float32),
        area=np.zeros(count, np.int64),
        box=np.zeros((count, 4), np.int32),
        point=np.column_stack([steps / 8, steps]) if point is None else point,
        crop_box=whole if crop_box is None else crop_box,
        crop=np.zeros(count, np.int32) if crop is None else crop,
        logits=logits,
        image_size=size,
        record=record,
    )
    return remeasure(unscored, options.mask_threshold, options.stability_score_offset)
