"""Losses of the votes, for all objects of a batch at once (Neven et al. 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from network import STRIDE, split
from targets import Targets
from torch import Tensor

UNIT = 32.0
"""Pixels of an offset of 1."""
SHARPNESS = 4.0
WEIGHTS = {"foreground": 1.0, "edge": 0.4, "mask": 1.5, "offset": 2.0, "quality": 1.0}


def places(height: int, width: int) -> Tensor:
    """Return (2, h, w), the (x, y) of every place in units of 32 pixels."""
    y = (torch.arange(height) + 0.5) * (STRIDE / UNIT)
    x = (torch.arange(width) + 0.5) * (STRIDE / UNIT)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])


def _dice(mask: Tensor, target: Tensor) -> Tensor:
    """Return (B, O) from (B, O, N)."""
    overlap = (mask * target).sum(-1)
    return 1 - (2 * overlap + 1) / (mask.square().sum(-1) + target.square().sum(-1) + 1)


def _iou(mask: Tensor, target: Tensor) -> Tensor:
    found, true = mask > 0.5, target > 0.5
    union = (found | true).sum(-1)
    return (found & true).sum(-1) / union.clamp(min=1)


def losses(out: Tensor, targets: Targets) -> dict[str, Tensor]:
    """Return the parts of the loss for (B, C, h, w) outputs; `WEIGHTS` adds them up."""
    parts = split(out)
    h, w = out.shape[-2:]
    votes = (parts["offset"] + places(h, w)).flatten(3)  # B, L, 2, N
    total = {}
    known = targets.known.float()
    area = known.sum((1, 2, 3)).clamp(min=1)
    wrong = F.binary_cross_entropy_with_logits(
        parts["foreground"], targets.foreground, reduction="none"
    )
    total["foreground"] = ((wrong * known).sum((1, 2, 3)) / area).mean()
    wrong = F.binary_cross_entropy_with_logits(parts["edge"], targets.edge, reduction="none")
    flat = known[:, 1]
    total["edge"] = ((wrong * flat).sum((1, 2)) / flat.sum((1, 2)).clamp(min=1)).mean()

    empty = (known * (targets.foreground == 0)).flatten(2)
    quality = parts["quality"].flatten(2)
    false = F.softplus(quality) * empty
    # The mean over the background, and the mean weighted towards what is most wrong.
    focus = false * quality.detach().sigmoid()
    count = empty.sum((1, 2)).clamp(min=1)
    background = (false.sum((1, 2)) + 2 * focus.sum((1, 2))) / count

    image, slot = targets.valid.nonzero(as_tuple=True)
    if not len(image):
        zero = out.sum() * 0
        return total | {"mask": zero, "offset": zero, "quality": background.mean()}
    level = targets.level[image, slot]
    mask = targets.masks[image, slot].flatten(1)  # K, N
    e = votes[image, level]  # K, 2, N
    bandwidth = parts["bandwidth"].flatten(2)[image, level]
    q = quality[image, level]
    fg = parts["foreground"].flatten(2)[image, level].sigmoid()
    inside = (mask > 0.5).float()
    size = inside.sum(1).clamp(min=1)
    one = torch.arange(len(image))
    pick = torch.multinomial(inside + 1e-9, 1)[:, 0]

    centre = (e * inside[:, None]).sum(2) / size[:, None]
    mean_band = (bandwidth * inside).sum(1) / size
    view = _soft(e, centre, mean_band)
    point = _soft(e, e[one, :, pick], bandwidth[one, pick])
    told = known.flatten(2)[image, level]
    seen = view * fg * told, point * fg * told
    weight = targets.weight[image, slot]
    amount = weight.sum()
    total["mask"] = ((_dice(seen[0], mask) + _dice(seen[1], mask)) * weight).sum() / amount
    true = targets.centres[image, slot] / UNIT
    gap = F.smooth_l1_loss(e, true[:, :, None].expand_as(e), beta=0.1, reduction="none").sum(1) / 2
    total["offset"] = ((gap * inside).sum(1) / size * weight).sum() / amount

    with torch.no_grad():
        iou = _iou(seen[0], mask), _iou(seen[1], mask)
        hope = seen[0] * iou[0][:, None]
        level_band = mean_band[:, None].expand_as(bandwidth)
    dense = F.binary_cross_entropy_with_logits(q, hope, reduction="none")
    dense = (dense * inside).sum(1) / size
    single = F.binary_cross_entropy_with_logits(q[one, pick], iou[1], reduction="none")
    steady = ((bandwidth - level_band).square() * inside).sum(1) / size
    # Objects weigh equally within their image, and images with few objects do not count more.
    on = ((dense + 0.5 * single + 0.02 * steady) * weight).sum() / amount
    total["quality"] = background.mean() + on
    total["iou"] = (iou[1] * weight).sum().detach() / amount
    return total


def _soft(votes: Tensor, centre: Tensor, bandwidth: Tensor) -> Tensor:
    """Return exp(−k |e − c|²), (K, N), for votes (K, 2, N), centres (K, 2), log bandwidths (K,)."""
    away = (votes - centre[:, :, None]).square().sum(1)
    return torch.exp(-away * (SHARPNESS * bandwidth.exp())[:, None])
