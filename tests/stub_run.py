"""The real pipeline over a model that finds bright squares, for tests of the panel."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.measure import label
from stub_decoder import StubDecoder, StubModel, loaded

from napari_graysam import pipeline
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe

POINTS = {"generator.points_per_side": 8, "generator.points_per_batch": 16}
BATCHES = 4
MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
"""Of the colours that SAM 2 normalizes with."""
START = Recipe().with_values({**POINTS, "generator.pred_iou_thresh": 0.5})
"""One mask for each bright square, asked in `BATCHES` batches."""


def squares(*brightness, size=64):
    """Image uint8 (size, size) with 8 × 8 squares of the given brightness, from 0 to 1."""
    image = np.zeros((size, size), np.uint8)
    for number, value in enumerate(brightness):
        y, x = 4 + 12 * (number // 5), 4 + 12 * (number % 5)
        image[y : y + 8, x : x + 8] = round(255 * value)
    return image


class SquaresDecoder(StubDecoder):
    """Answers every point with the bright region under it, whose brightness is its predicted IoU.

    Of the three masks for a point, the second is the left half of the region with half the
    score, and the third the region again with nine tenths of it; both are empty unless
    ``parts``.
    """

    def __init__(self, parts=False):
        super().__init__()
        self.parts = parts
        self.gate = threading.Event()
        self.gate.set()
        self.batch = self.batches = 0

    def forward(self, *, sparse_prompt_embeddings, high_res_features, **_):
        if self.batch == 2:
            assert self.gate.wait(60)
        self.batch += 1
        self.batches += 1
        gain, offset = np.mean(1 / STD), np.mean(MEAN / STD)
        pixels = (high_res_features[0][0, 0].numpy() + offset) / gain
        regions = label(pixels > 0.05)
        # These logits are enlarged to whole squares of four pixels, with their corners.
        nodes = torch.floor(sparse_prompt_embeddings[:, 0] / 4).long().tolist()
        answers = [self._masks(pixels, regions, *node) for node in nodes]
        masks, scores = zip(*answers, strict=True)
        inside = torch.tensor(np.stack(masks))
        logits = torch.where(inside, 160.0, -100.0)
        return logits, torch.tensor(np.stack(scores), dtype=torch.float32), None, None

    def _masks(self, pixels, regions, x, y):
        whole = (regions == regions[y, x]) & (regions[y, x] > 0)
        nothing = np.zeros_like(whole)
        if not whole.any():
            return np.stack([nothing] * 3), (0, 0, 0)
        score = float(pixels[whole].mean())
        if not self.parts:
            return np.stack([whole, nothing, nothing]), (score, 0, 0)
        columns = np.flatnonzero(whole.any(axis=0))
        left = whole & (np.arange(whole.shape[1]) < columns.mean())
        return np.stack([whole, left, whole]), (score, score / 2, 0.9 * score)


def squares_model(parts=False):
    """Return a loaded model that finds bright squares."""
    model = StubModel()
    model.sam_mask_decoder = SquaresDecoder(parts)
    return replace(loaded(model), record={"sha256": "0" * 64})


def segmented(gray, recipe, parts=False, **options):
    """Segment a gray image with the model of squares, keeping the candidates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_graysam.model.load_steps", load_steps(squares_model(parts)))
        return run(pipeline.live_steps(gray, recipe, **options))


class StubRun:
    """Watches the real `live_steps`; ``gate`` holds it before its third batch of each arm."""

    def __init__(self, model):
        self._live_steps = pipeline.live_steps
        self._decoder = model.model.sam_mask_decoder
        self.gate = self._decoder.gate
        self.calls = []
        self.caches = []
        self.error = None
        self.threads = set()
        self.notes = []

    @property
    def batches(self):
        return self._decoder.batches

    def live_steps(self, gray, recipe, **options):
        self.caches.append(options["cache"])
        self.calls.append((options["source"], options["region"], options["score_floors"]))
        self.threads.add(threading.current_thread())
        if self.error is not None:
            raise self.error
        self._decoder.batch = 0
        # Every run asks the model, whatever earlier ones have left.
        live = yield from self._live_steps(gray, recipe, **{**options, "cache": None})
        live.result.provenance["proposals"].setdefault("notes", []).extend(self.notes)
        return live


def load_steps(model):
    """Return what stands in for the loader: it always has this model."""

    def steps(options):
        return model
        yield

    return steps


def install(monkeypatch):
    """Let runs use the model of squares, and keep candidates down to a quarter."""
    model = squares_model()
    stub = StubRun(model)
    monkeypatch.setattr("napari_graysam.model.load_steps", load_steps(model))
    monkeypatch.setattr("napari_graysam.pipeline.live_steps", stub.live_steps)
    floors = pipeline.ScoreFloors(0.25, 0)
    monkeypatch.setattr("napari_graysam._napari.results.run.score_floors", lambda recipe: floors)
    return stub
