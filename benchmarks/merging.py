"""What merging fragments does to panoptic quality, where objects are in pieces and at the preset.

Images of the development sets, recipe ``raw``. Per image the predicted-IoU threshold is lowered
until a fifth of the true objects is in pieces: at least two objects of the result, each with 0.8
or more of itself inside the true one and 0.05 of it or more, cover half of it together. Not
every image gets there; what the others give at the lowest threshold is in the results too. Once
with the preset's removal of duplicates, which hides most pieces, and once with mask IoU 0.5.

The weights of the evidence come from images with an even number in their set; "held out" are
the odd ones.

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
IN_PIECES = 0.2
WAYS: dict[str, dict[str, Any]] = {
    "preset": {},
    "mask IoU": {"labels.suppression": "mask_iou", "labels.suppression_thresh": 0.5},
}


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


def measure(gray: Any, truth: Any, merge: float) -> dict[str, Any]:
    """Score an image at the preset and at lowered thresholds, with merging and without."""
    from napari_graysam import Recipe, run, score
    from napari_graysam.pipeline import live_steps, retune

    raw = Recipe.preset("raw")
    live = run(live_steps(gray, raw))

    def both(recipe: Recipe) -> dict[str, float]:
        plain = retune(live, recipe)
        merged = retune(live, recipe.with_values({"labels.merging.merge": merge}))
        return {
            "in_pieces": round(in_pieces(plain.labels, truth), 3),
            "in_pieces_merged": round(in_pieces(merged.labels, truth), 3),
            "pq": score(plain.labels, truth).panoptic_quality,
            "pq_merged": score(merged.labels, truth).panoptic_quality,
            "merges": len(merged.regroupings),
        }

    row: dict[str, Any] = {"at preset": both(raw)}
    for way, values in WAYS.items():
        recipe = raw.with_values(values)
        for threshold in THRESHOLDS:
            lowered = recipe.with_values({"generator.pred_iou_thresh": threshold})
            if in_pieces(retune(live, lowered).labels, truth) >= IN_PIECES:
                break
        row[f"lowered, {way}"] = {"threshold": threshold, **both(lowered)}
    return row


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the means over images."""
    keys = ("in_pieces", "in_pieces_merged", "pq", "pq_merged")
    means = {key: round(float(np.mean([row[key] for row in rows])), 4) for key in keys}
    gain = round(means["pq_merged"] - means["pq"], 4)
    return {
        "images": len(rows),
        "merges": sum(row["merges"] for row in rows),
        **means,
        "gain": gain,
    }


def report(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the means of each case by set, over those that are in pieces, and held out."""
    tables: dict[str, Any] = {}
    for case in ("at preset", *(f"lowered, {way}" for way in WAYS)):
        of_case = {name: [row[case] for row in rows] for name, rows in found.items()}
        every = [row for rows in of_case.values() for row in rows]
        odd = [row for rows in of_case.values() for row in rows[1::2]]
        table = {name: summary(rows) for name, rows in of_case.items()} | {"all": summary(every)}
        if case == "at preset":
            table["held out"] = summary(odd)
        for name, rows in (("a fifth in pieces", every), ("a fifth in pieces, held out", odd)):
            pieces = [row for row in rows if row["in_pieces"] >= IN_PIECES]
            if pieces and case != "at preset":
                table[name] = summary(pieces)
        tables[case] = table
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--merge", type=float, default=0.5)
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    for name, _, gray, truth in pictures(options.data):
        found.setdefault(name, []).append(measure(gray, truth, options.merge))
    tables = report(found)
    for case, table in tables.items():
        for name, row in table.items():
            print(case, "|", name, row)
    RESULTS.write_text(json.dumps({"merge": options.merge, **tables}, indent=1) + "\n")


if __name__ == "__main__":
    main()
