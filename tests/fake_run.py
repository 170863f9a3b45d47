"""A pipeline without a model for the panel: bright squares are objects, brightness the score."""

import threading
from types import SimpleNamespace

import numpy as np

from napari_graysam.errors import ProposalsError
from napari_graysam.fingerprint import Fingerprint, Inputs
from napari_graysam.masks import label_masks
from napari_graysam.pipeline import ScoreFloors, select
from napari_graysam.preprocess import apply, to_rgb
from napari_graysam.progress import Progress
from napari_graysam.results import LiveSegmentation, Segmentation

BATCHES = 4


def squares(*brightness, size=64):
    """Image uint8 (size, size) with 8 × 8 squares of the given brightness, from 0 to 1."""
    image = np.zeros((size, size), np.uint8)
    for number, value in enumerate(brightness):
        y, x = 4 + 12 * (number // 5), 4 + 12 * (number % 5)
        image[y : y + 8, x : x + 8] = round(255 * value)
    return image


class Selector:
    """Selects squares that are brighter than the threshold of predicted IoU."""

    def __init__(self, pixels, floor):
        from skimage.measure import label

        labels = label(pixels > 0.05)
        masks, _ = label_masks(labels)
        scores = [float(pixels[mask.slices][mask.bits].mean()) for mask in masks]
        self.masks = [
            mask.replace(predicted_iou=score) for mask, score in zip(masks, scores, strict=True)
        ]
        self.floor = floor
        self.proposals = SimpleNamespace(image_size=pixels.shape)

    def select(self, generator, labels, source):
        if generator.pred_iou_thresh < self.floor:
            raise ProposalsError(f"candidates below {self.floor} were not kept")
        chosen = [mask for mask in self.masks if mask.predicted_iou > generator.pred_iou_thresh]
        return tuple(mask.replace(source=source) for mask in chosen)

    def missing_pinned(self, labels):
        return ()

    def prepare(self, generator, labels):
        yield Progress("prepare", 1, 1)


class FakeRun:
    """Stands in for `live_steps`; ``gate`` holds it before its third batch of each arm."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.calls = []
        self.caches = []
        self.batches = 0
        self.error = None
        self.threads = set()
        self.notes = []

    def live_steps(
        self, gray, recipe, *, region=None, source="preprocessed", score_floors=None, cache=None
    ):
        self.caches.append(cache)
        self.calls.append((source, region, score_floors))
        self.threads.add(threading.current_thread())
        if self.error is not None:
            raise self.error
        yield Progress("encode", 0, 1)
        for batch in range(BATCHES):
            if batch == 2:
                assert self.gate.wait(20)
            self.batches += 1
            yield Progress("decode", 16 * (batch + 1), 16 * BATCHES)
        pixels = apply(gray.pixels, recipe.preprocess)
        selector = Selector(pixels, score_floors.predicted_iou)
        masks, labels, _ = select(selector, recipe, source=source)
        yield Progress("select", 1, 1)
        result = Segmentation(
            labels=labels,
            masks=masks,
            recipe=recipe,
            provenance={
                "fingerprint": Fingerprint.of(
                    recipe, Inputs.of(gray, {"weights": "0" * 64}, region)
                ).model_dump(),
                "image": gray.record,
                "proposals": {"notes": self.notes},
                "model": {"sha256": "0" * 64},
                "source": source,
            },
            unmasked=float(np.mean(labels == 0)),
            view=to_rgb(pixels, recipe.rgb),
            raw=gray.raw,
        )
        return LiveSegmentation(result, selector)


def install(monkeypatch):
    """Put a fake run in the place of the real one."""
    fake = FakeRun()
    monkeypatch.setattr("napari_graysam.pipeline.live_steps", fake.live_steps)
    monkeypatch.setattr(
        "napari_graysam._napari.results.run.score_floors", lambda recipe: ScoreFloors(0.25, 0)
    )
    return fake
