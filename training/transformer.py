"""Try SAM 2's transformer decoder on top of the votes: ``python training/transformer.py …``.

The shipped network stays as it is. Queries are what a point's votes say of its three masks, keys
the trunk's features at stride 16 where the places that they vote for are their positions. The
decoder moves centre, sharpness and height of a mask, which are the coefficients of (e_x, e_y,
|e|², 1), and adds products with features: nothing at first. `README.md` says what it gave.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from data import load
from develop import view
from ranking import best_iou, points, truths
from safetensors.torch import load_file
from sam2.modeling.position_encoding import PositionEmbeddingRandom
from sam2.modeling.sam.transformer import TwoWayTransformer
from sam2.modeling.sam2_utils import MLP
from torch import Tensor, nn
from windows import Mode, Windows

from napari_graysam.model.build import build_image_model
from napari_graysam.model.bundled.scene import LEVELS, LIMIT, OUTPUTS, STEEPNESS, UNIT, Scene

WEIGHTS = Path(__file__).parents[1] / "src/napari_graysam/model/bundled/graysam-small.safetensors"
FRAME, RATE = 512, 8e-4
FINE, COARSE, WIDTH, HYPER = 64, 128, 128, 32
"""Channels of the trunk at strides 4 and 16, of the transformer, and of products at stride 4."""


class Answer(NamedTuple):
    """Log odds (B, L, N) of masks, predicted IoU (logits), centres, sharpness, as (B, L, …)."""

    odds: Tensor
    iou: Tensor
    centre: Tensor
    sharpness: Tensor


class Image:
    """Votes (1, C, h, w) and features at strides 4 and 16 of a view (1, 3, 4 h, 4 w)."""

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        trunk = model.image_encoder.trunk
        hooks = [
            trunk.head.register_forward_hook(lambda _, x, y: setattr(self, "fine", x[0])),
            trunk.mix[2].register_forward_hook(lambda _, x, y: setattr(self, "coarse", y)),
        ]
        with torch.no_grad():
            self.votes = trunk(x)[0]
        for hook in hooks:
            hook.remove()
        self.scene = Scene(self.votes[0])


def answer(scene: Scene, centre: Tensor, sharpness: Tensor, height: Tensor | float = 0) -> Answer:
    """Answer by votes alone."""
    u = (scene.agreement(centre, sharpness) + height).clamp(max=-1e-4)
    odds = (u - torch.log(-torch.expm1(u))).clamp(min=-LIMIT / STEEPNESS)
    return Answer(odds, torch.zeros_like(sharpness), centre, sharpness)


def votes(image: Image, asked: Tensor) -> Answer:
    """Answer points (B, 2), (x, y) in pixels, by votes alone."""
    return answer(image.scene, *image.scene.settle(*image.scene.at(asked)))


class Decoder(nn.Module):
    """SAM 2's two-way transformer between prompts that are votes and the trunk's features."""

    def __init__(self) -> None:
        super().__init__()
        self.position = PositionEmbeddingRandom(WIDTH // 2, scale=2.0)
        self.key = nn.Conv2d(COARSE + OUTPUTS, WIDTH, 1)
        self.query = nn.Linear(FINE + OUTPUTS + 3, WIDTH)
        self.kind = nn.Parameter(0.1 * torch.randn(LEVELS + 1, WIDTH))
        self.transformer = TwoWayTransformer(2, WIDTH, 8, 4 * WIDTH)
        self.fine = nn.Conv2d(FINE, HYPER, 1)
        self.iou = MLP(WIDTH, WIDTH, LEVELS, 2)
        self.move, self.near, self.far = (MLP(WIDTH, WIDTH, n, 2) for n in (4, HYPER, WIDTH))
        for head in (self.move, self.near, self.far):
            for start in head.layers[-1].parameters():
                nn.init.zeros_(start)
        # From the start, queries attend to keys that vote for the same place.
        for layer in self.transformer.layers:
            attention = layer.cross_attn_token_to_image
            attention.k_proj.load_state_dict(attention.q_proj.state_dict())
        self.arithmetic = torch.float32

    def forward(self, image: Image, asked: Tensor) -> Answer:
        """Answer points (B, 2), (x, y) in pixels."""
        scene, (h, w), count = image.scene, image.scene.size, len(asked)
        embed = partial(self.position.forward_with_coords, image_size=(FRAME / UNIT,) * 2)
        centre, sharpness = scene.settle(*scene.at(asked))
        place, (column, row) = asked[:, None] / UNIT, (asked / 4).long().T
        own = torch.cat([image.fine, image.votes[:, :OUTPUTS]], dim=1)[0, :, row, column].T
        facts = (own[:, None].expand(-1, LEVELS, -1), centre - place, sharpness.log()[..., None])
        queries = self.query(torch.cat(facts, dim=-1)) + embed(centre)
        queries = torch.cat([queries, embed(place)], dim=1) + self.kind
        said = F.avg_pool2d(image.votes[:, :OUTPUTS], 4)
        keys = self.key(torch.cat([image.coarse, said], dim=1)).expand(count, -1, -1, -1)
        voted = scene.vote[1].reshape(2, h, w)[:, 2::4, 2::4].permute(1, 2, 0)
        where = embed(voted).permute(2, 0, 1).expand(count, -1, -1, -1)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.arithmetic == torch.bfloat16):
            tokens, keys = self.transformer(keys, where, queries)
            far = self.far(tokens[:, :LEVELS]) @ keys.transpose(1, 2)
        tokens, far = tokens.float(), far.float().reshape(count, LEVELS, h // 4, w // 4)
        near = self.near(tokens[:, :LEVELS]) @ self.fine(image.fine).flatten(2)
        far = F.interpolate(far, (h, w), mode="bilinear").flatten(2)
        move, k, height = self.move(tokens[:, :LEVELS]).split((2, 1, 1), dim=-1)
        centre = centre + move / sharpness.sqrt()[..., None]
        moved = answer(scene, centre, sharpness * k[..., 0].clamp(-3, 3).exp(), height)
        return moved._replace(odds=moved.odds + near + far, iou=self.iou(tokens[:, LEVELS]))


def inside(labels: np.ndarray, count: int, rng: np.random.Generator) -> Tensor:
    """Choose places (K, 2) in objects of labels (H, W), each object as often."""
    order = np.argsort(labels, axis=None, kind="stable")
    order = order[np.searchsorted(labels.ravel()[order], 1) :]
    first, size = np.unique(labels.ravel()[order], return_index=True, return_counts=True)[1:]
    pick = rng.integers(len(first), size=count if len(first) else 0)
    place = order[rng.integers(first[pick], (first + size)[pick])]
    return torch.from_numpy(np.stack(np.divmod(place, labels.shape[1])[::-1], 1)).float() + 0.5


def loss_of(odds: Tensor, levels: np.ndarray, asked: Tensor, known: Tensor) -> Tensor:
    """Return Dice and cross-entropy of (B, L, N) with each level's object: own mask, and best."""
    maps, (x, y) = torch.from_numpy(levels), asked.long().T
    value = maps[:, y, x].T[..., None, None]
    true = ((maps[:, 2::4, 2::4] == value) & (value > 0)).flatten(2) * known.float()
    told = true.sum(-1) > 1
    p, area = odds.sigmoid() * known, true.square().sum(-1)[:, None]
    dice = 1 - (2 * p @ true.transpose(1, 2) + 1) / (p.square().sum(-1, keepdim=True) + area + 1)
    wrong = (F.softplus(odds) * known).sum(-1, keepdim=True) - (odds @ true.transpose(1, 2))
    each = dice + 5 * wrong / known.sum().clamp(min=1)  # (B, mask, object)
    each = (each.amin(1) + each.diagonal(dim1=1, dim2=2)) / 2
    return (each * told).sum() / told.sum().clamp(min=1)


def train(decoder: Decoder, model: nn.Module, root: Path, seconds: float) -> None:
    """Train for a while, the rate falling to zero."""
    rng, windows = np.random.default_rng(1), Windows(load(root), 1)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=RATE, weight_decay=0.01)
    start, seen = time.time(), []
    while (done := (time.time() - start) / seconds) < 1:
        optimiser.param_groups[0]["lr"] = RATE * min(1, (len(seen) + 1) / 100, 1.6 * (1 - done))
        for size in rng.choice((256, 384, 512), 2, p=(0.3, 0.4, 0.3)):
            gray, levels = windows.window(int(size), Mode(strength=0.5), rng)
            image, (objects, known) = Image(model, view(gray, int(size))), truths(levels)
            labels = np.where(levels[1] > 0, levels[1], np.maximum(levels[0], 0) << 16)
            free = points(image.scene, rng)
            asked = torch.cat([inside(labels, 24, rng), free[:4], free[-4:]])
            got = decoder(image, asked)
            found = got.odds.detach() > 0
            told = ((found & known).sum(-1) >= 0.8 * found.sum(-1)) & (found.sum(-1) > 2)
            wrong = (got.iou.sigmoid() - best_iou(found.float(), objects)).square()
            ranks = (wrong * told).sum() / told.sum().clamp(min=1)
            fit = loss_of(got.odds, levels, asked, known)
            (fit + ranks).backward()
            seen.append([float(fit.detach()), float(ranks.detach())])
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if len(seen) % 200 == 0:
            print(len(seen), np.mean(seen[-200:], axis=0), f"{done:.0%}", flush=True)


def shipped() -> nn.Module:
    """Return the shipped model."""
    model = build_image_model("bundled/config.yaml")
    model.load_state_dict(load_file(WEIGHTS))
    return model


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    decoder = Decoder()
    train(decoder, shipped(), options.data, 60 * options.minutes)
    torch.save(decoder.state_dict(), options.out)


if __name__ == "__main__":
    main()
