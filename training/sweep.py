"""Find thresholds for the bundled model: the model runs once an image, thresholds many times.

    python training/sweep.py --data FOLDER --sets dsb2018_eval --every 3 --recipe raw \
        --set generator.points_per_side=32

Prints a Markdown table of the mean average precision at IoU 0.5, best combinations first.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from evaluate import SETS, images_of, read_recipe

from napari_graysam import load_model, read_image, read_labels, run, score
from napari_graysam.masks import paint
from napari_graysam.parameters import Part
from napari_graysam.preprocess import apply
from napari_graysam.preprocess.rgb import to_rgb
from napari_graysam.propose import propose
from napari_graysam.select.selector import Selector

GRID: dict[str, tuple[object, ...]] = {
    "generator.pred_iou_thresh": (0.3, 0.4, 0.5, 0.6, 0.7),
    "generator.stability_score_thresh": (0.0, 0.3),
    "labels.suppression_thresh": (0.3, 0.45, 0.6),
}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--recipe", default="raw")
    parser.add_argument("--set", action="append", default=[], dest="values")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--most", type=int, default=15, help="rows to print")
    options = parser.parse_args()
    recipe = read_recipe(options.recipe, options.values)
    model = load_model(recipe.model)
    combinations = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    recipes: list[Part] = [recipe.with_values(values) for values in combinations]
    totals = {name: np.zeros(len(recipes)) for name in options.sets}
    for name in options.sets:
        paths = images_of(options.data, name)[:: options.every]
        for path in paths:
            truth = read_labels(options.data / name / "labels" / f"{path.stem}.tif")
            gray = read_image(path, recipe.image)
            view = to_rgb(apply(gray.pixels, recipe.preprocess), recipe.rgb)
            steps = propose(view, model, recipe.generator, iou_floor=0.15, stability_floor=0.0)
            selector = Selector(run(steps))
            for index, one in enumerate(recipes):
                masks = selector.select(one.generator, one.labels)
                labels = paint(masks, truth.shape, one.labels.overlap)
                totals[name][index] += score(labels, truth).average_precision[0] / len(paths)
    mean = np.mean(list(totals.values()), axis=0)
    columns = [*(path.rpartition(".")[2] for path in GRID), *totals, "mean"]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for index in np.argsort(-mean)[: options.most]:
        scores = [f"{total[index]:.3f}" for total in (*totals.values(), mean)]
        cells = [*map(str, combinations[index].values()), *scores]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
