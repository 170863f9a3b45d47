"""Time of a run with the bundled model, end to end after loading, alone and beside a busy core.

A gray image goes through the recipe ``raw``: view, encoder, decoder, selection, label image. The
larger image is four samples beside each other.

    python benchmarks/bundled.py
    python benchmarks/bundled.py --beside 0 --sizes 512
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from beside import busy
from preprocess import processor

from napari_graysam import Recipe, segment
from napari_graysam.samples import samples

RESULTS = Path(__file__).parent / "results" / "bundled.json"
SAMPLES = ["nuclei_uneven", "particles", "em_texture", "phase_cells"]
POINTS = {512: 32, 1024: 64}


def images(size: int) -> dict[str, Any]:
    """Return gray images of a size, uint16 (size, size), by name."""
    own = {}
    for name in SAMPLES:
        gray = samples()[name].load().astype(float)
        low, high = np.percentile(gray, [0.1, 99.9])
        own[name] = (np.clip((gray - low) / (high - low), 0, 1) * 65535).astype(np.uint16)
    if size == 512:
        return own
    first, second, third, fourth = own.values()
    return {"four samples": np.block([[first, second], [third, fourth]])}


def measure(image: Any, recipe: Recipe, repeats: int) -> dict[str, Any]:
    """Return the seconds of some runs, in order, after one that is not counted."""
    found = segment(image, recipe)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = segment(image, recipe)
        seconds.append(round(time.perf_counter() - start, 3))
    return {"seconds": seconds, "median": float(np.median(seconds)), "objects": len(found.masks)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=list(POINTS), choices=POINTS)
    parser.add_argument("--beside", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    # Not before the package: it sets how torch's threads wait.
    import torch

    torch.set_num_threads(arguments.threads)
    runs = []
    for count in arguments.beside:
        for size in arguments.sizes:
            recipe = Recipe.preset("raw").with_values({"generator.points_per_side": POINTS[size]})
            for name, image in images(size).items():
                with busy(count):
                    measured = measure(image, recipe, arguments.repeats)
                about = {"size": size, "image": name, "busy_cores_beside": count}
                runs.append({**about, **measured})
                print(runs[-1], flush=True)
    result = {"processor": processor(), "threads": arguments.threads, "runs": runs}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
