"""Show what each cure for missed and doubled objects does, from real runs.

``python docs/before_after.py`` writes ``docs/images/effects`` from the bundled samples, and from
scikit-image's detail of the Hubble Deep Field (NASA and ESA, public domain); ``--only NAME``
makes one. All numbers are of the whole image, of which a picture shows a part.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from panels import IMAGES, strip
from PIL import Image

from napari_graysam import Recipe, score, segment
from napari_graysam.comparison import compare_labels
from napari_graysam.comparison.report import changes_rgb
from napari_graysam.masks.overlay import outlines, overlay_rgb
from napari_graysam.samples import samples
from napari_graysam.source.gray import ImageSource
from napari_graysam.tune import Truth, tune

SIDE = 420
"""Longer side in pixels of a panel."""
Values = Mapping[str, Any]
LOOSE = {"generator.pred_iou_thresh": 0.3}
JOINED = {
    "generator.pred_iou_thresh": 0.35,
    "labels.suppression": "mask_iou",
    "labels.suppression_thresh": 0.5,
    "labels.level": "whole",
}
"""Settings that leave objects in pieces, and several under one mask."""


@dataclass(frozen=True)
class Effect:
    """One picture: an image, the part of it that is shown, and the runs beside each other."""

    image: str
    preset: str
    runs: tuple[tuple[str, Values], ...]
    box: tuple[int, int, int, int] = (0, 0, 512, 512)
    """x, y, width and height of the part."""
    base: Values = field(default_factory=dict)


LOOK = (("first pass", {}), ("second look", {"second_look.rounds": 1}))
MERGE = (("in pieces", {}), ("merged", {"labels.merging.merge": 0.5}))
EFFECTS = {
    "look_wall": Effect("brick", "raw", LOOK),
    "look_gravel": Effect("gravel", "particles", LOOK, (300, 250, 210, 210)),
    "look_galaxies": Effect("hubble", "raw", LOOK, (256, 0, 210, 210)),
    "look_harm": Effect("cell", "phase-contrast", LOOK, (0, 0, 550, 550)),
    "union_gravel": Effect(
        "gravel",
        "particles",
        (("raw", {"arms": "raw"}), ("preprocessed", {}), ("union", {"arms": "union"})),
        (300, 250, 210, 210),
    ),
    "merge_tissue": Effect("em_texture", "electron-microscopy", MERGE, (372, 350, 140, 140), LOOSE),
    "merge_grain": Effect("particles", "particles", MERGE, (150, 0, 120, 120), LOOSE),
    "split_grains": Effect(
        "particles",
        "particles",
        (("joined", {}), ("split", {"labels.merging.split": 0.5})),
        (364, 296, 120, 120),
        JOINED,
    ),
    "refine": Effect(
        "em_texture",
        "electron-microscopy",
        (("as found", {}), ("refined", {"refine": True})),
        (392, 392, 120, 120),
    ),
}


def load(name: str) -> tuple[NDArray[Any], NDArray[np.uint16] | None]:
    """Return an image and its ground truth, if there is one."""
    if name != "hubble":
        return samples()[name].load(), samples()[name].truth()
    from skimage.color import rgb2gray
    from skimage.data import hubble_deep_field

    return np.uint8(rgb2gray(hubble_deep_field()[:512, :512]) * 255), None


def panel(
    pixels: NDArray[np.float32], labels: NDArray[Any] | None, box: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """Return a part of an image, enlarged, with its objects."""
    x, y, width, height = box
    part = pixels[y : y + height, x : x + width]
    scale = SIDE / max(part.shape)
    size = (round(part.shape[1] * scale), round(part.shape[0] * scale))
    gray = cv2.resize(np.uint8(np.clip(part, 0, 1) * 255), size, interpolation=cv2.INTER_CUBIC)
    picture = cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    if labels is None:
        return picture
    here = labels[y : y + height, x : x + width].astype(np.int32)
    return overlay_rgb(picture, cv2.resize(here, size, interpolation=cv2.INTER_NEAREST_EXACT))


def enlarge(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return a label image of the size of a panel."""
    return cv2.resize(labels.astype(np.int32), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST_EXACT)


def draw(name: str, effect: Effect) -> None:
    """Run an effect and write its picture."""
    image, truth = load(effect.image)
    pixels = ImageSource(image).plane(0).pixels
    panels = [("image", panel(pixels, None, effect.box))]
    for title, values in effect.runs:
        result = segment(image, Recipe.preset(effect.preset).with_values({**effect.base, **values}))
        print(f"  {title}: {len(result.masks)} objects, {result.unmasked:.1%} unmasked")
        text = f"{title}: {describe(result.labels, truth)}"
        panels.append((text, panel(pixels, result.labels, effect.box)))
    strip(panels, IMAGES / "effects" / f"{name}.jpg")


def describe(labels: NDArray[Any], truth: NDArray[Any] | None) -> str:
    """Return what was found, in words."""
    found = int(labels.max())
    text = f"{found} object{'' if found == 1 else 's'}"
    if truth is None:
        return text
    return f"{text}, AP {score(labels, truth).average_precision[0]:.2f}"


def draw_tuning() -> None:
    """Tune the preset ``raw`` to one image with labels, and write both results."""
    image, truth = load("phase_cells")
    assert truth is not None
    pixels = ImageSource(image).plane(0).pixels
    recipe = Recipe.preset("raw").with_values({"generator.points_per_side": 16})
    found = tune([image], [Truth(truth)], recipe)
    best = found.with_setting(int(found.ranking[0]))
    panels = [("image", panel(pixels, None, (0, 0, 512, 512)))]
    for title, one in (("preset raw", recipe), ("best setting", best)):
        labels = segment(image, one).labels
        panels.append(
            (f"{title}: {describe(labels, truth)}", panel(pixels, labels, (0, 0, 512, 512)))
        )
    print(found.table(1).to_string())
    strip(panels, IMAGES / "effects" / "tune.jpg")


def draw_results() -> None:
    """Show the pictures that the command line leaves, as the five-minute start has them."""
    from typer.testing import CliRunner

    from napari_graysam.cli import app

    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "cells.tif"
        tifffile.imwrite(image, samples()["faint"].load())
        done = CliRunner().invoke(
            app, ["compare", str(image), "--recipe", "faint-objects", "--out", folder]
        )
        assert done.exit_code == 0, done.output
        picture = Image.open(Path(folder) / "cells.comparison.png").convert("RGB")
    picture.thumbnail((1200, 1200), Image.Resampling.LANCZOS)
    picture.save(IMAGES / "effects" / "compared.jpg", quality=84, optimize=True)


def draw_flow() -> None:
    """Show the stages of one image: window, view, points, candidates, objects, comparison."""
    image, _ = load("faint")
    whole = (0, 0, *image.shape[::-1])
    pixels = ImageSource(image).plane(0).pixels
    recipe = Recipe.preset("faint-objects")
    every = {
        "generator.pred_iou_thresh": 0,
        "generator.stability_score_thresh": 0,
        "labels.suppression": "mask_iou",
        "labels.suppression_thresh": 1,
    }
    found, proposed = segment(image, recipe), segment(image, recipe.with_values(every))
    view = panel(np.float32(found.view[..., 0]) / 255, None, whole)
    points, candidates = view.copy(), view.copy()
    steps = (np.arange(32) + 0.5) / 32 * SIDE
    for x, y in ((x, y) for y in steps for x in steps):
        cv2.circle(points, (round(x), round(y)), 1, (255, 210, 0), -1)
    for mask in proposed.masks:
        x0, y0, *_ = mask.box
        rims, _ = cv2.findContours(np.uint8(mask.bits), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        scale = SIDE / max(image.shape)
        for rim in rims:
            place = np.int32(np.add(rim, (x0, y0)) * scale)
            cv2.polylines(candidates, [place], True, (0, 200, 160), 1)
    raw = segment(image, recipe.raw_arm())
    changes = compare_labels(raw.labels, found.labels).difference
    what = np.uint8(enlarge(changes))
    panels = [
        ("1 image", panel(pixels, None, whole)),
        ("2 view", view),
        ("3, 4 points", points),
        (f"4 {len(proposed.masks)} candidates", candidates),
        (f"5, 6 {len(found.masks)} objects", overlay_rgb(view, enlarge(found.labels))),
        ("7 comparison", changes_rgb(panel(pixels, None, whole), what, outlines(what))),
    ]
    strip(panels, IMAGES / "effects" / "flow.jpg", columns=3)


OTHERS = {"tune": draw_tuning, "compared": draw_results, "flow": draw_flow}


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[*EFFECTS, *OTHERS])
    arguments = parser.parse_args()
    for name, effect in EFFECTS.items():
        if arguments.only in (None, name):
            draw(name, effect)
    for name, make in OTHERS.items():
        if arguments.only in (None, name):
            make()


if __name__ == "__main__":
    main()
