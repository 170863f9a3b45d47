"""What refinement gains and costs: mean AP from IoU 0.5 to 0.95, and time, on each set.

Development images at full contrast, recipe ``raw``, refinement off and on by turns.

    python benchmarks/refine.py --data FOLDER --images 4
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "refine.json"


def measure(gray: Any, truth: Any) -> dict[str, Any]:
    """Segment without and with refinement."""
    from napari_graysam import Recipe, score, segment

    row: dict[str, Any] = {}
    for name, on in (("off", False), ("on", True)):
        found = segment(gray, Recipe.preset("raw").with_values({"refine": on}))
        precision = score(found.labels, truth).average_precision
        row[name] = {
            "ap50": precision[0],
            "ap": float(np.mean(precision)),
            "seconds": sum(found.provenance["seconds"].values()),
        }
    row["objects"] = found.provenance["refinement"]
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the means of a set."""

    def mean(name: str, key: str) -> float:
        return round(float(np.mean([row[name][key] for row in rows])), 4)

    found = {f"{key}_{name}": mean(name, key) for key in ("ap50", "ap") for name in ("off", "on")}
    times = [sum(row[name]["seconds"] for row in rows) for name in ("off", "on")]
    counts = {key: sum(row["objects"][key] for row in rows) for key in ("asked", "redrawn")}
    return {"images": len(rows), **found, "times": round(times[1] / times[0], 2), **counts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=4, help="of each set, at most")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "training"))
    from evaluate import SETS, images_of

    from napari_graysam import Recipe, read_image, read_labels, segment

    segment(np.eye(64))  # Loads the model.
    report = {}
    for name in SETS:
        paths = images_of(options.data, name)
        rows = []
        for path in paths[:: -(-len(paths) // options.images)]:
            gray = read_image(path, Recipe().image)
            truth = read_labels(options.data / name / "labels" / f"{path.stem}.tif")
            rows.append(measure(gray, truth))
        report[name] = summary(rows)
        print(name, report[name], flush=True)
    better = sum(row["ap_on"] > row["ap_off"] for row in report.values())
    print(f"higher on {better} of {len(report)} sets")
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
