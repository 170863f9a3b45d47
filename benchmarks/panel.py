"""Time the panel in a real napari: opening, a run with the bundled model, and re-tuning.

Needs a display; without one, run it under ``xvfb-run -a -s "-screen 0 1600x1000x24"``. A block
is the longest time during which the window could not answer: between two beats of a timer in
the main thread. Besides the clock, the main thread's own processor time is measured, which other
programs on the machine do not disturb.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "panel.json"
PLUGIN, PANEL = "napari-graysam", "Segment everything (SAM 2)"
BEAT = 5
SETTLED = 1
"""Seconds after a run in which its last result is drawn and measured."""
THRESHOLDS = (0.62, 0.45, 0.7, 0.55, 0.65, 0.4, 0.75, 0.52, 0.6)


class Heart:
    """Beats in the main thread and remembers the longest pauses, in milliseconds."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self.clock = self.processor = 0.0
        self._last = self._now()
        self._timer = QTimer(interval=BEAT)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.thread_time()

    def _beat(self) -> None:
        now = self._now()
        clock, processor = (1000 * (b - a) for a, b in zip(self._last, now, strict=True))
        self.clock, self.processor = max(self.clock, clock), max(self.processor, processor)
        self._last = now

    def stop(self) -> dict[str, float]:
        """Return the longest pauses, the one that has not ended yet among them."""
        self._beat()
        self._timer.stop()
        return {"clock_ms": round(self.clock, 1), "processor_ms": round(self.processor, 1)}


@contextmanager
def fresh_settings() -> Iterator[None]:
    """Start as on the first day, and leave no trace."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        os.environ["GRAYSAM_CONFIG"] = folder
        yield


def wait(until: Any, seconds: float = 900) -> None:
    """Let the window work until something is true.

    Raises
    ------
    TimeoutError
        If it never becomes true.
    """
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s")
        QApplication.processEvents()
        time.sleep(0.001)


def open_panel(viewer: Any) -> tuple[Any, dict[str, Any]]:
    """Return the panel, and what its opening took."""
    from qtpy.QtWidgets import QApplication

    QApplication.processEvents()
    clock, processor = time.perf_counter(), time.thread_time()
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    QApplication.processEvents()
    clock, processor = time.perf_counter() - clock, time.thread_time() - processor
    settled = time.monotonic() + 1
    wait(lambda: time.monotonic() > settled)
    return panel, {
        "clock_s": round(clock, 3),
        "processor_s": round(processor, 3),
        "torch_imported": "torch" in sys.modules,
    }


def enlarged(image: Any, size: int) -> Any:
    """Return (size, size) pixels: the image, mirrored at its borders as often as needed."""
    import numpy as np

    more = [(0, max(0, size - length)) for length in image.shape]
    return np.ascontiguousarray(np.pad(image, more, mode="symmetric")[:size, :size])


def run(panel: Any) -> dict[str, Any]:
    """Segment both arms; return the longest block and what came out."""
    heart, start = Heart(), time.perf_counter()
    panel.run.run()
    wait(lambda: not panel.state.running)
    seconds = time.perf_counter() - start
    settled = time.monotonic() + SETTLED
    wait(lambda: time.monotonic() > settled)
    wait(lambda: set(panel.state.results) == {"raw", "preprocessed"}, 5)
    return {
        "longest_block": heart.stop(),
        "seconds": round(seconds, 1),
        "objects": {arm: len(result.masks) for arm, result in panel.state.results.items()},
        "candidates": {arm: len(one.proposals) for arm, one in panel.state.selectors.items()},
    }


def cancel(panel: Any) -> dict[str, float]:
    """Cancel in the encoder and in the decoder; return the milliseconds until the run ends."""
    from napari_graysam._napari.panel.sections.run_view import STAGES

    times = {}
    for stage in ("encode", "decode"):
        panel.run.run(("raw",))
        wait(lambda words=STAGES[stage]: words in panel.run.native.status.text())
        start = time.perf_counter()
        panel.run.cancel()
        wait(lambda: not panel.state.running)
        times[f"{stage}_ms"] = round(1000 * (time.perf_counter() - start), 1)
    return times


def retune(panel: Any, pause: float) -> dict[str, Any]:
    """Move a threshold; return the times until both arms' layers hold the new objects.

    Parameters
    ----------
    panel
        With both arms' results.
    pause
        Seconds between a result and the next move. With 0 the window still draws the former
        result meanwhile, as when a slider is dragged.
    """
    times, heart = [], Heart()
    for threshold in THRESHOLDS:
        changed: set[str] = set()

        def note(arm: str, changed: set[str] = changed) -> None:
            changed.add(arm)

        panel.state.result_changed.connect(note)
        start = time.perf_counter()
        panel.state.change({"generator.pred_iou_thresh": threshold})
        wait(lambda changed=changed: len(changed) == 2, 60)
        times.append(1000 * (time.perf_counter() - start))
        panel.state.result_changed.disconnect(note)
        rested = time.monotonic() + pause
        wait(lambda rested=rested: time.monotonic() > rested)
    return {
        "longest_block": heart.stop(),
        "first_ms": round(times[0], 1),
        "median_ms": round(statistics.median(times), 1),
        "best_ms": round(min(times), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", default="nuclei_uneven")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024], help="of the image")
    parser.add_argument("--points", type=int, default=32, help="points per side")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    with fresh_settings():
        import napari

        from napari_graysam.recipe import Recipe
        from napari_graysam.samples import samples

        viewer = napari.Viewer()
        viewer.open_sample(PLUGIN, arguments.sample)
        panel, opening = open_panel(viewer)
        recipe = Recipe.preset(samples()[arguments.sample].preset)
        panel.state.recipe = recipe.with_values({"generator.points_per_side": arguments.points})
        report = {
            "sample": arguments.sample,
            "points_per_side": arguments.points,
            "cores": os.cpu_count(),
            "opening": opening,
            "sizes": {},
        }
        source = panel.state.layer.data
        for size in arguments.sizes:
            image = enlarged(source, size)
            panel.state.layer = viewer.add_image(image, name=f"{size} px")
            measured = {
                "run": run(panel),
                "retune_dragging": retune(panel, 0),
                "retune_pausing": retune(panel, 1),
            }
            panel.state.layer = viewer.add_image(image.max() - image, name=f"{size} px inverted")
            report["sizes"][f"{size}²"] = {**measured, "cancel": cancel(panel)}
        print(json.dumps(report, indent=1, ensure_ascii=False))
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        viewer.close()


if __name__ == "__main__":
    main()
