"""What describes a mask to the score: sums under it, along its rim and around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_graysam.model.bundled.scene import LEVELS, Window

_FACTS = 6


class Score(nn.Module):
    """Predicts a mask's IoU from what lies under it, along its rim and around it.

    Parameters
    ----------
    codes
        Channels that describe a place beside its votes.
    hidden
        Neurons of the two hidden layers.
    """

    def __init__(self, codes: int, hidden: int) -> None:
        super().__init__()
        channels = 2 * LEVELS + 1 + codes
        self.layers = nn.Sequential(
            nn.Linear(3 * channels + _FACTS + LEVELS, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, 1),
        )

    def forward(self, facts: Tensor) -> Tensor:
        """Return logits (B, L) of what `measure` gives."""
        out: Tensor = self.layers(facts)[..., 0]
        return out


def measure(scene: Window, p: Tensor, centre: Tensor, sharpness: Tensor) -> Tensor:
    """Describe masks by numbers (B, L, F).

    Parameters
    ----------
    scene
        What the masks are of.
    p
        Probabilities (B, L, N).
    centre, sharpness
        (B, L, 2) and (B, L).
    """
    return describe(sums_of(scene, p, centre, sharpness), sharpness)


class Sums(NamedTuple):
    """Sums over the places of B masks of L levels.

    Attributes
    ----------
    under, area
        (L, B, C + 1), of what a score looks at and the logarithm of the sharpness, and (L, B, 1),
        weighed with probabilities.
    away
        (L, B), the same of squared distances of votes to the centre, times its sharpness.
    inner, inner_weight, outer, outer_weight
        (L, B, C) of `Scene.around` and (L, B, 1), along the rim inside and outside.
    squares
        (L, B), of squared probabilities.
    """

    under: Tensor
    area: Tensor
    away: Tensor
    inner: Tensor
    inner_weight: Tensor
    outer: Tensor
    outer_weight: Tensor
    squares: Tensor

    @classmethod
    def joined(cls, parts: Iterable[Sums]) -> Sums:
        """Return the sums of all masks of some parts, in their order."""
        return cls(*(torch.cat(values, 1) for values in zip(*parts, strict=True)))


def sums_of(scene: Window, p: Tensor, centre: Tensor, sharpness: Tensor) -> Sums:
    """Return the sums of masks; parameters as of `measure`."""
    height, width = scene.size
    p = p.transpose(0, 1)  # Levels first, as `Scene.agreement` lays them out.
    half = functional.avg_pool2d(p.reshape(-1, 1, height, width), 2)
    blurred = functional.avg_pool2d(half, 3, 1, 1)
    rim = (half - blurred).reshape(LEVELS, len(p[0]), -1)
    inner, outer = rim.clamp(min=0), rim.neg().clamp_(min=0)
    under, area = torch.bmm(p, scene.under), p.sum(-1, keepdim=True)
    c, k = centre.transpose(0, 1), sharpness.T
    along = (under[..., -4:-2] * c).sum(-1)
    away = under[..., -2] - 2 * along + area[..., 0] * c.square().sum(-1)
    return Sums(
        torch.cat([under[..., :-4], under[..., -1:]], dim=-1),
        area,
        away * k,
        inner @ scene.around,
        inner.sum(-1, keepdim=True),
        outer @ scene.around,
        outer.sum(-1, keepdim=True),
        torch.linalg.vecdot(p, p),
    )


def describe(sums: Sums, sharpness: Tensor) -> Tensor:
    """Describe masks by numbers (B, L, F), of their sums and sharpness (B, L)."""
    area = sums.area[..., 0].clamp(min=1e-3)
    under = sums.under / area[..., None]
    pooled = [
        under[..., :-1],
        sums.inner / sums.inner_weight.clamp(min=1e-3),
        sums.outer / sums.outer_weight.clamp(min=1e-3),
    ]
    logarithm = sharpness.T.log()
    facts = torch.stack(
        [
            (area + 1).log(),
            logarithm,
            (sums.away / area).clamp(0, 4),
            under[..., -1] - logarithm,
            1 - sums.squares / area,
            sums.outer_weight[..., 0] / (area / 4).clamp(min=0.1),
        ],
        dim=-1,
    )
    level = torch.eye(LEVELS, device=area.device)[:, None].expand(-1, len(area[0]), -1)
    own = [_own_first(part) for part in pooled]
    return torch.cat([*own, facts, level], dim=-1).transpose(0, 1)


def _own_first(pooled: Tensor) -> Tensor:
    """Turn the levels' channels so that those of a mask's own level come first."""
    parts = []
    for level in range(LEVELS):
        turned = [
            pooled[level, :, group * LEVELS : (group + 1) * LEVELS].roll(-level, -1)
            for group in range(2)
        ]
        parts.append(torch.cat([*turned, pooled[level, :, 2 * LEVELS :]], dim=-1))
    return torch.stack(parts)
