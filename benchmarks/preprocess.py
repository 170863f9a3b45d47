"""Time every preprocessing step on one core and write the table as JSON.

Run ``python benchmarks/preprocess.py``; add ``--sizes 512`` for a quick look.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from napari_graysam.preprocess import STEPS, BaseStep, Image, apply

RESULTS = Path(__file__).parent / "results" / "preprocess.json"
REPEATS = 5
LONG_RUN_S = 1.0


def scene(size: int) -> Image:
    """Return blurred spots on a slope with camera noise, values in [0, 1]."""
    random = np.random.default_rng(0)
    spots = cv2.GaussianBlur((random.random((size, size)) > 0.999).astype(np.float32), (0, 0), 5)
    slope = np.linspace(0, 0.5, size, dtype=np.float32)
    noise = random.normal(0, 0.02, (size, size)).astype(np.float32)
    return np.clip(spots / spots.max() + slope + noise, 0, 1)


def chains() -> dict[str, tuple[BaseStep, ...]]:
    """Return what is timed: each step with its defaults, other methods, and a chain."""
    named = {kind: (step(),) for kind, step in STEPS.items()}
    background, ridges, median = (STEPS[k] for k in ("subtract_background", "ridges", "median"))
    for method in ("white_tophat", "black_tophat", "gaussian"):
        named[f"subtract_background {method}"] = (background(method=method),)
    named["subtract_background radius 8"] = (background(radius=8),)
    named["ridges frangi"] = (ridges(method="frangi"),)
    named["median radius 3"] = (median(radius=3),)
    named["clahe + unsharp"] = (*named["clahe"], *named["unsharp"])
    return named


def milliseconds(function: Callable[[], object]) -> float:
    """Return the best processor time of a few runs; one run where it takes long.

    Processor time, not wall time: with one thread they agree on an idle machine, and the
    first is less disturbed by other programs.
    """
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
        if best > LONG_RUN_S:
            break
    return round(best * 1000, 2)


def processor() -> str:
    """Return the processor's name."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    cv2.setNumThreads(1)
    images = {size: scene(size) for size in arguments.sizes}
    apply(images[arguments.sizes[0]], (STEPS["median"](radius=3),))
    table: dict[str, dict[str, float]] = {}
    print(f"processor milliseconds on one core of {processor()}")
    print(f"{'step':34}" + "".join(f"{size:>9}²" for size in arguments.sizes))
    for name, steps in chains().items():
        table[name] = {}
        for size, image in images.items():
            table[name][str(size)] = milliseconds(lambda i=image, s=steps: apply(i, s))
        print(f"{name:34}" + "".join(f"{value:10.1f}" for value in table[name].values()))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "processor": processor(),
        "threads": 1,
        "unit": "ms of processor time, best of up to 5",
        "steps": table,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
