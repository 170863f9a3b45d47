"""Score the shipped weights on every development set, and write the table of the model card.

    python training/table.py --data FOLDER

Each set at full and at reduced contrast (`contrast.py`), by the preset `raw`, by both arms of the
preset for its modality, which differ in the preprocessing alone. Average precision at IoU 0.5
and its mean over 0.5 to 0.95, as `graysam score` counts it, mean over the images that training
has not seen. Writes `scores.json` beside this file, the table into the model card, and overlays
of the best, median and worst image of every set where asked for. Sets that are not asked for
keep their former scores.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
from contrast import reduce_contrast
from evaluate import SETS, images_of

from napari_graysam import Recipe, Segmentation, read_image, read_labels, score, segment
from napari_graysam.files import write_overlay
from napari_graysam.source.gray import to_gray

HERE = Path(__file__).parent
SCORES = HERE / "scores.json"
CARD = HERE.parent / "src/napari_graysam/model/bundled/MODEL_CARD.md"
RAW_ARM = "raw arm"
Scored = dict[str, dict[str, list[tuple[float, float]]]]
"""By contrast and preset, AP at IoU 0.5 and mean AP of each image."""
MARKS = "<!-- scores -->", "<!-- end of scores -->"
PRESETS = {
    "dsb2018_eval": "fluorescence-nuclei",
    "emps_particles": "particles",
    "usiigaci_phase": "phase-contrast",
    "ampis_powder": "particles",
    "vnc_em_neurites": "electron-microscopy",
    "plantseg_membrane": "membranes",
    "axon_sem_eval": "electron-microscopy",
    "superalloy_eval": "electron-microscopy",
    "granular_eval": "particles",
    "mushrooms_eval": "particles",
    "fly_embryos_eval": "particles",
}


def score_set(root: Path, name: str, options: argparse.Namespace) -> Scored:
    """Return both scores of every image, by contrast and preset."""
    found: Scored = {"full": {}, "reduced": {}}
    own = Recipe.preset(PRESETS[name])
    recipes = {
        "raw": Recipe.preset("raw"),
        RAW_ARM: own.raw_arm(),
        PRESETS[name]: own,
    }
    seen: list[tuple[float, Segmentation]] = []
    for path in images_of(root, name)[:: options.every]:
        truth = read_labels(root / name / "labels" / f"{path.stem}.tif")
        full = read_image(path, Recipe().image)
        images = {"full": full, "reduced": to_gray(reduce_contrast(full.pixels, path.stem))}
        for contrast, image in images.items():
            for preset, recipe in recipes.items():
                result = segment(image, recipe.with_values(options.values))
                scores = score(result.labels, truth)
                pair = (scores.average_precision[0], scores.mean_average_precision)
                found[contrast].setdefault(preset, []).append(pair)
                if contrast == "full" and preset == options.overlay_preset:
                    seen.append((pair[0], result))
        last = {c: {p: round(v[-1][0], 3) for p, v in f.items()} for c, f in found.items()}
        print(name, path.stem, last, flush=True)
    if options.overlays and seen:
        seen.sort(key=lambda one: one[0])
        for rank, index in (("worst", 0), ("median", len(seen) // 2), ("best", -1)):
            value, result = seen[index]
            target = options.overlays / f"{name}.{rank}.{value:.2f}.png"
            write_overlay(target, result.view, result.labels)
    return found


def rows(report: dict[str, Scored]) -> str:
    """Return the report as a Markdown table."""
    head = (
        "| set | images | contrast | preset `raw` | preset for the modality: raw arm "
        "| preprocessed arm |"
    )
    lines = [head, "| --- | --- | --- | --- | --- | --- |"]
    for name, contrasts in report.items():
        own = PRESETS[name]
        for contrast, presets in contrasts.items():
            cells = []
            for preset in ("raw", RAW_ARM, own):
                half, mean = np.mean(presets[preset], axis=0)
                cells.append(f"{half:.3f} / {mean:.3f}")
            count = len(presets["raw"])
            lines.append(f"| {name} | {count} | {contrast} | {' | '.join(cells)} ({own}) |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--every", type=int, default=1, help="only every N-th image of a set")
    parser.add_argument("--set", action="append", default=[], dest="values")
    parser.add_argument("--overlays", type=Path, help="folder for pictures to look at")
    parser.add_argument("--overlay-preset", default="raw")
    parser.add_argument("--dry", action="store_true", help="print the table, write nothing")
    options = parser.parse_args()
    options.values = dict(value.split("=", 1) for value in options.values)
    report: dict[str, Scored] = {}
    for name in options.sets:
        found = score_set(options.data, name, options)
        if not options.dry and SCORES.exists():
            # Read again: another run may have scored other sets meanwhile.
            report = json.loads(SCORES.read_text())
        report[name] = found
        if not options.dry:
            write(report)
    print(rows(report))


def write(report: dict[str, Scored]) -> None:
    """Keep the scores, and put their table into the model card."""
    SCORES.write_text(json.dumps(report, indent=1) + "\n")
    start, end = (re.escape(mark) for mark in MARKS)
    filled = f"{MARKS[0]}\n{rows(report)}\n{MARKS[1]}"
    CARD.write_text(re.sub(f"{start}.*{end}", lambda _: filled, CARD.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    main()
