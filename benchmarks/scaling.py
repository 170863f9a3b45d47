"""How time and memory grow with the image, the points, the crops and the objects.

The whole pipeline with the bundled model in fast arithmetic, on discs; one process a row.
Where the image or the crops grow, few points are asked; peaks are those of the process above
the loaded model. Rows with synthetic candidates show what selection, painting and the table
take for a number of objects.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --tables size crops
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from generator import image, peak, processor, resident
from memory import tiled

RESULTS = Path(__file__).parent / "results" / "scaling.json"
TABLES: dict[str, list[dict[str, int]]] = {
    "size": [{"size": 2**power, "points": 8} for power in range(8, 14)],
    "points": [{"size": 512, "points": points} for points in (8, 16, 32, 64, 128)],
    "crops": [{"size": 1024, "points": 8, "crops": layers} for layers in range(4)],
    "survivors": [{"size": 1024, "candidates": count} for count in (10, 100, 1000, 3000)],
}


def segmented(row: dict[str, int]) -> dict[str, Any]:
    """Segment an image and return what each stage took."""
    from napari_graysam import Recipe
    from napari_graysam.pipeline import segment_steps
    from napari_graysam.profile import Profile
    from napari_graysam.progress import run

    model = {"model.name": "graysam-small", "model.device": "cpu", "model.arithmetic": "fast"}
    grid = {
        "generator.points_per_side": row["points"],
        "generator.crop_n_layers": row.get("crops", 0),
        "generator.pred_iou_thresh": 0.3,
        "generator.stability_score_thresh": 0.5,
    }
    recipe = Recipe().with_values({**model, **grid})
    gray = tiled(row["size"])[..., 0].copy()
    # Modules are imported and the model is loaded before.
    run(segment_steps(image(64)[..., 0], recipe.with_values({"generator.points_per_side": 1})))
    before = resident()
    start = time.perf_counter()
    with Profile() as profile:
        result = run(profile.follow(segment_steps(gray, recipe)))
    return {
        "seconds": time.perf_counter() - start,
        "peak": peak() - before,
        "objects": len(result.masks),
        "stages": {
            cost.stage: {"seconds": cost.seconds, "peak": max(0, cost.peak - before)}
            for cost in profile.stages.values()
        },
    }


def chosen(row: dict[str, int]) -> dict[str, Any]:
    """Select, paint and describe synthetic candidates, nothing of them dropped as a duplicate."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from synthetic import blobs

    from napari_graysam.masks import paint
    from napari_graysam.recipe import Recipe
    from napari_graysam.select import object_table, select

    everything = {
        "generator.pred_iou_thresh": 0.0,
        "generator.stability_score_thresh": 0.0,
        "generator.box_nms_thresh": 1.0,
    }
    recipe = Recipe().with_values(everything)
    proposals = blobs(row["candidates"], (row["size"],) * 2, side=256)
    before = resident()
    stages = {}

    def timed(stage: str, start: float) -> None:
        stages[stage] = {"seconds": time.perf_counter() - start, "peak": peak() - before}

    start = time.perf_counter()
    masks = select(proposals, recipe.generator, recipe.labels)
    timed("select", start)
    start = time.perf_counter()
    labels = paint(masks, proposals.image_size, recipe.labels.overlap)
    timed("paint", start)
    start = time.perf_counter()
    object_table(masks, labels, image(row["size"])[..., 0] / 255)
    timed("table", start)
    return {
        "seconds": sum(stage["seconds"] for stage in stages.values()),
        "peak": peak() - before,
        "objects": len(masks),
        "stages": stages,
    }


def alone(row: dict[str, int], threads: int) -> dict[str, Any]:
    """Measure one row in a process of its own."""
    command = [sys.executable, __file__, "--row", json.dumps(row), "--threads", str(threads)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def lines(name: str, rows: Iterable[dict[str, Any]]) -> list[str]:
    """Format a table: a line a row, seconds and peak megabytes of each stage."""
    rows = list(rows)
    stages = list(dict.fromkeys(stage for row in rows for stage in row["stages"]))
    found = [f"\n{name:12}{'seconds':>9}{'peak MB':>9}{'objects':>9}   {'   '.join(stages)}"]
    for row in rows:
        settings = " ".join(str(value) for value in row["row"].values())
        costs = "   ".join(
            f"{row['stages'][stage]['seconds']:.2f} s {row['stages'][stage]['peak'] / 1e6:.0f} MB"
            if stage in row["stages"]
            else "-"
            for stage in stages
        )
        head = f"{settings:12}{row['seconds']:9.2f}{row['peak'] / 1e6:9.0f}{row['objects']:9}"
        found.append(f"{head}   {costs}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        import torch

        torch.set_num_threads(arguments.threads)
        measure = chosen if "candidates" in arguments.row else segmented
        print(json.dumps(measure(arguments.row)))
        return
    # Tables that are not measured again keep what was found before.
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found |= {"processor": processor(), "threads": arguments.threads, "model": "graysam-small"}
    for name in arguments.tables:
        rows = [{"row": row, **alone(row, arguments.threads)} for row in TABLES[name]]
        found[name] = rows
        print("\n".join(lines(name, rows)), flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
