"""Whole stacks: selecting again without the model, runs that are killed, and peak memory.

``retune``: 50 planes of 1024² pixels with 1,500 candidates each (500 objects, each with a part
and a group), kept on disk as a run keeps them. A threshold is changed: the plane in view, all
planes, and all planes linked; from disk, and again with the planes in memory.

``kill``: a run is killed (SIGKILL) at a random moment, again and again until one call ends; its
files must be those of a run that nobody stopped.

``memory``: peak memory (``ru_maxrss``) of a process that segments a stack, and of one that
segments one plane of it, with linking, tables and files.

    python benchmarks/stack_run.py retune
    python benchmarks/stack_run.py kill --times 20
    python benchmarks/stack_run.py memory --planes 200
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile
from preprocess import processor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

RESULTS = Path(__file__).parent / "results" / "stack_run.json"
SMALL = {"stack.axis": "z", "stack.link": "overlap", "generator.points_per_side": 4}


def settings(values: dict[str, Any]) -> list[str]:
    """Return the arguments of the command line for some values."""
    return [part for path, value in values.items() for part in ("--set", f"{path}={value}")]


def cells(planes: int, side: int) -> np.ndarray:
    """Return a noisy stack of discs that drift, uint8 (planes, side, side)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    stack = np.empty((planes, side, side), np.uint8)
    places = rng.uniform(0.1, 0.9, (12, 2)) * side
    for number, plane in enumerate(stack):
        image = rng.normal(40, 6, (side, side))
        for row, column in places + number * 0.3:
            image[(y - row) ** 2 + (x - column) ** 2 < (side / 14) ** 2] += 120
        plane[:] = image.clip(0, 255)
    return stack


def retune(planes: int, side: int, count: int) -> dict[str, Any]:
    """Measure how long another threshold takes, in seconds by the clock and of the processor."""
    from synthetic import blobs

    from napari_graysam.batch import CachedPlanes
    from napari_graysam.pipeline import make_view
    from napari_graysam.propose.cache import Cache, proposals_key
    from napari_graysam.recipe import Recipe
    from napari_graysam.source.stack import Stack
    from napari_graysam.stack import link_planes

    scores = {"generator.pred_iou_thresh": 0.5, "generator.stability_score_thresh": 0.5}
    recipe = Recipe().with_values({"stack.axis": "z", "stack.link": "overlap", **scores})
    stricter, looser = (
        recipe.with_values({"generator.pred_iou_thresh": value}) for value in (0.6, 0.45)
    )
    image = np.random.default_rng(0).integers(0, 255, (planes, side, side), np.uint8)

    def timed(work: Callable[[], Any]) -> tuple[Any, list[float]]:
        start, processor = time.perf_counter(), time.process_time()
        found = work()
        spent = time.perf_counter() - start, time.process_time() - processor
        return found, [round(seconds, 3) for seconds in spent]

    with TemporaryDirectory() as folder:
        path = Path(folder) / "stack.tif"
        tifffile.imwrite(path, image, ome=True, compression="zlib", metadata={"axes": "ZYX"})
        cache = Cache(budget=0, folder=Path(folder) / "candidates")
        stack = Stack(path, recipe)
        model = {"name": "synthetic", "image_size": 1024}
        same = blobs(count, (side, side), side=256, radius=(0.008, 0.025)).compact()
        for position in stack.positions:
            # The same objects in all planes, of which some are surer here and some there.
            sure = np.random.default_rng(position).normal(same.predicted_iou, 0.05)
            found = replace(same, predicted_iou=sure.clip(0, 1).astype(np.float32))
            made = {"model": model, "point_source": "synthetic", "notes": []}
            made["generator"] = recipe.generator.model_dump(mode="json")
            found.record.update(made)
            view = make_view(stack.plane(position), recipe)
            cache.keep(proposals_key(view, recipe.model, recipe.generator, None), found)
        sizes = [file.stat().st_size for file in cache.folder.iterdir()]
        kept = CachedPlanes(stack, cache)
        first = stack.positions[0]
        result: dict[str, Any] = {
            "planes": planes,
            "side": side,
            "candidates": count,
            "kept_mb_a_plane": round(float(np.mean(sizes)) / 1e6, 2),
            "logits_mb_a_plane": round(count * 256 * 256 * 4 / 1e6),
        }
        CachedPlanes(stack, cache).plane(first, recipe)  # Imports and weights of enlarging.
        found, result["view_from_disk"] = timed(lambda: kept.plane(first, recipe))
        result["objects_in_view"] = len(found.masks)
        _, result["view_again"] = timed(lambda: kept.plane(first, looser))
        labels: dict[str, list[np.ndarray]] = {}
        for name, wanted in (("disk", recipe), ("memory", stricter), ("memory_looser", looser)):
            labels[name], result[f"all_from_{name}"] = timed(
                lambda wanted=wanted: [found.labels for _, found in kept.planes(wanted)]
            )
        link_planes(labels["memory"][:2], stricter.stack.linking)  # Imports.
        links, result["linking"] = timed(
            lambda: link_planes(labels["memory"], stricter.stack.linking)
        )
        result["objects"] = links.count
    return result


def contents(folder: Path) -> dict[str, Any]:
    """Return what a run wrote, without the times that its provenance tells, and no temporaries."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or "candidates" in path.parts:
            continue
        data: Any = path.read_bytes()
        if path.name.endswith("provenance.json"):
            data = json.loads(data)
            data.pop("seconds", None)
        found[str(path.relative_to(folder))] = data
    return found


def kill(times: int, planes: int, side: int) -> dict[str, Any]:
    """Kill runs at random moments and let the next call go on."""
    rng = random.Random(0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cells.tif"
        tifffile.imwrite(path, cells(planes, side), ome=True, metadata={"axes": "ZYX"})

        def command(out: str) -> list[str]:
            program = [sys.executable, "-m", "napari_graysam.cli", "segment", str(path)]
            return [*program, "--out", str(Path(folder) / out), "--quiet", *settings(SMALL)]

        start = time.perf_counter()
        subprocess.run(command("whole"), check=True)
        seconds = time.perf_counter() - start
        whole = contents(Path(folder) / "whole")
        same, kills, planes_done = 0, 0, []
        for number in range(times):
            out, moment = f"run{number}", 0.0
            while True:
                process = subprocess.Popen(command(out), stderr=subprocess.DEVNULL)
                # Later each time, so that the last one ends.
                moment += rng.uniform(0.2, 0.8) * seconds
                try:
                    process.wait(moment)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    kills += 1
                    done = Path(folder, out, "cells.planes").glob("*.recipe.yaml")
                    planes_done.append(len(list(done)))
                    continue
                break
            same += process.returncode == 0 and contents(Path(folder) / out) == whole
    return {
        "times": times, "identical": same, "kills": kills, "planes": planes,
        "planes_done_when_killed": planes_done, "seconds_of_a_whole_run": round(seconds, 1),
    }  # fmt: skip


def memory(planes: int, side: int) -> dict[str, Any]:
    """Measure the peak memory of whole processes, in MB."""
    found: dict[str, Any] = {"planes": planes, "side": side}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cells.tif"
        tifffile.imwrite(
            path, cells(planes, side), ome=True, compression="zlib", metadata={"axes": "ZYX"}
        )
        one = settings({"generator.points_per_side": 4, "image.axes": "ZYX", "image.plane": 1})
        # One plane as the stack has it: read alone, in a window of its own.
        tifffile.imwrite(Path(folder) / "one.tif", tifffile.imread(path, key=1))
        for name, image, more in (
            ("one", Path(folder) / "one.tif", one[:2]),
            ("stack", path, settings(SMALL)),
        ):
            program = [sys.executable, "-m", "napari_graysam.cli", "segment", str(image)]
            command = [*program, "--out", str(Path(folder) / "out"), "--quiet", *more]
            start = time.perf_counter()
            process = subprocess.Popen(command)
            _, status, usage = os.wait4(process.pid, 0)
            assert status == 0, name
            found[f"{name}_mb"] = round(usage.ru_maxrss / 1024)
            found[f"{name}_seconds"] = round(time.perf_counter() - start, 1)
    found["times"] = round(found["stack_mb"] / found["one_mb"], 3)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("retune", "kill", "memory"))
    parser.add_argument("--planes", type=int)
    parser.add_argument("--side", type=int)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=1500)
    given = parser.parse_args()
    usual = {"retune": (50, 1024), "kill": (4, 96), "memory": (200, 1024)}[given.what]
    planes, side = given.planes or usual[0], given.side or usual[1]
    measured = {
        "retune": lambda: retune(planes, side, given.candidates),
        "kill": lambda: kill(given.times, planes, side),
        "memory": lambda: memory(planes, side),
    }[given.what]()
    print(json.dumps(measured, indent=1))
    earlier = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    about = {"processor": processor(), "unit": "s: [by the clock, of the processor]"}
    RESULTS.write_text(json.dumps({**earlier, **about, given.what: measured}, indent=1) + "\n")


if __name__ == "__main__":
    main()
