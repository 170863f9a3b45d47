"""What a second look finds: objects gained, new masks that are right, AP and time.

Development images at full and at reduced contrast (`training/contrast.py`) and the sample
``faint``, recipe ``raw``. An object of the ground truth is found if a mask has at least half of
their union in common with it.

    python benchmarks/second_look.py --data FOLDER
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
RESULTS = Path(__file__).parent / "results" / "second_look.json"
EVERY = {"dsb2018_eval": 4, "emps_particles": 2}


def pictures(data: Path) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield set, name, gray image and ground truth."""
    sys.path.insert(0, str(ROOT / "training"))
    from contrast import reduce_contrast
    from evaluate import SETS, images_of

    from napari_graysam import Recipe, read_image, read_labels
    from napari_graysam.samples import samples
    from napari_graysam.source.gray import to_gray

    faint = samples()["faint"]
    yield "faint (sample)", "faint", to_gray(faint.load()), faint.truth()
    for name in SETS:
        for path in images_of(data, name)[:: EVERY.get(name, 1)]:
            truth = read_labels(data / name / "labels" / f"{path.stem}.tif")
            gray = read_image(path, Recipe().image)
            yield name, path.stem, gray, truth
            reduced = to_gray(reduce_contrast(gray.pixels, path.stem))
            yield f"{name}, reduced", path.stem, reduced, truth


def measure(gray: Any, truth: Any, rounds: list[int]) -> dict[str, Any]:
    """Segment with none and with some rounds."""
    from napari_graysam import Recipe, score, segment

    raw = Recipe.preset("raw")
    row: dict[str, Any] = {}
    for count in (0, *rounds):
        began = time.perf_counter()
        found = segment(gray, raw.with_values({"second_look.rounds": count}))
        seconds = time.perf_counter() - began
        scores = score(found.labels, truth)
        row[str(count)] = {
            "seconds": round(seconds, 3),
            "ap50": scores.average_precision[0],
            "found": scores.n_matched,
            "masks": scores.n_predicted,
            "objects": scores.n_true,
        }
    return row


def summary(rows: list[dict[str, Any]], rounds: int) -> dict[str, float]:
    """Return what some rounds gained over all images of a set."""
    before, after = ([row[key] for row in rows] for key in ("0", str(rounds)))

    def total(values: list[dict[str, Any]], key: str) -> float:
        return float(sum(one[key] for one in values))

    new = total(after, "masks") - total(before, "masks")
    gained = total(after, "found") - total(before, "found")
    missed = total(before, "objects") - total(before, "found")
    return {
        "images": len(rows),
        "missed_at_first": missed,
        "gained": gained,
        "share_of_missed": round(gained / missed, 3) if missed else 0.0,
        "precision_of_new": round(gained / new, 3) if new else 1.0,
        "ap50_before": round(float(np.mean([one["ap50"] for one in before])), 4),
        "ap50_after": round(float(np.mean([one["ap50"] for one in after])), 4),
        "times": round(total(after, "seconds") / total(before, "seconds"), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    for name, _, gray, truth in pictures(options.data):
        found.setdefault(name, []).append(measure(gray, truth, options.rounds))
    report = {
        str(rounds): {name: summary(rows, rounds) for name, rows in found.items()}
        for rounds in options.rounds
    }
    for rounds, sets in report.items():
        every = [row for rows in found.values() for row in rows]
        sets["all"] = summary(every, int(rounds))
        for name, row in sets.items():
            print(rounds, name, row)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
