"""What merging and splitting do to panoptic quality, where there is need for it and at the preset.

Images of the development sets, recipe ``raw``. Per image the predicted-IoU threshold is lowered
until a fifth of the true objects is in pieces: at least two objects of the result, each with 0.8
or more of itself inside the true one and 0.05 of it or more, cover half of it together. Not
every image gets there; what the others give at the lowest threshold is in the results too. Once
with the preset's removal of duplicates, which hides most pieces, and once with mask IoU 0.5.

The weights of the evidence come from images with an even number in their set; "held out" are
the odd ones. Each case is measured without the model being asked (``labels.merging.ask``) and,
under ``pq_asked``, with.

Splitting is measured the other way round, in the first two images of each set: only masks that
lie in no other one are kept (``labels.level: whole``, duplicates by mask IoU 0.5), and the
threshold is lowered until a fifth of the true objects is joined with another one: half of both or
more lies in one object of the result.

    python benchmarks/merging.py --data FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "merging.json"
EVERY = {"dsb2018_eval": 5}
MOST = 6
THRESHOLDS = (0.5, 0.45, 0.4, 0.35, 0.3, 0.2, 0.1, 0.0)
IN_PIECES = JOINED = 0.2
WAYS: dict[str, dict[str, Any]] = {
    "preset": {},
    "mask IoU": {"labels.suppression": "mask_iou", "labels.suppression_thresh": 0.5},
}
WHOLES: dict[str, Any] = {**WAYS["mask IoU"], "labels.level": "whole"}
SPLIT = 2
"""Images of each set in which splitting is measured."""


def pictures(data: Path) -> Iterator[tuple[str, int, Any, Any]]:
    """Yield set, number in it, gray image and ground truth."""
    sys.path.insert(0, str(ROOT / "training"))
    from evaluate import SETS, images_of

    from napari_graysam import Recipe, read_image, read_labels

    for name in SETS:
        for number, path in enumerate(images_of(data, name)[:: EVERY.get(name, 1)][:MOST]):
            truth = read_labels(data / name / "labels" / f"{path.stem}.tif")
            yield name, number, read_image(path, Recipe().image), truth


def in_pieces(labels: Any, truth: Any) -> float:
    """Return the fraction of the true objects that are in pieces."""
    from napari_graysam.masks import label_overlaps

    true, _, overlaps = label_overlaps(truth, labels)
    inside = overlaps.pixels >= 0.8 * overlaps.areas_b[overlaps.b]
    inside &= overlaps.pixels >= 0.05 * overlaps.areas_a[overlaps.a]
    of = overlaps.a[inside]
    pieces = np.bincount(of, minlength=len(true))
    covered = np.bincount(of, weights=overlaps.pixels[inside], minlength=len(true))
    return float(np.mean((pieces > 1) & (covered >= 0.5 * overlaps.areas_a)))


def joined(labels: Any, truth: Any) -> float:
    """Return the fraction of the true objects that are joined with another one."""
    from napari_graysam.masks import label_overlaps

    true, found, overlaps = label_overlaps(truth, labels)
    held = overlaps.pixels >= 0.5 * overlaps.areas_a[overlaps.a]
    of = overlaps.b[held]
    together = np.bincount(of, minlength=len(found))[of] > 1
    return float(np.count_nonzero(together) / max(1, len(true)))


class Image:
    """One image with all its candidates, selected from again and again."""

    def __init__(self, gray: Any, truth: Any, merge: float, split: float) -> None:
        from napari_graysam import Recipe, run
        from napari_graysam.pipeline import live_steps
        from napari_graysam.propose.cache import Cache

        self.truth = truth
        self.cache = Cache()
        self.raw = Recipe.preset("raw")
        self.merge = {"labels.merging.merge": merge}
        self.split = {"labels.merging.split": split}
        self.gray = gray
        self.live = run(live_steps(gray, self.raw, cache=self.cache))

    def measure(self) -> dict[str, Any]:
        """Score at the preset and at lowered thresholds, with merging and without."""
        row: dict[str, Any] = {"at preset": self.merged(self.raw)}
        for way, values in WAYS.items():
            threshold, lowered = self.lowered(values, in_pieces, IN_PIECES)
            row[f"lowered, {way}"] = {"threshold": threshold, **self.merged(lowered)}
        return row

    def measure_splitting(self) -> dict[str, Any]:
        """Score at the preset and where objects are joined, with splitting and without."""
        threshold, lowered = self.lowered(WHOLES, joined, JOINED)
        return {
            "splitting at preset": self.parted(self.raw),
            "splitting, lowered wholes": {"threshold": threshold, **self.parted(lowered)},
        }

    def lowered(self, values: dict[str, Any], count: Any, enough: float) -> tuple[float, Any]:
        """Return the highest threshold at which there is enough of something, and the recipe."""
        from napari_graysam.pipeline import retune

        recipe = self.raw.with_values(values)
        for threshold in THRESHOLDS:
            lowered = recipe.with_values({"generator.pred_iou_thresh": threshold})
            if count(retune(self.live, lowered).labels, self.truth) >= enough:
                break
        return threshold, lowered

    def merged(self, recipe: Any) -> dict[str, float]:
        """Score without merging, with it, and with the model asked as well."""
        from napari_graysam import run, score
        from napari_graysam.pipeline import live_steps, retune

        plain, merging = retune(self.live, recipe), recipe.with_values(self.merge)
        merged = retune(self.live, merging)
        steps = live_steps(
            self.gray, merging.with_values({"labels.merging.ask": True}), cache=self.cache
        )
        asked = run(steps).result
        return {
            "in_pieces": in_pieces(plain.labels, self.truth),
            "in_pieces_merged": in_pieces(merged.labels, self.truth),
            "pq": score(plain.labels, self.truth).panoptic_quality,
            "pq_merged": score(merged.labels, self.truth).panoptic_quality,
            "pq_asked": score(asked.labels, self.truth).panoptic_quality,
            "merges": len(merged.regroupings),
            "merges_asked": len(asked.regroupings),
        }

    def parted(self, recipe: Any) -> dict[str, float]:
        """Score without splitting and with it."""
        from napari_graysam import score
        from napari_graysam.pipeline import retune

        plain = retune(self.live, recipe)
        parted = retune(self.live, recipe.with_values(self.split))
        return {
            "joined": joined(plain.labels, self.truth),
            "joined_split": joined(parted.labels, self.truth),
            "pq": score(plain.labels, self.truth).panoptic_quality,
            "pq_split": score(parted.labels, self.truth).panoptic_quality,
            "splits": len(parted.regroupings),
        }


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the means over images, and how many merges or splits there are in all."""
    keys = [key for key in rows[0] if key != "threshold"]
    counts = ("merges", "merges_asked", "splits")
    found: dict[str, float] = {"images": len(rows)}
    for key in keys:
        values = [row[key] for row in rows]
        found[key] = sum(values) if key in counts else round(float(np.mean(values)), 4)
    for key in ("pq_merged", "pq_asked", "pq_split"):
        if key in found:
            found[f"gain{key[2:]}"] = round(found[key] - found["pq"], 4)
    return found


def report(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the means of each case by set, over those with enough to mend, and held out."""
    tables: dict[str, Any] = {}
    for case in next(iter(found.values()))[0]:
        of_case = {name: [row[case] for row in rows if case in row] for name, rows in found.items()}
        every = [row for rows in of_case.values() for row in rows]
        odd = [row for rows in of_case.values() for row in rows[1::2]]
        table = {name: summary(rows) for name, rows in of_case.items()} | {"all": summary(every)}
        if "at preset" in case:
            table["held out"] = summary(odd)
        key, least = ("in_pieces", IN_PIECES) if "in_pieces" in every[0] else ("joined", JOINED)
        for name, rows in (("", every), (", held out", odd)):
            enough = [row for row in rows if row[key] >= least]
            if enough and "lowered" in case:
                table[f"a fifth {key.replace('_', ' ')}{name}"] = summary(enough)
        tables[case] = table
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--merge", type=float, default=0.5)
    parser.add_argument("--split", type=float, default=0.5)
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    for name, number, gray, truth in pictures(options.data):
        image = Image(gray, truth, options.merge, options.split)
        row = image.measure()
        if number < SPLIT:
            row |= image.measure_splitting()
        found.setdefault(name, []).append(row)
    settings = {"merge": options.merge, "split": options.split}
    tables = report(found)
    for case, table in tables.items():
        for name, row in table.items():
            print(case, "|", name, row)
    RESULTS.write_text(json.dumps({**settings, **tables}, indent=1) + "\n")


if __name__ == "__main__":
    main()
