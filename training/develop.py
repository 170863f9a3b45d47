"""Follow a training run: AP of its votes on development images, by a plain read-out.

``python training/develop.py --data FOLDER --run runs/votes``. Candidates are the votes of places
where quality peaks, their score is what `score` gives; no product code selects. Adds a line to
``curve.jsonl`` in the run's folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import tifffile
import torch
import torch.nn.functional as F
from data import HELD_OUT, to_gray
from export import fold, load_network
from numpy.typing import NDArray
from torch import Tensor
from windows import MEAN, STD

from napari_graysam.model.build import build_image_model
from napari_graysam.model.bundled.scene import Scene, log_odds

EVERY = {
    "dsb2018_eval": 5,
    "emps_particles": 3,
    "usiigaci_phase": 1,
    "ampis_powder": 1,
    "plantseg_membrane": 1,
    "vnc_em_neurites": 2,
    "axon_sem_eval": 2,
    "superalloy_eval": 2,
    "granular_eval": 3,
    "mushrooms_eval": 1,
    "fly_embryos_eval": 3,
}
"""Of each set every so many images; of sets that also train, held-out images only."""
TRAINED_ON = ("usiigaci_phase", "ampis_powder", "plantseg_membrane")
THRESHOLDS = np.arange(0.5, 1.0, 0.05)

Labels = NDArray[np.integer]


def images(
    root: Path, every: dict[str, int] = EVERY
) -> Iterator[tuple[str, str, NDArray[np.float32], Labels]]:
    """Yield set, stem, gray image and labels."""
    for name, step in every.items():
        paths = sorted((root / name / "images").iterdir())
        if name in TRAINED_ON:
            paths = [path for path in paths if path.stem in HELD_OUT]
        for path in paths[::step]:
            labels = tifffile.imread(root / name / "labels" / f"{path.stem}.tif")
            yield name, path.stem, to_gray(iio.imread(path)), labels


def average_precision(found: Labels, true: Labels) -> NDArray[np.float64]:
    """Return TP / (TP + FP + FN) at `THRESHOLDS` of IoU."""
    found = np.unique(found, return_inverse=True)[1].reshape(found.shape) if found.any() else found
    true = np.unique(true, return_inverse=True)[1].reshape(true.shape)
    n, m = int(found.max()) + 1, int(true.max()) + 1
    table = np.bincount((found * m + true).ravel(), minlength=n * m).reshape(n, m).astype(float)
    union = table.sum(1)[:, None] + table.sum(0)[None] - table
    iou = (table / np.maximum(union, 1))[1:, 1:]
    best = iou.max(1, initial=0), iou.max(0, initial=0)
    matched = np.array([(best[0] > t).sum() for t in THRESHOLDS - 1e-9])
    matched = np.minimum(matched, [(best[1] > t).sum() for t in THRESHOLDS - 1e-9])
    return matched / np.maximum(n - 1 + m - 1 - matched, 1)


def view(gray: NDArray[np.float32], frame: int, squash: bool = True) -> Tensor:
    """Return (1, 3, h, w), the image in a frame of that side."""
    size = (frame, frame)
    if not squash:
        scale = frame / max(gray.shape)
        size = tuple(max(64, round(side * scale / 32) * 32) for side in gray.shape[::-1])
    inter = cv2.INTER_AREA if gray.shape[0] > size[1] else cv2.INTER_LINEAR
    small = np.round(cv2.resize(gray, size, interpolation=inter) * 255) / 255
    x = (small[None] - MEAN[:, None, None]) / STD[:, None, None]
    return torch.from_numpy(x.astype(np.float32))[None]


Scorer = Callable[[Scene, Tensor, Tensor, Tensor], Tensor]


def by_quality(scene: Scene, p: Tensor, centre: Tensor, sharpness: Tensor) -> Tensor:
    """Return the mean quality under each mask of probabilities (B, L, N), (B, L)."""
    return torch.einsum("bln,ln->bl", p, scene.quality) / p.sum(-1).clamp(min=1)


def peaks(scene: Scene, level: int = 1, least: float = 0.1) -> Tensor:
    """Return the places (x, y) in pixels where smoothed quality peaks."""
    quality = scene.quality[level].reshape(1, 1, *scene.size)
    smooth = F.avg_pool2d(F.pad(quality, (1, 1, 1, 1), mode="replicate"), 3, 1)
    top = F.max_pool2d(smooth, 5, 1, 2)
    row, col = ((smooth == top) & (smooth > least))[0, 0].nonzero().T
    return torch.stack([col, row], 1) * 4.0 + 2


def candidates(
    scene: Scene, scorer: Scorer, points: Tensor, levels: tuple[int, ...] = (1,)
) -> tuple[Tensor, Tensor]:
    """Return logits (K, h, w) and scores (K,) after one mean step."""
    logits, scores = [], []
    for some in torch.split(points, 64):
        centre, sharpness = scene.mean(scene.agreement(*scene.at(some)).exp())
        u = scene.agreement(centre, sharpness)
        score = scorer(scene, u.exp(), centre, sharpness)
        masks = log_odds(u)
        for level in levels:
            logits.append(masks[:, level])
            scores.append(score[:, level])
    if not logits:
        return torch.zeros(0, *scene.size), torch.zeros(0)
    return torch.cat(logits).reshape(-1, *scene.size), torch.cat(scores)


def paint(
    logits: Tensor, scores: Tensor, size: tuple[int, int], least: float, overlap: float = 0.5
) -> Labels:
    """Paint masks in order of score; one that is mostly painted already is left out."""
    labels = np.zeros(size, np.int32)
    number = 0
    for index in scores.argsort(descending=True).tolist():
        if scores[index] < least:
            break
        low = logits[index].numpy()
        mask = cv2.resize(low, size[::-1], interpolation=cv2.INTER_LINEAR) > 0
        area = int(mask.sum())
        free = mask & (labels == 0)
        if area < 9 or free.sum() < (1 - overlap) * area:
            continue
        number += 1
        labels[free] = number
    return labels


def evaluate(
    model: torch.nn.Module,
    root: Path,
    frame: int,
    least: tuple[float, ...],
    scorer: Scorer = by_quality,
    every: dict[str, int] = EVERY,
) -> dict[str, dict[str, list[float]]]:
    """Return for each set, for each least score, the mean AP at 0.5 and over `THRESHOLDS`."""
    found: dict[str, list[list[NDArray[np.float64]]]] = {}
    for name, _, gray, labels in images(root, every):
        with torch.no_grad():
            scene = Scene(model.image_encoder.trunk(view(gray, frame))[0][0])
            logits, scores = candidates(scene, scorer, peaks(scene))
        found.setdefault(name, []).append(
            [average_precision(paint(logits, scores, labels.shape[:2], t), labels) for t in least]
        )
    return {
        name: {
            str(t): [round(float(v), 3) for v in (ap[:, k, 0].mean(), ap[:, k].mean())]
            for k, t in enumerate(least)
        }
        for name, ap in ((name, np.array(values)) for name, values in found.items())
    }


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--frames", type=int, nargs="+", default=[512])
    parser.add_argument("--least", type=float, nargs="+", default=[0.4, 0.5, 0.6])
    options = parser.parse_args()
    torch.set_num_threads(1)
    state = torch.load(options.run / "last.pt", weights_only=True)
    model = build_image_model("bundled/config.yaml")
    net = load_network(options.run / "last.pt")
    model.image_encoder.trunk.load_state_dict(fold(net), strict=False)
    for frame in options.frames:
        table = evaluate(model, options.data, frame, tuple(options.least))
        line = {"step": state["step"], "windows": state["windows"], "frame": frame, "sets": table}
        with (options.run / "curve.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"step {state['step']}, {state['windows']} windows, frame {frame}")
        for name, row in table.items():
            print(f"  {name:20}", row, flush=True)


if __name__ == "__main__":
    main()
