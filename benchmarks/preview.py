"""Time from a changed parameter to the changed preview in a real viewer, and write it as JSON.

Run ``python benchmarks/preview.py`` on a display, or under ``xvfb-run``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import napari
import numpy as np
from preprocess import processor, scene
from qtpy.QtWidgets import QApplication

from napari_graysam._napari.panel.state import PanelState
from napari_graysam._napari.preview.controller import Preview
from napari_graysam.preprocess import STEPS

RESULTS = Path(__file__).parent / "results" / "preview.json"
REPEATS = 9
CHANGES = {
    "clahe, both steps again": "preprocess.0.clip_limit",
    "unsharp, the last step again": "preprocess.1.amount",
}


class Scene:
    """A viewer with one image and its preview of CLAHE + unsharp."""

    def __init__(self, size: int) -> None:
        self.viewer = napari.Viewer()
        state = self.state = PanelState(self.viewer)
        image = (scene(size) * 60000).astype(np.uint16)
        state.layer = self.viewer.add_image(image)
        state.recipe = state.recipe.replace(preprocess=(STEPS["clahe"](), STEPS["unsharp"]()))
        self.preview = Preview(state)
        self.arrived: list[tuple[float, float]] = []
        self.preview.shown.connect(self._arrive)

    def _arrive(self, view: object) -> None:
        self.arrived.append((time.perf_counter(), time.process_time()))

    def settle(self) -> None:
        wait_until(lambda: not self.preview.busy)
        for _ in range(10):
            QApplication.processEvents()
            time.sleep(0.01)

    def change(self, path: str, value: float) -> dict[str, float]:
        """Return milliseconds until the layer holds the first view, and until it is drawn."""
        self.settle()
        self.arrived.clear()
        started = time.perf_counter(), time.process_time()
        self.state.change({path: value})
        longest = wait_until(lambda: bool(self.arrived))
        held = self.arrived[0]
        self.viewer.screenshot(canvas_only=True, flash=False)
        drawn = time.perf_counter(), time.process_time()
        names = ("wall", "processor")
        times = {f"held, {name}": held[i] - started[i] for i, name in enumerate(names)}
        times |= {f"drawn, {name}": drawn[i] - started[i] for i, name in enumerate(names)}
        times["longest block of the GUI, wall"] = longest
        return {name: seconds * 1000 for name, seconds in times.items()}


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> float:
    """Handle events until something is so; return the longest time that one round took."""
    longest, start = 0.0, time.perf_counter()
    while not condition():
        before = time.perf_counter()
        QApplication.processEvents()
        longest = max(longest, time.perf_counter() - before)
        if before - start > seconds:
            raise TimeoutError("the preview did not come")
        time.sleep(0.001)
    return longest


def measure(size: int) -> dict[str, dict[str, float]]:
    """Return the median and the best of several changes, in milliseconds."""
    scene = Scene(size)
    scene.preview.enabled = True
    table = {}
    for name, path in CHANGES.items():
        runs = [scene.change(path, 1.5 + 0.1 * repeat) for repeat in range(REPEATS)]
        table[name] = {
            f"{key}, {what}": round(choose(run[key] for run in runs), 1)
            for key in runs[0]
            for what, choose in (("median", median), ("best", min))
        }
    scene.settle()
    scene.preview.close()
    scene.viewer.close()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    results = {f"{size}²": measure(size) for size in arguments.sizes}
    for size, table in results.items():
        for name, times in table.items():
            print(f"{size} {name}")
            for key, value in times.items():
                print(f"    {key:44}{value:9.1f} ms")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "processor": processor(),
        "load": round(os.getloadavg()[0], 1),
        "unit": "ms from a changed parameter",
        "note": "first view: all of the image up to 2048², else 2048² around the visible "
        "middle; drawn with software OpenGL; processor time counts all threads; a load above 1 "
        "means that other programs took processors away from the wall times",
        "sizes": results,
    }
    arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
