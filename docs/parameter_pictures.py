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

SIDE, STEP_SIDE = 256, 200
"""Pixels of a panel of a parameter, and of one of a step."""
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


VARIED: Mapping[str, tuple[str, str, tuple[float, ...]]] = {
    "rescale": ("em_texture", "low", (0, 0.5, 20)),
    "gamma": ("nuclei_uneven", "gamma", (0.25, 0.5, 2)),
    "log": ("faint", "gain", (1, 10, 300)),
    "sigmoid": ("em_texture", "gain", (4, 10, 30)),
    "invert": ("em_texture", "", (0,)),
    "equalize": ("faint", "amount", (0.2, 0.6, 1)),
    "clahe": ("nuclei_uneven", "clip_limit", (1.5, 3, 10)),
    "local_normalize": ("em_texture", "sigma", (8, 25, 80)),
    "subtract_background": ("nuclei_uneven", "radius", (10, 50, 200)),
    "flatten_illumination": ("nuclei_uneven", "sigma", (30, 100, 400)),
    "gaussian": ("em_texture", "sigma", (0.5, 1, 4)),
    "median": ("em_texture", "radius", (1, 3, 6)),
    "bilateral": ("em_texture", "sigma", (1, 2, 6)),
    "nl_means": ("em_texture", "strength", (0.02, 0.05, 0.2)),
    "total_variation": ("em_texture", "weight", (0.02, 0.05, 0.3)),
    "unsharp": ("em_texture", "amount", (0.5, 1, 4)),
    "sobel": ("membranes", "amount", (0.2, 0.5, 1)),
    "scharr": ("membranes", "amount", (0.2, 0.5, 1)),
    "laplacian": ("em_texture", "amount", (0.5, 1, 4)),
    "difference_of_gaussians": ("em_texture", "sigma_high", (4, 15, 60)),
    "ridges": ("membranes", "amount", (0.2, 0.5, 1)),
    "local_contrast": ("em_texture", "amount", (0.5, 1.5, 4)),
}
"""Of each kind of step: a sample, the parameter that is varied, and its values."""


def crop(picture: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.uint8]:
    """Return the upper left part that a panel shows."""
    return picture[:side, :side]


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
    """Draw three values of each kind of step, the default among them, and what they cost."""
    for kind, (sample, name, values) in VARIED.items():
        if only not in (None, kind):
            continue
        raw = ImageSource(samples()[sample].load()).plane(0).pixels
        panels = [("before", raw)]
        for value in values:
            step = STEPS[kind].model_validate({name: value} if name else {})
            after, milliseconds = timed(raw, step)
            default = name and value == STEPS[kind].model_fields[name].default
            text = f"{name} {value:g}{' (default)' if default else ''}" if name else "after"
            cost = f"{milliseconds:.{0 if milliseconds >= 2 else 1}f} ms"
            panels.append((f"{text}, {cost}", after))
        strip(
            [(text, crop(_gray(one), STEP_SIDE)) for text, one in panels],
            IMAGES / "steps" / f"{kind}.jpg",
        )


def timed(image: NDArray[np.float32], step: Any) -> tuple[NDArray[np.float32], float]:
    """Return the image after a step, and the step's milliseconds of processor time."""
    times = []
    for _ in range(3):
        start = process_time()
        after = apply(image, [step])
        times.append(process_time() - start)
    return after, 1000 * min(times)


def _gray(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.repeat(np.uint8(np.clip(image, 0, 1) * 255)[..., None], 3, axis=2)


def main() -> None:
    """Read the options and draw."""
    if missing := set(STEPS) - set(VARIED):
        raise ValueError(f"No picture is described of {', '.join(sorted(missing))}.")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="one parameter or kind of step")
    arguments = parser.parse_args()
    of_generator(arguments.only)
    of_steps(arguments.only)


if __name__ == "__main__":
    main()
