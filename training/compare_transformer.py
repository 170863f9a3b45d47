"""Compare votes alone with the decoder of `transformer.py`: IoU of points, AP 0.5 and seconds."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from develop import average_precision, images, paint, peaks, view
from targets import OBJECT
from torch import Tensor, nn
from transformer import FRAME, LEVELS, Answer, Decoder, Image, inside, shipped, votes

from napari_graysam.model.bundled.facts import measure

LEAST = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Thresholds of predicted IoU; of each set the best counts."""

Way = Callable[[Image, Tensor], Answer]


def points_iou(way: Way, image: Image, asked: Tensor, labels: np.ndarray) -> float:
    """Return the mean IoU of the best level's mask of points (B, 2), in pixels of the labels."""
    height, width = labels.shape
    drawn = way(image, asked * torch.tensor([FRAME / width, FRAME / height])).odds
    ious = []
    for odds, (x, y) in zip(
        drawn.reshape(-1, LEVELS, *image.scene.size), asked.long(), strict=True
    ):
        true = labels == labels[y, x]
        found = [cv2.resize(one.numpy(), (width, height)) > 0 for one in odds]
        ious.append(max((one & true).sum() / (one | true).sum() for one in found))
    return float(np.mean(ious))


def precision(
    odds: Tensor, score: Tensor, size: tuple[int, int], labels: np.ndarray
) -> list[float]:
    """Return AP 0.5 at each of `LEAST` of the objects among masks (B, L, h, w), scores (B, L)."""
    masks, ranks = odds[:, OBJECT], score[:, OBJECT]
    return [average_precision(paint(masks, ranks, size, t), labels)[0] for t in LEAST]


def scored(model: nn.Module, image: Image, a: Answer) -> Tensor:
    """Return the predicted IoU (B, L) that the shipped model gives to masks."""
    # Log odds end at −8, and thousands of such places would weigh as much as a small object.
    p = F.threshold(a.odds.sigmoid(), 0.01, 0)
    facts = measure(image.scene, p, a.centre, a.sharpness)
    return model.sam_mask_decoder.score(facts).sigmoid()


@torch.no_grad()
def compare(model: nn.Module, decoder: Decoder, root: Path) -> None:
    """Print IoU, AP by the shipped score of both, and AP by the transformer's IoU query."""
    rng = np.random.default_rng(0)
    sets: dict[str, list[list[float]]] = {}
    for name, _, gray, labels in images(root):
        image, size = Image(model, view(gray, FRAME)), labels.shape[:2]
        asked, tops = inside(labels, 48, rng), peaks(image.scene).split(64)
        ious, found = [], []
        for way in (votes, decoder):
            ious.append(points_iou(way, image, asked, labels))
            answers = [way(image, some) for some in tops]
            odds = torch.cat([a.odds for a in answers]).reshape(-1, LEVELS, *image.scene.size)
            score = torch.cat([scored(model, image, a) for a in answers])
            found += precision(odds, score, size, labels)
        found += precision(odds, torch.cat([a.iou for a in answers]).sigmoid(), size, labels)
        sets.setdefault(name, []).append(ious + found)
    rows = []
    for name, values in sets.items():
        mean = np.mean(values, axis=0)
        rows.append([*mean[:2], *mean[2:].reshape(3, -1).max(1)])
        print(f"{name:20}", len(values), np.round(rows[-1], 3), flush=True)
    print("mean of sets", np.round(np.mean(rows, axis=0), 3))


@torch.no_grad()
def clock(model: nn.Module, decoder: Decoder) -> None:
    """Print seconds per 1,000 points, masks and predicted IoU, at a frame of 512."""
    image = Image(model, torch.randn(1, 3, FRAME, FRAME))
    asked = torch.rand(1024, 2) * FRAME
    ways = {
        "votes": (lambda some: scored(model, image, votes(image, some)), torch.float32),
        "transformer": (lambda some: decoder(image, some), torch.float32),
        "transformer, bfloat16": (lambda some: decoder(image, some), torch.bfloat16),
    }
    for name, (way, decoder.arithmetic) in ways.items():
        times = []
        for _ in range(4):
            start = time.perf_counter()
            for some in asked.split(64):
                way(some)
            times.append((time.perf_counter() - start) / 1.024)
        print(f"{name:24}", np.round(times, 2), flush=True)


def main() -> None:
    """Compare as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--clock", action="store_true", help="measure seconds instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    decoder = Decoder().eval()
    decoder.load_state_dict(torch.load(options.weights, weights_only=True))
    if options.clock:
        clock(shipped(), decoder)
    else:
        compare(shipped(), decoder, options.data)


if __name__ == "__main__":
    main()
