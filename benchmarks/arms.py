"""Both arms together against the better single arm: average precision at IoU 0.5.

Development images at full and at reduced contrast (`training/contrast.py`), by the preset of
their modality (`training/table.py`); both arms are run once, and all else is selected from their
candidates. Sets that are not asked for keep their former results.

    python benchmarks/arms.py --data FOLDER
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
RESULTS = Path(__file__).parent / "results" / "arms.json"
WAYS = {
    "union": {"arms": "union"},
    "union, matched": {"arms": "union", "arms_thresholds": "matched"},
    "consensus": {"arms": "consensus"},
}
LOWER = 0.01
"""A union may have this much less than the better arm."""


def pictures(data: Path, images: int, sets: list[str]) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield the set, recipe, gray image and ground truth of some images of every set."""
    sys.path.insert(0, str(ROOT / "training"))
    from contrast import reduce_contrast
    from evaluate import SETS, images_of
    from table import PRESETS

    from napari_graysam import Recipe, read_image, read_labels
    from napari_graysam.source.gray import to_gray

    for name in sets or SETS:
        paths = images_of(data, name)
        recipe = Recipe.preset(PRESETS[name])
        for path in paths[:: max(1, len(paths) // images)][:images]:
            truth = read_labels(data / name / "labels" / f"{path.stem}.tif")
            gray = read_image(path, recipe.image)
            yield f"{name}, full", recipe, gray, truth
            yield (
                f"{name}, reduced",
                recipe,
                to_gray(reduce_contrast(gray.pixels, path.stem)),
                truth,
            )


def measure(recipe: Any, gray: Any, truth: Any) -> dict[str, float]:
    """Return AP at IoU 0.5 of both arms and of all ways to join them."""
    from napari_graysam import run, score
    from napari_graysam.pipeline import ScoreFloors, combine, live_steps, retune

    # Down to what a matched threshold may need.
    floors = ScoreFloors(0.0, recipe.generator.stability_score_thresh)
    raw, preprocessed = (
        run(live_steps(gray, one, source=arm, score_floors=floors))
        for arm, one in (("raw", recipe.raw_arm()), ("preprocessed", recipe))
    )
    both = combine(raw, preprocessed, recipe.with_values(WAYS["union"]))
    results = {"raw": raw.result, "preprocessed": preprocessed.result}
    results |= {way: retune(both, recipe.with_values(values)) for way, values in WAYS.items()}
    return {name: score(one.labels, truth).average_precision[0] for name, one in results.items()}


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Average over the images of a set."""
    means = {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}
    return {"images": len(rows), **means, "better arm": max(means["raw"], means["preprocessed"])}


def verdict(report: dict[str, dict[str, Any]], way: str) -> dict[str, Any]:
    """Count where a way is above the better arm, and where it is below by too much."""
    gains = {name: round(row[way] - row["better arm"], 4) for name, row in report.items()}
    return {
        "higher on": sum(gain > 0 for gain in gains.values()),
        "lower by more than 0.01 on": [name for name, gain in gains.items() if gain < -LOWER],
        "mean gain": round(float(np.mean(list(gains.values()))), 4),
        "mean gain over raw": _mean_gain(report, way, "raw"),
        "mean gain over preprocessed": _mean_gain(report, way, "preprocessed"),
    }


def _mean_gain(report: dict[str, dict[str, Any]], way: str, arm: str) -> float:
    return round(float(np.mean([row[way] - row[arm] for row in report.values()])), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=[], help="all if omitted")
    parser.add_argument("--images", type=int, default=6, help="of each set, at most")
    options = parser.parse_args()
    began = time.perf_counter()
    found: dict[str, list[dict[str, float]]] = {}
    for name, recipe, gray, truth in pictures(options.data, options.images, options.sets):
        found.setdefault(name, []).append(measure(recipe, gray, truth))
        print(name, found[name][-1], flush=True)
    report: dict[str, Any] = {}
    if options.sets and RESULTS.exists():
        report = json.loads(RESULTS.read_text())["sets"]
    report |= {name: summary(rows) for name, rows in found.items()}
    verdicts = {way: verdict(report, way) for way in WAYS}
    for name, row in {**report, **verdicts}.items():
        print(name, row)
    print(f"{time.perf_counter() - began:.0f} s")
    RESULTS.write_text(json.dumps({"sets": report, "verdicts": verdicts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
