"""Score the shipped weights on every development set, and write the table of the model card.

    python training/table.py --data FOLDER

Each set at full and at reduced contrast (`contrast.py`), by the preset `raw`, by both arms of the
preset for its modality, which differ in the preprocessing alone, and by `low-contrast`. Average
precision at IoU 0.5, as `graysam score` counts it, mean over the images that training has not
seen. Writes `scores.json` beside this file, the table into the model card, and overlays of the
best, median and worst image of every set where asked for. Sets that are not asked for keep
their former scores.
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
MARKS = "<!-- scores -->", "<!-- end of scores -->"
PRESETS = {
    "dsb2018_eval": "fluorescence-nuclei",
    "emps_particles": "particles",
    "usiigaci_phase": "phase-contrast",
    "ampis_powder": "particles",
    "vnc_em_neurites": "electron-microscopy",
    "plantseg_membrane": "membranes",
    "axon_sem_eval": "electron-microscopy",
    "superalloy_eval": "particles",
    "granular_eval": "particles",
    "mushrooms_eval": "particles",
    "fly_embryos_eval": "particles",
}


def score_set(
    root: Path, name: str, options: argparse.Namespace
) -> dict[str, dict[str, list[float]]]:
    """Return AP of every image, by contrast and preset."""
    found: dict[str, dict[str, list[float]]] = {"full": {}, "reduced": {}}
    own = Recipe.preset(PRESETS[name])
    recipes = {
        "raw": Recipe.preset("raw"),
        RAW_ARM: own.raw_arm(),
        PRESETS[name]: own,
        "low-contrast": Recipe.preset("low-contrast"),
    }
    seen: list[tuple[float, Segmentation]] = []
    for path in images_of(root, name)[:: options.every]:
        truth = read_labels(root / name / "labels" / f"{path.stem}.tif")
        full = read_image(path, Recipe().image)
        images = {"full": full, "reduced": to_gray(reduce_contrast(full.pixels, path.stem))}
        for contrast, image in images.items():
            for preset, recipe in recipes.items():
                result = segment(image, recipe.with_values(options.values))
                value = score(result.labels, truth).average_precision[0]
                found[contrast].setdefault(preset, []).append(value)
                if contrast == "full" and preset == options.overlay_preset:
                    seen.append((value, result))
        last = {c: {p: round(v[-1], 3) for p, v in f.items()} for c, f in found.items()}
        print(name, path.stem, last, flush=True)
    if options.overlays and seen:
        seen.sort(key=lambda one: one[0])
        for rank, index in (("worst", 0), ("median", len(seen) // 2), ("best", -1)):
            value, result = seen[index]
            target = options.overlays / f"{name}.{rank}.{value:.2f}.png"
            write_overlay(target, result.view, result.labels)
    return found


def rows(report: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Return the report as a Markdown table."""
    head = (
        "| set | images | contrast | preset `raw` | preset for the modality: raw arm "
        "| preprocessed arm | `low-contrast` |"
    )
    lines = [head, "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, contrasts in report.items():
        for contrast, presets in contrasts.items():
            means = {preset: float(np.mean(values)) for preset, values in presets.items()}
            own = PRESETS[name]
            count = len(presets["raw"])
            lines.append(
                f"| {name} | {count} | {contrast} | {means['raw']:.3f} | "
                f"{means[RAW_ARM]:.3f} | {means[own]:.3f} ({own}) | {means['low-contrast']:.3f} |"
            )
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
    report: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name in options.sets:
        found = score_set(options.data, name, options)
        if not options.dry and SCORES.exists():
            # Read again: another run may have scored other sets meanwhile.
            report = json.loads(SCORES.read_text())
        report[name] = found
        if not options.dry:
            write(report)
    print(rows(report))


def write(report: dict[str, dict[str, dict[str, list[float]]]]) -> None:
    """Keep the scores, and put their table into the model card."""
    SCORES.write_text(json.dumps(report, indent=1) + "\n")
    start, end = (re.escape(mark) for mark in MARKS)
    filled = f"{MARKS[0]}\n{rows(report)}\n{MARKS[1]}"
    CARD.write_text(re.sub(f"{start}.*{end}", lambda _: filled, CARD.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    main()
