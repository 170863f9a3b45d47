"""Score a recipe on the development sets, raw and preprocessed.

    python training/evaluate.py --data FOLDER --sets dsb2018_eval emps_particles \
        --recipe fluorescence-nuclei --set generator.points_per_side=24

Prints one row an image and set: average precision at IoU 0.5 as `graysam score` counts it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from data import HELD_OUT

from napari_graysam import Recipe, read_image, read_labels, score, segment

SETS = (
    "dsb2018_eval",
    "emps_particles",
    "usiigaci_phase",
    "ampis_powder",
    "vnc_em_neurites",
    "plantseg_membrane",
    "axon_sem_eval",
    "superalloy_eval",
    "granular_eval",
    "mushrooms_eval",
    "fly_embryos_eval",
)
PARTLY_TRAINED = ("usiigaci_phase", "ampis_powder", "plantseg_membrane")


def images_of(root: Path, name: str) -> list[Path]:
    """List the images of a set that training has not seen."""
    paths = sorted((root / name / "images").iterdir())
    return [p for p in paths if name not in PARTLY_TRAINED or p.stem in HELD_OUT]


def read_recipe(name: str, values: list[str]) -> Recipe:
    """Return a preset or a recipe file, with ``key=value`` changes."""
    is_file = Path(name).suffix in (".yaml", ".json")
    recipe = Recipe.from_file(name) if is_file else Recipe.preset(name)
    return recipe.with_values(dict(value.split("=", 1) for value in values))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--recipe", default="raw", help="preset or file")
    parser.add_argument("--set", action="append", default=[], dest="values")
    parser.add_argument("--every", type=int, default=1, help="only every N-th image of a set")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--quiet", action="store_true", help="only the rows of the sets")
    options = parser.parse_args()
    recipe = read_recipe(options.recipe, options.values)
    report = {}
    for name in options.sets:
        rows = []
        for path in images_of(options.data, name)[:: options.every]:
            truth = read_labels(options.data / name / "labels" / f"{path.stem}.tif")
            gray = read_image(path, recipe.image)
            row = {"image": path.stem}
            for arm, of_arm in (("raw", recipe.raw_arm()), ("preprocessed", recipe)):
                if arm == "preprocessed" and of_arm == recipe.raw_arm():
                    continue
                began = time.perf_counter()
                found = score(segment(gray, of_arm).labels, truth)
                row |= {
                    arm: round(found.average_precision[0], 4),
                    f"{arm}_found": found.n_predicted,
                    f"{arm}_seconds": round(time.perf_counter() - began, 2),
                }
            row["objects"] = found.n_true
            rows.append(row)
            if not options.quiet:
                print(name, row, flush=True)
        arms = [arm for arm in ("raw", "preprocessed") if arm in rows[0]]
        means = {arm: round(float(np.mean([row[arm] for row in rows])), 4) for arm in arms}
        seconds = {
            arm: round(float(np.mean([r[f"{arm}_seconds"] for r in rows])), 2) for arm in arms
        }
        report[name] = {"ap50": means, "seconds": seconds, "images": rows}
        print(f"{name}: AP50 {means}, seconds an image {seconds}, {len(rows)} images", flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
