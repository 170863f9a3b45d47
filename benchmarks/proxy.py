"""Whether thresholds can be tuned without ground truth: do proxies for quality follow it?

Two proxies, each the average precision at IoU 0.5 of one result against another of the same
thresholds: agreement of the raw and the preprocessed arm, and stability, the agreement with the
image at other contrast, shifted by a few pixels. For every image, the rank correlation
(Spearman) of proxy and true score over a grid of thresholds; and what taking the setting with
the best proxy gains or loses against the preset.

    python benchmarks/proxy.py --data FOLDER --images 2
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "proxy.json"
SHIFT = 5
IOU = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
STABILITY = (0.0, 0.3, 0.6)
AREA = (0, 50)


def agreement(one: Any, other: Any) -> float:
    """Return the average precision at IoU 0.5 between two label images; 0 where one is empty."""
    from napari_graysam import score

    if not one.any() or not other.any():
        return 0.0
    return score(one, other).average_precision[0]


def measure(gray: Any, truth: Any) -> dict[str, Any]:
    """Return correlations and scores of one image."""
    from napari_graysam import Recipe, run, score
    from napari_graysam.pipeline import live_steps, retune
    from napari_graysam.source.gray import to_gray

    recipe = Recipe.preset("raw")
    enhanced = Recipe.preset("low-contrast").replace(
        generator=recipe.generator, labels=recipe.labels, model=recipe.model
    )
    moved = np.pad(gray.pixels, ((SHIFT, 0), (SHIFT, 0)), mode="reflect")
    moved = to_gray(np.round((0.1 + 0.7 * moved**1.2) * 60000).astype(np.uint16))
    lives = {
        "plain": run(live_steps(gray, recipe)),
        "arms": run(live_steps(gray, enhanced)),
        "stability": run(live_steps(moved, recipe)),
    }
    rows: dict[str, list[float]] = {"truth": [], "arms": [], "stability": []}
    preset = score(lives["plain"].result.labels, truth).average_precision[0]
    for iou, stability, area in product(IOU, STABILITY, AREA):
        values = {
            "generator.pred_iou_thresh": iou,
            "generator.stability_score_thresh": stability,
            "labels.min_area": area,
        }
        found = {
            name: retune(live, live.result.recipe.with_values(values)).labels
            for name, live in lives.items()
        }
        rows["truth"].append(score(found["plain"], truth).average_precision[0])
        rows["arms"].append(agreement(found["plain"], found["arms"]))
        rows["stability"].append(agreement(found["plain"], found["stability"][SHIFT:, SHIFT:]))
    true = np.array(rows["truth"])
    report: dict[str, Any] = {"preset": preset, "best": float(true.max())}
    for name in ("arms", "stability"):
        proxy = np.array(rows[name])
        flat = np.ptp(proxy) == 0 or np.ptp(true) == 0
        report[name] = {
            "correlation": 0.0 if flat else float(spearmanr(proxy, true).statistic),
            "chosen": float(true[int(proxy.argmax())]),
        }
    return report


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the means of some images."""

    def mean(values: list[float]) -> float:
        return round(float(np.mean(values)), 3)

    found: dict[str, Any] = {"images": len(rows)}
    found |= {key: mean([row[key] for row in rows]) for key in ("preset", "best")}
    for name in ("arms", "stability"):
        for key in ("correlation", "chosen"):
            found[f"{name}_{key}"] = mean([row[name][key] for row in rows])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=2, help="of each set, at most")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "training"))
    from evaluate import SETS, images_of

    from napari_graysam import Recipe, read_image, read_labels

    report, every = {}, []
    for name in SETS:
        paths = images_of(options.data, name)
        rows = []
        for path in paths[:: -(-len(paths) // options.images)]:
            gray = read_image(path, Recipe().image)
            truth = read_labels(options.data / name / "labels" / f"{path.stem}.tif")
            rows.append(measure(gray, truth))
        report[name] = summary(rows)
        every += rows
        print(name, report[name], flush=True)
    report["all"] = summary(every)
    print("all", report["all"])
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
