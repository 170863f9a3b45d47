"""Time how long a result's files take to write, and write the table as JSON.

Discs and ellipses that overlap, on a noisy image; run with one thread:

    OMP_NUM_THREADS=1 python benchmarks/outputs.py
    python benchmarks/outputs.py --size 1024 --objects 300
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from preprocess import processor

from napari_graysam.files import (
    write_coco,
    write_geojson,
    write_labels,
    write_overlay,
    write_rois,
    write_table,
)
from napari_graysam.masks import Mask, paint
from napari_graysam.select import object_table

RESULTS = Path(__file__).parent / "results" / "outputs.json"
RADII = (8, 25)
REPEATS = 3


def ellipses(size: int, count: int) -> list[Mask]:
    """Return ellipses of 16 to 48 pixels at random places, whole inside the image."""
    random = np.random.default_rng(0)
    masks = []
    for _ in range(count):
        radius = int(random.integers(*RADII))
        x, y = random.integers(radius, size - radius, 2).tolist()
        down, across = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        bits = across**2 + (down * random.uniform(1, 1.6)) ** 2 <= radius**2
        box = (x - radius, y - radius, x + radius + 1, y + radius + 1)
        masks.append(Mask(bits, box).with_bits(bits))
    return masks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    cv2.setNumThreads(1)
    masks = ellipses(arguments.size, arguments.objects)
    shape = (arguments.size, arguments.size)
    raw = np.random.default_rng(1).normal(1000, 100, shape).astype(np.uint16)
    view = np.repeat((raw // 8).astype(np.uint8)[..., None], 3, axis=2)
    labels = paint(masks, shape)
    recipe = {"name": "benchmark"}
    table: pd.DataFrame = object_table(masks, labels, raw)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[], object]] = {
            "measured": lambda: object_table(masks, labels, raw),
            "labels.tif": lambda: write_labels(folder / "a.labels.tif", labels),
            "objects.csv": lambda: write_table(folder / "a.objects.csv", table),
            "coco.json": lambda: write_coco(folder / "a.json", masks, "a.tif", shape, recipe),
            "overlay.png": lambda: write_overlay(folder / "a.png", view, labels),
            "geojson": lambda: write_geojson(folder / "a.geojson", masks, shape, table=table),
            "rois.zip": lambda: write_rois(folder / "a.zip", masks, shape, table=table),
        }
        seconds = {}
        for part, write in parts.items():
            best = float("inf")
            for _ in range(REPEATS):
                start = time.perf_counter()
                write()
                best = min(best, time.perf_counter() - start)
            seconds[part] = round(best, 3)
            print(f"{part:12}{best:8.2f} s", flush=True)
    total = round(sum(seconds.values()), 3)
    print(f"{'in all':12}{total:8.2f} s")
    result = {
        "processor": processor(),
        "size": arguments.size,
        "objects": arguments.objects,
        "unit": f"s, best of {REPEATS}",
        "seconds": seconds,
        "total": total,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
