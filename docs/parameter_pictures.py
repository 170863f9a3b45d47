"""Draw what each parameter of the generator and each preprocessing step does.

``python docs/parameter_pictures.py`` writes ``docs/images/parameters`` and ``docs/images/steps``
from the bundled samples and model.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from panels import IMAGES, strip

from napari_graysam import Recipe, segment
from napari_graysam.masks.overlay import overlay_rgb
from napari_graysam.preprocess import STEPS, apply
from napari_graysam.samples import samples
from napari_graysam.source.gray import ImageSource

SIDE = 256
"""Pixels of a panel."""
BASE: Mapping[str, Any] = {"generator.points_per_side": 24}
GENERATOR: Mapping[str, tuple[str, Mapping[str, Any], list[Any]]] = {
    "points_per_side": ("nuclei_uneven", {}, [6, 32, 64]),
    "grid": ("nuclei_uneven", {}, ["full", "adaptive"]),
    "points_per_batch": ("nuclei_uneven", {}, [1, None, 256]),
    "pred_iou_thresh": ("em_texture", {}, [0.2, 0.5, 0.8]),
    "stability_score_thresh": ("em_texture", {}, [0.5, 0.9, 0.98]),
    "stability_score_offset": (
        "em_texture", {"generator.stability_score_thresh": 0.9}, [0.1, 1, 3]
    ),
    "mask_threshold": ("particles", {}, [-3, 0, 3]),
    "box_nms_thresh": ("particles", {"labels.suppression": "box"}, [0.2, 0.7, 1]),
    "crop_n_layers": ("gravel", {}, [0, 1, 2]),
    "crop_nms_thresh": (
        "particles", {"generator.crop_n_layers": 1, "labels.suppression": "box"}, [0.2, 0.7, 1]
    ),
    "crop_overlap_ratio": ("particles", {"generator.crop_n_layers": 1}, [0, 512 / 1500, 0.7]),
    "crop_n_points_downscale_factor": ("nuclei_uneven", {"generator.crop_n_layers": 1}, [1, 2, 4]),
    "point_grids": ("nuclei_uneven", {}, []),
    "min_mask_region_area": ("em_texture", {"generator.mask_threshold": 2}, [0, 50, 400]),
    "use_m2m": ("phase_cells", {}, [False, True]),
    "multimask_output": ("particles", {}, [False, True]),
}  # fmt: skip


def crop(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the upper left part that a panel shows."""
    return picture[:SIDE, :SIDE]


def of_generator(only: str | None) -> None:
    """Draw low, default and high of every parameter."""
    segment(samples()["faint"].load(), Recipe())  # loads the model
    for name, (sample, base, values) in GENERATOR.items():
        if only not in (None, name):
            continue
        image = samples()[sample].load()
        preset = Recipe.preset(samples()[sample].preset).with_values({**BASE, **base})
        changes: dict[str, Any] = {}
        if name == "point_grids":
            steps = np.linspace(0.1, 0.45, 6)
            values = [[[[float(x), float(y)] for y in steps for x in steps]]]
            changes = {"generator.points_per_side": None}
        runs = [
            run(image, preset.with_values({**changes, f"generator.{name}": value}))
            for value in values
        ]
        middle = runs[len(runs) // 2][1]
        panels = []
        for value, (picture, seconds, count) in zip(values, runs, strict=True):
            shown = "36 points" if name == "point_grids" else _text(value)
            cost = f", {seconds / middle:.1f} × time" if len(runs) > 1 else ""
            panels.append((f"{shown}: {count} objects{cost}", crop(picture)))
        strip(panels, IMAGES / "parameters" / f"{name}.jpg")


def run(image: NDArray[Any], recipe: Recipe) -> tuple[NDArray[np.uint8], float, int]:
    """Return overlay, seconds of processor time and number of objects."""
    start = process_time()
    result = segment(image, recipe)
    seconds = process_time() - start
    return overlay_rgb(result.view, result.labels), seconds, int(result.labels.max())


def _text(value: Any) -> str:
    if value is None:
        return "automatic"
    return f"{value:g}" if isinstance(value, float) else str(value)


def of_steps(only: str | None) -> None:
    """Draw each kind of step, at its defaults, before and after."""
    subjects = {"subtract_background": "nuclei_uneven", "flatten_illumination": "nuclei_uneven",
                "log": "faint", "gamma": "faint", "equalize": "faint", "clahe": "nuclei_uneven",
                "ridges": "membranes", "sobel": "membranes", "scharr": "membranes"}  # fmt: skip
    for kind in STEPS:
        if only not in (None, kind):
            continue
        image = samples()[subjects.get(kind, "em_texture")].load()
        raw = ImageSource(image).plane(0).pixels
        after = apply(raw, [STEPS[kind]()])
        panels = [("before", raw), (f"after {kind}", after)]
        strip([(text, crop(_gray(one))) for text, one in panels], IMAGES / "steps" / f"{kind}.jpg")


def _gray(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.repeat(np.uint8(np.clip(image, 0, 1) * 255)[..., None], 3, axis=2)


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="one parameter or kind of step")
    arguments = parser.parse_args()
    of_generator(arguments.only)
    of_steps(arguments.only)


if __name__ == "__main__":
    main()
