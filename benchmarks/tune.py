"""What tuning with the ground truth of two images gains on the other images of a set.

Development images at full and at reduced contrast (`training/contrast.py`), from the preset
``raw``. The images of a set are taken two at a time: `tune` searches its whole grid on the two,
and its recipe is applied to the rest. Average precision at IoU 0.5, mean over the rest and over
the pairs, against the preset; and of the one setting that would be best on each rest, which no
choice can beat. Sets with fewer than four images are left out, and those that are not asked for
keep their former results.

    python benchmarks/tune.py --data FOLDER
    python benchmarks/tune.py --data FOLDER --speed
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "tune.json"
LEAST = 4
SEEN = ("baby_yeast_bf",)
"""Sets that the bundled model was trained on."""
HIGHER, LOWER = 0.05, 0.01
SPEED = ("ampis_powder", 1024, 5000)
"""Set, side of the middle of its image, and settings whose time is measured."""


def pictures(data: Path, name: str, images: int) -> list[tuple[str, Path, Any]]:
    """Return stem, path and ground truth of some images of a set."""
    from evaluate import images_of

    from napari_graysam import read_labels

    paths = images_of(data, name)
    paths = paths[:: max(1, len(paths) // images)][:images]
    paths = paths[: len(paths) // 2 * 2]
    return [(p.stem, p, read_labels(data / name / "labels" / f"{p.stem}.tif")) for p in paths]


def contrasts(found: list[tuple[str, Path, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the gray images, as they are and with little contrast."""
    from contrast import reduce_contrast

    from napari_graysam import Recipe, read_image
    from napari_graysam.source.gray import to_gray

    full = [read_image(path, Recipe().image) for _, path, _ in found]
    yield "full", full
    names = [stem for stem, _, _ in found]
    yield (
        "reduced",
        [to_gray(reduce_contrast(one.pixels, stem)) for one, stem in zip(full, names, strict=True)],
    )


def measure(grays: list[Any], truths: list[Any], keep: Path | None) -> dict[str, Any]:
    """Tune on each pair of neighbours, and apply to the rest."""
    from napari_graysam import Recipe, run, score
    from napari_graysam.pipeline import live_steps, retune
    from napari_graysam.propose.cache import Cache
    from napari_graysam.tune import Truth, tune

    raw, cache = Recipe.preset("raw"), Cache()
    lives = [run(live_steps(gray, raw, cache=cache)) for gray in grays]
    pairs = [(first, first + 1) for first in range(0, len(grays) - 1, 2)]
    tunings, began = [], time.process_time()
    for pair in pairs:
        known = [Truth(truths[i]) for i in pair]
        tunings.append(tune([grays[i] for i in pair], known, raw, cache=cache))
    seconds = time.process_time() - began
    of_image = np.concatenate([one.scores for one in tunings], axis=1)
    if keep is not None:
        keep.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(keep, scores=of_image, own=tunings[0].own)

    def applied(index: int, recipe: Recipe) -> float:
        return score(retune(lives[index], recipe).labels, truths[index]).average_precision[0]

    rows: dict[str, list[float]] = {"preset": [], "tuned": [], "best": []}
    for pair, tuning in zip(pairs, tunings, strict=True):
        rest = [i for i in range(len(grays)) if i not in pair]
        for name, recipe in (("preset", raw), ("tuned", tuning.best)):
            rows[name].append(float(np.mean([applied(i, recipe) for i in rest])))
        rows["best"].append(float(of_image[:, rest].mean(1).max()))
    means = {name: round(float(np.mean(values)), 4) for name, values in rows.items()}
    return {
        "images": len(grays),
        "pairs": len(pairs),
        "kept": sum(one.choice.kept for one in tunings),
        **means,
        "gain": round(means["tuned"] - means["preset"], 4),
        "cpu_seconds_an_image": round(seconds / of_image.shape[1], 1),
    }


def verdict(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Count where tuning gains, and where it harms."""
    gains = {name: row["gain"] for name, row in rows.items()}
    return {
        f"higher by {HIGHER} or more on": [n for n, gain in gains.items() if gain >= HIGHER],
        f"lower by more than {LOWER} on": [n for n, gain in gains.items() if gain < -LOWER],
        "mean gain": round(float(np.mean(list(gains.values()))), 4),
        "mean gain of the best setting": round(
            float(np.mean([row["best"] - row["preset"] for row in rows.values()])), 4
        ),
    }


def speed(data: Path) -> dict[str, Any]:
    """Return the seconds of some thousand settings on the candidates of one large image."""
    from napari_graysam import Recipe, read_image, read_labels, run
    from napari_graysam.pipeline import live_steps
    from napari_graysam.tune import Truth, default_grid
    from napari_graysam.tune.grid import settings
    from napari_graysam.tune.objective import Objective

    name, side, count = SPEED
    path = sorted((data / name / "images").iterdir())[0]
    gray, truth = read_image(path), read_labels(data / name / "labels" / f"{path.stem}.tif")
    rows, columns = ((n - side) // 2 for n in truth.shape)
    middle = (slice(rows, rows + side), slice(columns, columns + side))
    raw = Recipe.preset("raw")
    live = run(live_steps(gray.pixels[middle], raw))
    objective = Objective(live.selector, Truth(truth[middle]), "ap50")
    every = list(settings(raw, default_grid(raw)))[:count]
    wall, cpu = time.perf_counter(), time.process_time()
    for setting in every:
        objective(setting.generator, setting.labels)
    return {
        "image": f"{name}, {side} x {side}",
        "candidates": len(live.selector.proposals),
        "objects at the preset": len(live.result.masks),
        "settings": len(every),
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", help="all if omitted")
    parser.add_argument("--images", type=int, default=4, help="of each set, at most")
    parser.add_argument("--keep", type=Path, help="folder for the scores of all settings")
    parser.add_argument("--speed", action="store_true", help="only the time of the search")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "training"))
    from evaluate import SETS

    report: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.speed:
        report["speed"] = speed(options.data)
        print(report["speed"])
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")
        return
    rows = report.setdefault("sets", {})
    for name in options.sets or (*SETS, *SEEN):
        found = pictures(options.data, name, options.images)
        if len(found) < LEAST:
            continue
        for contrast, grays in contrasts(found):
            row = f"{name}, {contrast}"
            keep = None if options.keep is None else options.keep / f"{name}.{contrast}.npz"
            rows[row] = measure(grays, [truth for _, _, truth in found], keep)
            print(row, rows[row], flush=True)
            report["verdict"] = verdict(rows)
            RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    print(report["verdict"])


if __name__ == "__main__":
    main()
