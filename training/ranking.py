"""Train the predicted IoU on what a network's votes give: ``python training/ranking.py --run …``.

The network stays as it is. Masks are those of random points, of places where quality peaks, and
of a second look at either; each is to get its IoU with the best labelled object of any
level, and of masks that compete for the same pixels the better one is to get more. Joins both
into ``model.safetensors`` in the run's folder, in half precision.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from data import load
from develop import peaks
from export import fold, load_network
from network import Network
from safetensors.torch import save_file
from torch import Tensor, nn
from windows import MEAN, STD, Mode, Windows

from napari_graysam.model.build import build_image_model
from napari_graysam.model.bundled.facts import measure
from napari_graysam.model.bundled.scene import Scene

POINTS = 56
SIDES = (384, 512)


def truths(levels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return objects of parts and wholes at stride 4, (T, N), and where labels are known (N,)."""
    step = levels[:2, 2::4, 2::4]
    known = (step[1] >= 0) | (step[0] > 0)
    masks = [
        step[level] == value
        for level in (0, 1)
        for value in np.unique(step[level])
        if value > 0 and not (level == 0 and _same(levels, value))
    ]
    flat = np.stack(masks).reshape(len(masks), -1) if masks else np.zeros((0, known.size), bool)
    return torch.from_numpy(flat).float(), torch.from_numpy(known.ravel())


def _same(levels: np.ndarray, part: int) -> bool:
    inside = levels[0] == part
    whole = levels[1][inside]
    return bool((whole == whole[0]).all() and (levels[1] == whole[0]).sum() == inside.sum())


def best_iou(p: Tensor, objects: Tensor) -> Tensor:
    """Return the IoU (B, L) of each mask (B, L, N) with the best of ``objects`` (T, N)."""
    if not len(objects):
        return torch.zeros(p.shape[:2])
    found = (p > 0.5).float()
    overlap = found @ objects.T
    union = found.sum(-1, keepdim=True) + objects.sum(1) - overlap
    return (overlap / union.clamp(min=1)).amax(-1)


def points(scene: Scene, rng: np.random.Generator) -> Tensor:
    """Choose places to ask: peaks of quality of any level, and any place."""
    height, width = scene.size
    found = [peaks(scene, int(rng.integers(3)))]
    found[0] = found[0][torch.from_numpy(rng.permutation(len(found[0])))][: POINTS // 3]
    free = rng.uniform(0, 4, (POINTS - len(found[0]), 2)) * [width, height]
    return torch.cat([*found, torch.from_numpy(free).float()])


def ranking(score: Tensor, iou: Tensor, found: Tensor) -> Tensor:
    """Return the loss of pairs of masks (K, N) that overlap but differ in IoU (K,)."""
    area = found.sum(1)
    overlap = found @ found.T / torch.minimum(area[:, None], area).clamp(min=1)
    better = iou[:, None] - iou
    pairs = (overlap > 0.3) & (better > 0.08)
    if not pairs.any():
        return score.sum() * 0
    gap = score[:, None] - score
    return (F.softplus(-gap[pairs]) * better[pairs]).mean()


class Ranker:
    """Trains codes and score of a product model over a frozen network."""

    def __init__(self, net: Network, root: Path, seed: int, start: dict[str, Tensor]) -> None:
        self.net = net
        self.windows = Windows(load(root), seed)
        self.rng = np.random.default_rng((seed, 7))
        self.model = build_image_model("bundled/config.yaml")
        trunk = self.model.image_encoder.trunk
        self.model.load_state_dict(start, strict=False)
        trunk.load_state_dict(fold(net), strict=False)
        self.code, self.score = trunk.code, self.model.sam_mask_decoder.score
        for part in (self.code, self.score):
            if not start:
                for layer in part.modules():
                    if isinstance(layer, nn.Linear | nn.Conv2d):
                        layer.reset_parameters()
            part.requires_grad_(True)
        self.parameters = [*self.code.parameters(), *self.score.parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=2e-3, weight_decay=0.01)

    def scene(self, image: np.ndarray) -> Scene:
        """Return the votes of an image, with codes that can learn."""
        view = np.round(np.repeat(image[None], 3, 0) * 255) / 255
        x = (view - MEAN[:, None, None]) / STD[:, None, None]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            y = self.net.features(torch.from_numpy(x.astype(np.float32))[None])
            out = self.net.head(y)
        return Scene(torch.cat([out.float(), self.code(y.float())], dim=1)[0])

    def step(self) -> tuple[float, float, float]:
        """Take one step on one window; returns both losses and the mean error."""
        size = int(self.rng.choice(SIDES))
        mode = Mode(strength=float(self.rng.choice([0.1, 0.3, 0.7])))
        image, levels = self.windows.window(size, mode, self.rng)
        scene = self.scene(image)
        asked = points(scene, self.rng)
        with torch.no_grad():
            centre, sharpness = scene.settle(*scene.at(asked))
            half = len(asked) // 3
            p = scene.agreement(centre[:half], sharpness[:half]).exp()
            centre[:half], sharpness[:half] = scene.mean(p)
            p = scene.agreement(centre, sharpness).exp()
            objects, known = truths(levels)
            iou = best_iou(p, objects)
            found = p > 0.5
            told = (found & known).sum(-1) >= 0.8 * found.sum(-1)
            told &= found.sum(-1) > 2
        logits = self.score(measure(scene, p, centre, sharpness))
        if not told.any():
            return 0.0, 0.0, 0.0
        logits, iou, found = logits[told], iou[told], found[told]
        exact = F.binary_cross_entropy_with_logits(logits, iou)
        order = ranking(logits, iou, found.float())
        self.optimiser.zero_grad()
        (exact + 0.5 * order).backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        error = (logits.detach().sigmoid() - iou).abs().mean()
        return float(exact.detach()), float(order.detach()), float(error)

    def train(self, seconds: float) -> None:
        """Train for a while, the rate falling to zero."""
        start, sums, count = time.time(), np.zeros(3), 0
        while (done := (time.time() - start) / seconds) < 1:
            for group in self.optimiser.param_groups:
                group["lr"] = 2e-3 * min(1, 1.6 * (1 - done))
            sums += self.step()
            count += 1
            if count % 100 == 0:
                print(count, (sums / 100).round(4), round(time.time() - start), flush=True)
                sums[:] = 0


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    score = options.run / "score.pt"
    start = torch.load(score, weights_only=True) if score.exists() else {}
    net = load_network(options.run / "last.pt")
    ranker = Ranker(net.to(memory_format=torch.channels_last), options.data, options.seed, start)
    ranker.train(60 * options.minutes)
    state = ranker.model.state_dict()
    wanted = ("image_encoder.trunk.code.", "sam_mask_decoder.")
    torch.save({k: v for k, v in state.items() if k.startswith(wanted)}, score)
    state["no_mem_embed"] = torch.zeros_like(state["no_mem_embed"])
    half = {name: value.half().contiguous() for name, value in state.items()}
    save_file(half, options.run / "model.safetensors")


if __name__ == "__main__":
    main()
