"""Images in tiles: accuracy, seams, agreement of tile sizes, memory, overhead and kills.

* mosaic: the four sample fields of 512², turned, side by side, each in its own window, as bright as
  alone, and with a frame of its median gray, so that no object of one touches that of another.
  AP50 of each field, cut out of the tiled labels, against the field segmented alone, with its
  frame; points and scale are the same.
* agreement: the same mosaic in tiles of 512, 1024 and 2048.
* seams: the fields in other places, several times, and how often objects end at seams and inside
  tiles in all of them together: one mosaic has few large tiles.
* memory: a synthetic OME-Zarr of growing size in a process of its own, with points in squares
  along the diagonal only, so that most tiles are read by the survey, the painting and the levels
  but not asked.
* overhead: a plain loop over tiles against the engine in this process, one worker of Dask and two;
  with OMP_NUM_THREADS=1, so that each has one core.
* kills: processes that are killed at random times, and started again.

    python benchmarks/tiles.py
    python benchmarks/tiles.py --parts memory --sizes 8192 32768
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "tiles.json"
SAMPLES = Path(__file__).parents[1] / "sample_data"
FIELDS = ("nuclei_uneven", "particles", "em_texture", "phase_cells")
SIDE, SPACING, FRAME = 576, 16, (24, 40)
"""Side of a field with its frame, distance of points, and widths of the frame."""
BARS = {
    "ap50": 0.98, "orphans": 1.1, "agreement": 0.98, "memory": 2.5e9, "overhead": 0.10,
    "two_workers": 1.6,
}  # fmt: skip


def recipe(size: int, halo: int, **more: Any) -> Any:
    """Return the benchmark's recipe: points every 16 pixels, seen without reduction."""
    from napari_graysam import Recipe

    values = {
        "tiles.use": "always",
        "tiles.size": size,
        "tiles.halo": halo,
        "generator.points_per_side": size // SPACING,
        "generator.grid": "full",
        "model.frame": size if size >= 256 else None,
        **more,
    }
    return Recipe.preset("raw").with_values(values)


def fields(count: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return names, fields in their own windows, uint8, and their truth, in turned copies."""
    import tifffile

    from napari_graysam import Recipe
    from napari_graysam.pipeline import read_gray

    found = []
    for number in range(count):
        name, turn = FIELDS[number % len(FIELDS)], number // len(FIELDS)
        image = read_gray(SAMPLES / f"{name}.tif", Recipe()).pixels
        truth = tifffile.imread(SAMPLES / f"{name}.labels.tif").astype(np.int64)
        pair = [np.rot90(one, turn % 4) for one in (np.round(image * 255).astype(np.uint8), truth)]
        image, truth = (np.fliplr(one) if turn >= 4 else one for one in pair)
        framed = np.pad(image, FRAME, constant_values=int(np.median(image)))
        found.append((name, framed, np.pad(truth, FRAME)))
    return found


def mosaic(
    across: int, arrangement: int = 0
) -> tuple[np.ndarray, list[tuple[str, np.ndarray, np.ndarray]]]:
    """Return a mosaic of so many fields a side, row by row; each row begins with another one."""
    parts = fields(across**2)
    if arrangement:
        random.Random(arrangement).shuffle(parts)
    rows = [parts[n * across : (n + 1) * across] for n in range(across)]
    rows = [row[n % across :] + row[: n % across] for n, row in enumerate(rows)]
    image = np.vstack([np.hstack([one for _, one, _ in row]) for row in rows])
    return image, [one for row in rows for one in row]


def truth_of(parts: list[tuple[str, np.ndarray, np.ndarray]], across: int) -> np.ndarray:
    """Return the truth of the whole mosaic, every object with a number of its own."""
    whole = np.zeros((across * SIDE, across * SIDE), np.int64)
    for place, (_, _, truth) in enumerate(parts):
        row, column = divmod(place, across)
        own = np.where(truth > 0, truth + 1000 * place, 0)
        whole[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = own
    return whole


def labels_of(outcome: Any) -> np.ndarray:
    from napari_graysam.source.pyramid import open_pyramid

    return np.asarray(open_pyramid(outcome.files["labels"]).plane()[:, :])


def tiled(image: Any, wanted: Any, folder: Path, **more: Any) -> tuple[Any, float]:
    from napari_graysam.batch import segment_tiled

    start = time.perf_counter()
    outcome = segment_tiled(image, wanted, folder, name="image", **more)
    assert outcome.status == "done", outcome.error
    return outcome, time.perf_counter() - start


def in_mosaic(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure AP50 and seams of a mosaic, and how well tile sizes agree."""
    from napari_graysam import segment
    from napari_graysam.comparison import score
    from napari_graysam.masks import label_overlaps, match
    from napari_graysam.tiles import TileGrid
    from napari_graysam.tiles.report import make_report

    across = arguments.across
    image, parts = mosaic(across)
    side = across * SIDE
    alone = {}
    one = recipe(SIDE, 64).with_values({"tiles.use": "never"})
    for name, picture, truth in fields(len(FIELDS)):
        labels = segment(picture, one).labels
        alone[name] = float(score(labels, truth).average_precision[0])
    found: dict[str, Any] = {"side": side, "spacing": SPACING, "alone": alone, "tiles": {}}
    found_labels: dict[int, np.ndarray] = {}
    for size, halo in ((2048, 96), (1024, 96), (512, 96)):
        seen = min(size, side)
        if seen % 64:
            continue
        with tempfile.TemporaryDirectory() as folder:
            wanted = recipe(size, halo, **{"model.frame": seen})
            outcome, seconds = tiled(image, wanted, Path(folder))
            found_labels[size] = labels_of(outcome)
            seams = json.loads(outcome.files["seams"].read_text())
        truth_seams = make_report(truth_of(parts, across), TileGrid((side, side), size, halo))
        scores: dict[str, list[float]] = {name: [] for name in FIELDS}
        for place, (name, _, truth) in enumerate(parts):
            row, column = divmod(place, across)
            cut = found_labels[size][
                row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE
            ]
            scores[name].append(float(score(cut, truth).average_precision[0]))
        means = {name: float(np.mean(values)) for name, values in scores.items()}
        ratio = float(np.mean(list(means.values())) / np.mean(list(alone.values())))
        found["tiles"][size] = {
            "halo": halo, "seconds": round(seconds, 1), "objects": outcome.objects,
            "ap50": means, "ap50_ratio": ratio, "ap50_met": ratio >= BARS["ap50"],
            "seams": seams, "seams_of_the_truth": truth_seams.to_dict(),
            "orphans_met": seams["ratio"] is None or seams["ratio"] <= BARS["orphans"],
        }  # fmt: skip
        print(size, json.dumps(found["tiles"][size]), flush=True)
    agreement = {}
    for size in found_labels:
        for other in found_labels:
            if size < other:
                ids, others, overlaps = label_overlaps(found_labels[size], found_labels[other])
                pairs = len(match(overlaps, 0.9))
                agreement[f"{size} and {other}"] = 2 * pairs / (len(ids) + len(others))
    found["agreement"] = agreement
    found["agreement_met"] = min(agreement.values(), default=1.0) >= BARS["agreement"]
    return found


def seams(arguments: argparse.Namespace) -> dict[str, Any]:
    """Count where objects end, over several mosaics, in the labels and in the truth."""
    from napari_graysam.tiles import TileGrid
    from napari_graysam.tiles.report import Rate, make_report

    across, found = arguments.across, {}
    side = across * SIDE
    for size in arguments.tiles:
        kinds = {of: {kind: Rate() for kind in ("seam", "interior")} for of in ("labels", "truth")}
        each = []
        for arrangement in range(1, arguments.arrangements + 1):
            image, parts = mosaic(across, arrangement)
            with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
                wanted = recipe(size, 96, **{"model.frame": min(size, side)})
                outcome, seconds = tiled(image, wanted, Path(folder))
                labels = labels_of(outcome)
            for of, one in (("labels", labels), ("truth", truth_of(parts, across))):
                report = make_report(one, TileGrid((side, side), size, 96))
                for kind, rate in kinds[of].items():
                    rate.ending += getattr(report, kind).ending
                    rate.crossing += getattr(report, kind).crossing
                if of == "labels":
                    each.append(report.to_dict())
            print(size, arrangement, round(seconds), each[-1], flush=True)
        rates = {of: {kind: one.to_dict() for kind, one in rate.items()}
                 for of, rate in kinds.items()}  # fmt: skip
        ratios = {of: round(rate["seam"].rate / rate["interior"].rate, 4)
                  for of, rate in kinds.items()}  # fmt: skip
        found[str(size)] = {"rates": rates, "ratios": ratios, "each": each,
                            "met": ratios["labels"] <= BARS["orphans"]}  # fmt: skip
    return {"side": side, "arrangements": arguments.arrangements, "tiles": found}


def synthetic(path: Path, side: int) -> None:
    """Write an OME-Zarr of noise and discs, uint16, one chunk after the other."""
    import zarr

    generator = np.random.default_rng(0)
    part = generator.normal(300, 20, (1024, 1024))
    y, x = np.ogrid[:1024, :1024]
    for cy in range(40, 1024, 80):
        for cx in range(40, 1024, 80):
            part[(y - cy) ** 2 + (x - cx) ** 2 < 18**2] += 900
    block = part.astype(np.uint16)
    group = zarr.open_group(str(path), mode="w")
    shape = side
    datasets = []
    for level in range(4):
        array = group.create_array(
            str(level), shape=(shape, shape), dtype="uint16", chunks=(512, 512)
        )
        step = block[:: 2**level, :: 2**level]
        for top in range(0, shape, 1024):
            height = min(1024, shape - top)
            band = np.tile(step, (-(-height // len(step)), -(-shape // len(step))))
            array[top : top + height] = band[:height, :shape]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [{"type": "scale", "scale": [2.0**level] * 2}],
            }
        )
        shape //= 2
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


def diagonal(side: int, count: int) -> list[list[list[int]]]:
    """Return squares along the diagonal, where points are asked."""
    corners = np.linspace(0, side - 200, count).astype(int).tolist()
    return [[[c, c], [c + 160, c], [c + 160, c + 160], [c, c + 160]] for c in corners]


def one_large(path: str, side: int, folder: str) -> None:
    """Segment in this process, and print what it took."""
    wanted = recipe(1024, 64, **{"image.region": diagonal(side, 12)})
    outcome, seconds = tiled(path, wanted, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({
        "peak": peak, "seconds": round(seconds, 1), "objects": outcome.objects,
        "shape": [side, side],
    }))  # fmt: skip


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the peak memory of one process for images of growing size."""
    found: dict[str, Any] = {}
    for side in arguments.sizes:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
            path = Path(scratch) / "slide.zarr"
            synthetic(path, side)
            command = [
                sys.executable,
                __file__,
                "--one-large",
                str(path),
                str(side),
                scratch + "/out",
            ]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            found[str(side)] = json.loads(result.stdout.splitlines()[-1])
            print(side, found[str(side)], flush=True)
    peaks = [one["peak"] for one in found.values()]
    found["met"] = max(peaks) <= BARS["memory"]
    found["growth"] = peaks[-1] / peaks[0]
    return found


def overhead(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare a plain loop over tiles with the engine here, with one worker and with two."""
    from distributed import LocalCluster

    from napari_graysam.progress import run
    from napari_graysam.source.pyramid import open_pyramid
    from napari_graysam.tiles.plan import prepare
    from napari_graysam.tiles.tile import segment_tile

    image, _ = mosaic(2)
    wanted = recipe(256, 32)
    prepared = run(prepare(open_pyramid(image), wanted))
    tiles = list(prepared.grid)
    run(segment_tile(prepared.view, prepared.recipe, tiles[0], 256))

    def loop() -> float:
        start = time.perf_counter()
        for tile in tiles:
            run(segment_tile(prepared.view, prepared.recipe, tile, 256))
        return time.perf_counter() - start

    from napari_graysam.batch.cluster import Cluster
    from napari_graysam.batch.tasks import share
    from napari_graysam.batch.tile_work import Candidates, SegmentTile
    from napari_graysam.tiles.folder import TileFolder

    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        start = time.perf_counter()
        work()
        times.setdefault(name, []).append(time.perf_counter() - start)

    def schedule(workers: int) -> LocalCluster:
        # Workers of a scheduler take the threads that OMP_NUM_THREADS allows, as the loop does.
        return LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, memory_limit=0
        )

    with (
        tempfile.TemporaryDirectory() as scratch,
        schedule(1) as first,
        schedule(2) as second,
        Cluster(None, first.scheduler_address) as one,
        Cluster(None, second.scheduler_address) as two,
    ):

        def work(kept: Path | None = None) -> SegmentTile:
            place = TileFolder(Path(scratch) / "tiles")
            candidates = Candidates(kept, 2**34, shared=False)
            return SegmentTile(prepared.view, prepared.recipe, 256, place, candidates)

        for cluster in (one, two):
            list(share(work(), tiles[:4], cluster))
        for number in range(arguments.repeats):
            timed("loop", loop)
            timed("here", lambda: list(share(work(), tiles, None)))
            kept = Path(scratch) / f"kept {number}"
            timed("here, candidates kept", lambda kept=kept: list(share(work(kept), tiles, None)))
            timed("worker", lambda: list(share(work(), tiles, one)))
            timed("two", lambda: list(share(work(), tiles, two)))
    best = {name: min(values) for name, values in times.items()}
    return {
        "tiles": len(tiles),
        "cores": os.cpu_count(),
        "seconds": times,
        "here": best["here"] / best["loop"] - 1,
        "candidates_kept": best["here, candidates kept"] / best["loop"] - 1,
        "worker": best["worker"] / best["loop"] - 1,
        "met": best["worker"] / best["loop"] - 1 <= BARS["overhead"],
        "two_workers": best["worker"] / best["two"],
        "two_workers_met": best["worker"] / best["two"] >= BARS["two_workers"],
        "load": os.getloadavg()[0],
    }


def kills(arguments: argparse.Namespace) -> dict[str, Any]:
    """Kill the client, or a worker, at random times; the labels must be the same."""
    import psutil

    generator = random.Random(0)
    image, _ = mosaic(1)
    found: dict[str, Any] = {"client": [], "worker": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        np.save(folder / "image.npy", image)
        recipe(192, 24).to_file(folder / "recipe.yaml")

        def command(out: str, workers: int) -> list[str]:
            return [
                sys.executable, "-m", "napari_graysam.cli", "segment", str(folder / "image.npy"),
                "--recipe", str(folder / "recipe.yaml"), "--out", str(folder / out),
                "--workers", str(workers),
            ]  # fmt: skip

        def labels(out: str) -> np.ndarray:
            from napari_graysam.source.pyramid import open_pyramid

            place = folder / out / "image.zarr" / "labels" / "image"
            return np.asarray(open_pyramid(place).plane()[:, :])

        start = time.perf_counter()
        subprocess.run(command("plain", 1), check=True, capture_output=True)
        usual = time.perf_counter() - start
        expected = labels("plain")
        for kind, workers in (("client", 1), ("worker", 2)):
            for number in range(arguments.kills):
                out = f"{kind}{number}"
                moment = generator.uniform(0.2, 0.95) * usual
                process = subprocess.Popen(
                    command(out, workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                time.sleep(moment)
                hit = process.poll() is None
                if hit and kind == "client":
                    process.send_signal(signal.SIGKILL)
                elif hit:
                    children = psutil.Process(process.pid).children(recursive=True)
                    workers_there = [
                        one for one in children if "spawn_main" in " ".join(one.cmdline())
                    ]
                    hit = bool(workers_there)
                    if hit:
                        generator.choice(workers_there).kill()
                process.wait()
                subprocess.run(command(out, workers), check=True, capture_output=True)
                same = bool(np.array_equal(labels(out), expected))
                found[kind].append({"after": round(moment, 1), "hit": hit, "same": same})
                shutil.rmtree(folder / out)
                print(kind, found[kind][-1], flush=True)
    found["met"] = all(one["same"] for kind in ("client", "worker") for one in found[kind])
    return found


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "mosaic": in_mosaic,
    "seams": seams,
    "memory": memory,
    "overhead": overhead,
    "kills": kills,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--across", type=int, default=4)
    parser.add_argument("--sizes", nargs="+", type=int, default=[8192, 32768])
    parser.add_argument("--tiles", nargs="+", type=int, default=[512, 1024, 2048])
    parser.add_argument("--arrangements", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--scratch", default=None)
    parser.add_argument("--one-large", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_large:
        path, side, folder = arguments.one_large
        one_large(path, int(side), folder)
        return
    for part in arguments.parts:
        found = PARTS[part](arguments)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[part] = found
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        print(part, json.dumps(results[part]), flush=True)


if __name__ == "__main__":
    main()
