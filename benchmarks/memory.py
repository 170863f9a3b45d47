"""Peak memory against upstream's, on large images with crops, and after many runs.

Each measurement has a process of its own; bytes are those above the loaded model.

* The generators on a 2048² image, as in benchmarks/generator.py. 64 points are one of
  upstream's batches, and its peak is that of a batch.
* Images with two layers of crops, the bundled model, at few points.
* The whole pipeline again and again on one small image, nothing cached.

    python benchmarks/memory.py
    python benchmarks/memory.py --parts crops --sizes 4096
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from generator import arm, image, load, peak, processor, resident

RESULTS = Path(__file__).parent / "results" / "memory.json"
SHARE = 1 / 8
RUNS = (20, 200)


def tiled(size: int) -> Any:
    """Repeat an image of discs, with little memory: uint8 (size, size, 3)."""
    import numpy as np

    part = image(min(size, 1024))
    times = -(-size // len(part))
    return np.tile(part, (times, times, 1))[:size, :size]


def generators(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure upstream's generator and ours in both kinds of arithmetic."""
    settings = argparse.Namespace(
        model="sam2.1_hiera_tiny", size=2048, points=8, threads=arguments.threads
    )
    thresholds = json.dumps(arm("calibrate", settings))
    found: dict[str, Any] = {
        "image": [2048, 2048],
        "points": 64,
        "model": settings.model,
        "threads": arguments.threads,
    }
    with tempfile.TemporaryDirectory() as folder:
        for task in ("upstream", "exact", "fast"):
            extra = ("--thresholds", thresholds, "--records", str(Path(folder) / task))
            measured = arm(task, settings, *extra)
            found[task] = {name: measured[name] for name in ("seconds", "bytes", "records")}
    for task in ("exact", "fast"):
        found[task]["share_of_upstreams"] = found[task]["bytes"] / found["upstream"]["bytes"]
        found[task]["met"] = found[task]["share_of_upstreams"] <= SHARE
    return found


def crops(size: int) -> dict[str, Any]:
    """Generate and select masks of a large image with two layers of crops, in this process."""
    from napari_graysam.masks import paint
    from napari_graysam.progress import run
    from napari_graysam.propose import propose
    from napari_graysam.recipe import GeneratorOptions
    from napari_graysam.select import select

    view = tiled(size)
    model = load("graysam-small")
    thresholds = {"pred_iou_thresh": 0.3, "stability_score_thresh": 0.5}
    options = GeneratorOptions(points_per_side=8, crop_n_layers=2, **thresholds)
    before, start = resident(), time.perf_counter()
    proposals = run(propose(view, model, options))
    seconds = {"propose": time.perf_counter() - start}
    proposed = peak() - before
    masks = select(proposals, options)
    paint(masks, view.shape[:2])
    seconds["select and paint"] = time.perf_counter() - start - seconds["propose"]
    return {
        "seconds": seconds,
        "bytes after propose": proposed,
        "bytes": peak() - before,
        "bytes of the label image": 4 * size**2,
        "candidates": len(proposals),
        "objects": len(masks),
    }


def growth(size: int) -> dict[str, Any]:
    """Segment one image many times in this process.

    What the C library keeps of freed memory varies; what is in use does only with a leak.
    """
    from napari_graysam import Recipe, segment

    gray = image(size)[..., 0]
    recipe = Recipe().with_values({"generator.points_per_side": 4, "model.device": "cpu"})
    held, used = [], []
    for number in range(1, RUNS[-1] + 1):
        segment(gray, recipe)
        if number in RUNS:
            held.append(resident())
            used.append(resident_after_trimming())
    return {
        "runs": RUNS,
        "bytes held": held,
        "bytes in use": used,
        "growth of what is in use": used[-1] - used[0],
    }


def resident_after_trimming() -> int:
    """Return the bytes in memory once garbage and what glibc holds in reserve are given back."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return resident()


def alone(task: str, size: int, threads: int) -> dict[str, Any]:
    """Do one of the tasks in a process of its own."""
    command = [sys.executable, __file__, "--task", task, "--sizes", str(size)]
    command += ["--threads", str(threads)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {"threads": threads, **json.loads(output.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", nargs="+", default=["generators", "crops", "growth"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 8192], help="with crops")
    parser.add_argument("--task", choices=["crops", "growth"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        import torch

        torch.set_num_threads(arguments.threads)
        print(json.dumps({"crops": crops, "growth": growth}[arguments.task](arguments.sizes[0])))
        return
    # Parts that are not measured again keep what was found before.
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found |= {"processor": processor()}
    if "generators" in arguments.parts:
        found["generators"] = generators(arguments)
    if "crops" in arguments.parts:
        found["crops"] = {
            f"{size} x {size}": alone("crops", size, arguments.threads) for size in arguments.sizes
        }
    if "growth" in arguments.parts:
        found["growth"] = alone("growth", 128, arguments.threads)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
