"""Tiles without a model: every bright region under a point is an object, seen as far as a tile is.

A region that the tile's window cuts off is found less surely, so that whole ones win.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from skimage.measure import label

from napari_graysam.masks import Mask, label_masks
from napari_graysam.pipeline import Cut
from napari_graysam.progress import Progress
from napari_graysam.propose.cache import Cache
from napari_graysam.recipe import Recipe
from napari_graysam.results import Segmentation
from napari_graysam.source.gray import GrayImage

THRESHOLD = 100


def segment_steps(
    image: GrayImage, recipe: Recipe, *, region: np.ndarray, cut: Cut, cache: Cache | None = None
) -> Generator[Progress, None, Segmentation]:
    view = cut.view(recipe)
    yield Progress("encode", 0, 1)
    labels = label(view[..., 0] > THRESHOLD).astype(np.uint32)
    crops = cut.points.crops(view.shape[:2], recipe.generator, region)
    points = np.concatenate([crop.points for crop in crops])
    yield Progress("decode", 0, len(points))
    under = {}
    for x, y in points.tolist():
        under.setdefault(int(labels[int(y), int(x)]), (x, y))
    masks, numbers = label_masks(labels)
    found = [
        mask.replace(predicted_iou=_sure(mask, view.shape), stability=0.9, point=under[number])
        for mask, number in zip(masks, numbers, strict=True)
        if number in under
    ]
    about = {"proposals": {"points": len(points), "notes": []}, "model": {}, "versions": {}}
    return Segmentation(labels, tuple(found), recipe, about, 0.0, view, image.raw)


def _sure(mask: Mask, shape: tuple[int, ...]) -> float:
    x0, y0, x1, y1 = mask.box
    return 0.7 if min(x0, y0) == 0 or x1 == shape[1] or y1 == shape[0] else 0.9


class Gate:
    """The tiles' model, which waits before a tile, or fails, where a test asks for it."""

    def __init__(self) -> None:
        self.tiles, self.open = 0, threading.Event()
        self.stop_before: int | None = None
        self.error: Exception | None = None
        self.threads: set[threading.Thread] = set()

    def steps(self, *some: Any, **options: Any) -> Generator[Progress, None, Segmentation]:
        """Do as `segment_steps`."""
        if self.tiles == self.stop_before:
            while not self.open.wait(0.02):
                yield Progress("decode", 1, 2)
        if self.error is not None:
            raise self.error
        self.threads.add(threading.current_thread())
        self.tiles += 1
        return (yield from segment_steps(*some, **options))


def install(monkeypatch: Any, steps: Callable[..., Any] = segment_steps) -> None:
    """Put this in the place of the model, for tiles in this process."""
    monkeypatch.setattr("napari_graysam.tiles.tile.segment_steps", steps)


def picture(shape: tuple[int, int], seed: int = 0, long: bool = False) -> tuple[Any, Any]:
    """Return discs that do not touch, uint8, and their labels; and one bar across all tiles."""
    random = np.random.default_rng(seed)
    image = np.full(shape, 10, np.uint8)
    y, x = np.ogrid[: shape[0], : shape[1]]
    middle = shape[0] // 2
    for row in range(shape[0] // 24):
        if long and abs(12 + 24 * row - middle) < 24:
            continue
        for column in range(shape[1] // 24):
            cy, cx = 12 + 24 * row + random.integers(-3, 4), 12 + 24 * column
            radius = random.integers(5, 9)
            image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = 200
    if long:
        image[middle - 6 : middle + 6, 8:-8] = 220
    return image, label(image > THRESHOLD)
