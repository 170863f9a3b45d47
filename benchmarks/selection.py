"""Time of selecting again while a slider moves, against a selector that remembers nothing.

Synthetic candidates in threes (a part, an object, a group) around many points, as a run leaves
them, with logits of 256 by 256. A setting takes eight values it never had before, as a moving
slider does; each time is that of the selection and of painting the label image.

    python benchmarks/selection.py
    python benchmarks/selection.py --sizes 1024 --counts 3000
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import torch
from preprocess import processor

from napari_graysam.masks import paint
from napari_graysam.progress import run
from napari_graysam.recipe import Recipe
from napari_graysam.select import select
from napari_graysam.select.selector import Selector

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from synthetic import blobs

RESULTS = Path(__file__).parent / "results" / "select.json"
SETTINGS: dict[str, tuple[dict[str, Any], str, list[Any]]] = {
    "box": ({}, "generator.pred_iou_thresh", [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.1]),
    "mask_iou": (
        {"labels.suppression": "mask_iou"},
        "generator.pred_iou_thresh",
        [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.1],
    ),
    "containment": (
        {"labels.suppression": "containment"},
        "generator.pred_iou_thresh",
        [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.1],
    ),
    "box overlap": ({}, "generator.box_nms_thresh", [0.65, 0.6, 0.5, 0.4, 0.75, 0.8, 0.85, 0.9]),
    "nothing dropped": (
        {"generator.box_nms_thresh": 1.0, "generator.pred_iou_thresh": 0.0},
        "generator.stability_score_thresh",
        [0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0],
    ),
    "min_area": ({}, "labels.min_area", [50, 100, 150, 200, 300, 400, 600, 800]),
    "fill_holes 0": ({"labels.fill_holes": 0}, "labels.level", ["whole", "parts", "all"]),
    "disjoint": ({"labels.overlap": "disjoint"}, "labels.min_area", [50, 100, 150, 200]),
}
LOOSE = {"generator.pred_iou_thresh": 0.5, "generator.stability_score_thresh": 0.5}


def milliseconds(function: Callable[[], Any]) -> float:
    """Return the time of one run by the clock."""
    start = time.perf_counter()
    function()
    return round((time.perf_counter() - start) * 1000, 2)


def recipes(setting: str) -> Iterator[Recipe]:
    """Yield the recipe that a slider starts from, then those that it goes through."""
    common, path, values = SETTINGS[setting]
    first = Recipe().with_values({**LOOSE, **common})
    yield first
    for value in values:
        yield first.with_values({path: value})


def measure(count: int, size: int, plainly: int) -> dict[str, Any]:
    """Measure one number of candidates at one size."""
    proposals = blobs(count, (size, size), side=256, background=60)
    selector = Selector(proposals)

    def again(recipe: Recipe) -> int:
        masks = selector.select(recipe.generator, recipe.labels)
        paint(masks, proposals.image_size, recipe.labels.overlap)
        return len(masks)

    def plain(recipe: Recipe) -> None:
        masks = select(proposals, recipe.generator, recipe.labels)
        paint(masks, proposals.image_size, recipe.labels.overlap)

    base = Recipe().with_values(LOOSE)
    result: dict[str, Any] = {
        "first": milliseconds(lambda: again(base)),
        "prepare": milliseconds(lambda: run(selector.prepare(base.generator, base.labels))),
        "settings": {},
    }
    for name in SETTINGS:
        first, *moved = recipes(name)
        run(selector.prepare(first.generator, first.labels))
        begun = milliseconds(lambda recipe=first: again(recipe))
        times = sorted(milliseconds(lambda recipe=recipe: again(recipe)) for recipe in moved)
        result["settings"][name] = {
            "begun": begun,
            "median": times[len(times) // 2],
            "worst": times[-1],
            "objects": again(moved[-1]),
        }
    x = y = size // 2
    find = milliseconds(lambda: selector.explain(x, y, base.generator, base.labels))
    again(base)
    result["why is this unmasked"] = [
        find,
        milliseconds(lambda: selector.explain(x, y, base.generator, base.labels)),
    ]
    result["remembered_mb"] = round(selector.nbytes / 1e6, 1)
    if count * size**2 <= plainly:
        result["without memory"] = milliseconds(lambda: plain(base))
        result["times faster"] = round(
            result["without memory"] / result["settings"]["box"]["median"], 1
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100, 1000, 3000])
    parser.add_argument(
        "--plainly",
        type=float,
        default=1e11,
        help="compare with selecting without memory up to this many candidates times pixels",
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    cv2.setNumThreads(1)
    found: dict[str, Any] = {}
    print(f"milliseconds on {processor()}: median / worst of new values")
    for size in arguments.sizes:
        for count in arguments.counts:
            result = measure(count, size, int(arguments.plainly))
            found[f"{count} candidates, {size}²"] = result
            print(f"\n{count} candidates, {size}²")
            for name, value in result.items():
                if name != "settings":
                    print(f"  {name:24} {value}")
            for name, times in result["settings"].items():
                print(
                    f"  {name:24} {times['median']:9.1f} / {times['worst']:9.1f}"
                    f"   first {times['begun']:9.1f}   {times['objects']} objects"
                )
    document = {
        "processor": processor(),
        "threads": {"torch": 2, "others": 1},
        "unit": "ms by the clock",
        "measured": found,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
