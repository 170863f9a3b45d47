"""The adaptive grid against the full one: objects, average precision, points and seconds.

Samples with their presets and raw and, with ``--data``, some images of every development set;
the bundled model in fast arithmetic. An object of the full grid is matched if the adaptive
grid's result holds a mask of at least that intersection over union with it.

    python benchmarks/adaptive.py --data FOLDER
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
RESULTS = Path(__file__).parent / "results" / "adaptive.json"
EVERY = {"dsb2018_eval": 8, "emps_particles": 5, "vnc_em_neurites": 2}


def pictures(data: Path | None) -> Iterator[tuple[str, str, Any, Any, Any]]:
    """Yield set, name, image, ground truth and recipe."""
    from napari_graysam import Recipe, read_image, read_labels
    from napari_graysam.samples import samples

    flat = {name: sample for name, sample in samples().items() if sample.axis is None}
    for name, sample in flat.items():
        yield "samples", name, sample.load(), sample.truth(), Recipe.preset(sample.preset)
    if data is not None:
        sys.path.insert(0, str(ROOT / "training"))
        from evaluate import SETS, images_of

        raw = Recipe.preset("raw")
        for folder in SETS:
            for path in images_of(data, folder)[:: EVERY.get(folder, 1)]:
                truth = read_labels(data / folder / "labels" / f"{path.stem}.tif")
                yield folder, path.stem, read_image(path, raw.image), truth, raw
    for name, sample in flat.items():
        yield "samples, raw", name, sample.load(), sample.truth(), Recipe.preset("raw")


def overlaps(some: Any, others: Any) -> Any:
    """Return the intersection over union of masks, float (S, O)."""
    found = np.zeros((len(some), len(others)))
    for i, one in enumerate(some):
        for j, other in enumerate(others):
            x0, y0 = np.maximum(one.box[:2], other.box[:2])
            x1, y1 = np.minimum(one.box[2:], other.box[2:])
            if x1 > x0 and y1 > y0:
                ours = one.bits[
                    y0 - one.box[1] : y1 - one.box[1], x0 - one.box[0] : x1 - one.box[0]
                ]
                theirs = other.bits[
                    y0 - other.box[1] : y1 - other.box[1], x0 - other.box[0] : x1 - other.box[0]
                ]
                shared = np.count_nonzero(ours & theirs)
                found[i, j] = shared / (one.area + other.area - shared)
    return found


def measure(image: Any, truth: Any, recipe: Any) -> dict[str, Any]:
    """Segment with both grids."""
    from napari_graysam import score, segment

    arms: dict[str, Any] = {}
    row: dict[str, Any] = {}
    for grid in ("full", "adaptive"):
        changes = {"generator.grid": grid, "model.arithmetic": "fast"}
        began = time.perf_counter()
        arms[grid] = found = segment(image, recipe.with_values(changes))
        row[f"{grid}_total_seconds"] = round(time.perf_counter() - began, 3)
        row[f"{grid}_model_seconds"] = round(found.provenance["seconds"]["propose"], 3)
        row[f"{grid}_points"] = found.provenance["proposals"]["points"]
        if truth is not None:
            row[f"{grid}_ap50"] = round(score(found.labels, truth).average_precision[0], 4)
    full, adaptive = arms["full"].masks, arms["adaptive"].masks
    shared = overlaps(full, adaptive)
    best = shared.max(1, initial=0)
    row["objects"] = len(full)
    row |= {f"matched_{level}": int((best >= level).sum()) for level in (0.5, 0.75, 0.9)}
    row["extra"] = int((shared.max(0, initial=0) < 0.5).sum())
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up the rows of a set."""

    def total(name: str) -> float:
        return float(sum(row[name] for row in rows))

    scored = [row for row in rows if "full_ap50" in row]
    objects = max(1.0, total("objects"))
    return {
        "images": len(rows),
        "objects": int(total("objects")),
        **{f"matched_{x}": round(total(f"matched_{x}") / objects, 4) for x in (0.9, 0.75, 0.5)},
        "extra": int(total("extra")),
        "share_of_points": round(total("adaptive_points") / total("full_points"), 4),
        "share_of_model_seconds": round(
            total("adaptive_model_seconds") / total("full_model_seconds"), 4
        ),
        **{
            f"ap50_{grid}": round(float(np.mean([row[f"{grid}_ap50"] for row in scored])), 4)
            for grid in ("full", "adaptive")
            if scored
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the development sets")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60.0, help="no new image after this")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    end = time.monotonic() + 60 * arguments.minutes
    sets: dict[str, list[dict[str, Any]]] = {}
    for name, image_name, image, truth, recipe in pictures(arguments.data):
        if time.monotonic() > end:
            print("time is up: the other images are left out", file=sys.stderr)
            break
        row = {"image": image_name, **measure(image, truth, recipe)}
        sets.setdefault(name, []).append(row)
        print(name, row, file=sys.stderr, flush=True)
    report = {name: {**summary(rows), "rows": rows} for name, rows in sets.items()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"threads": arguments.threads, "sets": report}, indent=1) + "\n")
    for name in sets:
        print(name, summary(sets[name]))


if __name__ == "__main__":
    main()
