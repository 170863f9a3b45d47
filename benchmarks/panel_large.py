"""Time the panel with an image larger than memory: opening, a whole run in tiles, selecting again.

The image is the synthetic one of ``tiles.py``; the run is limited to squares along its diagonal,
so that most tiles are read, painted and made into levels but not asked. Needs a display, as
``panel.py``, whose blocks of the window are measured here too.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/panel_large.py --side 16384
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from panel import PLUGIN, Heart, fresh_settings, open_panel, wait
from tiles import diagonal, recipe

RESULTS = Path(__file__).parent / "results" / "panel_large.json"
SQUARES = 12


def peak() -> float:
    """Return the most memory that this process had, in GB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)


def timed(found: dict[str, Any], name: str, work: Callable[[], object]) -> None:
    """Note how long something took, its longest block and the peak of memory until then."""
    heart, start = Heart(), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    settled = time.monotonic() + 1
    wait(lambda: time.monotonic() > settled)
    found[name] = {
        "seconds": round(seconds, 2), "longest_block": heart.stop(), "peak_gb": peak(),
    }  # fmt: skip
    print(name, found[name], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--scratch", default=None)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    side = arguments.side
    found: dict[str, Any] = {"cores": os.cpu_count()}

    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch, fresh_settings():
        path = Path(scratch) / "slide.zarr"
        # In a process of its own, whose memory is not counted.
        write = f"from tiles import *; synthetic(Path({str(path)!r}), {side})"
        subprocess.run([sys.executable, "-c", write], cwd=Path(__file__).parent, check=True)

        import napari

        viewer = napari.Viewer()
        panel, _ = open_panel(viewer)
        timed(found, "open", lambda: viewer.open(str(path), plugin=PLUGIN))
        state, whole = panel.state, panel.run.whole
        wanted = recipe(1024, 64, **{"image.region": diagonal(side, SQUARES), "arms": "raw"})

        def choose() -> None:
            state.layer = viewer.layers[0]
            state.recipe = wanted
            state.extent.choose("whole")
            whole.output.line.setText(scratch + "/out")
            whole.output.line.editingFinished.emit()

        def segment() -> None:
            panel.run.native.both.click()
            wait(lambda: not (state.running or whole.busy), 3600)

        def zoom() -> None:
            viewer.camera.zoom = 1
            settled = time.monotonic() + 3
            wait(lambda: time.monotonic() > settled)

        timed(found, "choose", choose)
        timed(found, "run", segment)
        timed(found, "zoom to pixels", zoom)
        timed(found, "see all", viewer.reset_view)
        labels = next(layer for layer in viewer.layers if "[raw]" in layer.name)
        found["objects"] = len(labels.features)
        timed(found, "select again", lambda: (state.change({"labels.min_area": 120}), segment()))
        viewer.close()

    everything = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    everything[str(side)] = found
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
