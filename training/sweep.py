"""Find thresholds for the bundled model: the model runs once an image, thresholds many times.

    python training/sweep.py --data FOLDER --sets dsb2018_eval --every 3 --recipe raw \
        --set model.frame_scale=1.5 --reduced

Prints for each set the mean average precision at IoU 0.5 of the best combinations, and the
table of predicted IoU against stability; `--out` keeps all of it as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from contrast import reduce_contrast
from evaluate import SETS, images_of, read_recipe

from napari_graysam import Recipe, read_image, read_labels
from napari_graysam.source.gray import GrayImage, to_gray
from napari_graysam.tune import Truth, tune

GRID = {
    "suppression": (("containment", 0.3), ("containment", 0.45), ("containment", 0.6)),
    "generator.pred_iou_thresh": (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75),
    "generator.stability_score_thresh": (0.0, 0.2, 0.3, 0.4, 0.5, 0.6),
}


def image_and_truth(
    root: Path, name: str, path: Path, recipe: Recipe, reduced: bool
) -> tuple[GrayImage, Truth]:
    """Return an image of a set, its contrast reduced where asked, and its labels."""
    gray = read_image(path, recipe.image)
    if reduced:
        gray = to_gray(reduce_contrast(gray.pixels, path.stem))
    return gray, Truth(read_labels(root / name / "labels" / f"{path.stem}.tif"))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--recipe", default="raw")
    parser.add_argument("--set", action="append", default=[], dest="values")
    parser.add_argument("--reduced", action="store_true", help="copies with little contrast")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--most", type=int, default=4, help="combinations to print for each set")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    recipe = read_recipe(options.recipe, options.values)
    report = {}
    for name in options.sets:
        began = time.perf_counter()
        scores, values = [], []
        for path in images_of(options.data, name)[:: options.every]:
            image, truth = image_and_truth(options.data, name, path, recipe, options.reduced)
            found = tune([image], [truth], recipe, grid=GRID)
            scores.append(found.scores[:, 0].tolist())
            values = found.values
        means = np.mean(scores, axis=0)
        seconds = (time.perf_counter() - began) / len(scores)
        print(f"{name}: {len(scores)} images, {seconds:.1f} s each")
        for index in np.argsort(-means, kind="stable")[: options.most]:
            print(f"  {means[index]:.3f}  {values[index]}", flush=True)
        report[name] = {"values": values, "scores": scores}
        if options.out:
            options.out.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
