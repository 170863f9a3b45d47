"""A pipeline without a model: every bright region of an image is one object."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from napari_graysam.comparison import compare_masks, score
from napari_graysam.fingerprint import Fingerprint, Inputs, array_digest
from napari_graysam.masks import label_masks
from napari_graysam.model.identity import identify
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.results import Arms, Segmentation
from napari_graysam.source.gray import GrayImage


def load_steps(options: Any) -> Generator[Progress, None, None]:
    yield Progress("load", 1, 1)


def segment_steps(
    image: GrayImage, recipe: Recipe, *, source: str = "preprocessed", cache: Any = None
) -> Generator[Progress, None, Segmentation]:
    from skimage.measure import label

    threshold = 0.9 if source == "raw" else 0.4
    yield Progress("propose", 0, 1)
    labels = label(image.pixels > threshold).astype(np.uint32)
    masks, _ = label_masks(labels)
    masks = tuple(mask.replace(predicted_iou=0.9, stability=0.9, source=source) for mask in masks)
    yield Progress("propose", 1, 1)
    view = np.repeat((image.pixels * 255).astype(np.uint8)[..., None], 3, axis=2)
    return Segmentation(
        labels=labels,
        masks=masks,
        recipe=recipe,
        provenance={
            "image": {**image.record, "digest": array_digest(image.raw)},
            "fingerprint": Fingerprint.of(
                recipe, Inputs.of(image, identify(recipe.model))
            ).model_dump(),
        },
        unmasked=float(np.mean(labels == 0)),
        view=view,
        raw=image.raw,
    )


def compare_steps(
    image: GrayImage, recipe: Recipe, *, truth: Any = None, cache: Any = None
) -> Generator[Progress, None, Arms]:
    raw = yield from segment_steps(image, recipe.raw_arm(), source="raw")
    preprocessed = yield from segment_steps(image, recipe)
    changes = compare_masks(raw.masks, preprocessed.masks, image.pixels.shape)
    scores = None
    if truth is not None:
        scores = {
            "raw": score(raw.labels, truth),
            "preprocessed": score(preprocessed.labels, truth),
        }
    digest = None if truth is None else array_digest(truth)
    return Arms(raw, preprocessed, changes, scores, digest)


def install(monkeypatch: Any) -> None:
    """Put this pipeline in the place of the real one, for batches in this process."""
    monkeypatch.setattr("napari_graysam.pipeline.segment_steps", segment_steps)
    monkeypatch.setattr("napari_graysam.pipeline.compare_steps", compare_steps)
    monkeypatch.setattr("napari_graysam.batch.attempt.load_steps", load_steps)


def spots(bright: int = 3, dim: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 (64, 64) with bright (255) and dim (150) squares, and their labels."""
    image = np.zeros((64, 64), np.uint8)
    truth = np.zeros((64, 64), np.uint16)
    for number in range(bright + dim):
        y, x = 4 + 20 * (number // 3), 4 + 20 * (number % 3)
        image[y : y + 10, x : x + 10] = 255 if number < bright else 150
        truth[y : y + 10, x : x + 10] = number + 1
    return image, truth
