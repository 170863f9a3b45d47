"""The mask decoder of the bundled model: the votes that agree with a prompt are its mask.

A point names its own vote; a box, several points and a mask name the means of sets of votes;
points off the object take away what they name. Predicted IoU comes from what lies under a
mask, along its rim and around it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_graysam.model.bundled.combined import combined
from napari_graysam.model.bundled.scene import LEVELS, Scene, log_odds

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


def measure(scene: Scene, p: Tensor, centre: Tensor, sharpness: Tensor) -> Tensor:
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
    sums = Sums(
        torch.cat([under[..., :-4], under[..., -1:]], dim=-1),
        area,
        away * k,
        inner @ scene.around,
        inner.sum(-1, keepdim=True),
        outer @ scene.around,
        outer.sum(-1, keepdim=True),
        torch.linalg.vecdot(p, p),
    )
    return describe(sums, sharpness)


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


class VoteCrop:
    """What a decoder says of one crop: masks are drawn only where they are wanted.

    Parameters
    ----------
    decoder
        Of the model.
    votes
        (1, C, h, w), the crop's features at stride 4.
    """

    def __init__(self, decoder: VoteDecoder, votes: Tensor) -> None:
        self.decoder = decoder
        self.scene = Scene(votes[0])

    def answer(self, sparse: Tensor) -> VoteAnswers:
        """Let points (B, 1, 3) name their masks."""
        centre, sharpness = self.scene.settle(*self.scene.at(sparse[:, 0, :2]))
        u = self.scene.agreement(centre, sharpness)
        predicted_iou = self.decoder.predict(self.scene, u, centre, sharpness)
        return VoteAnswers(functional.pad(predicted_iou, (1, 0)), u)

    def draw(self, answers: VoteAnswers, wanted: Tensor) -> Tensor:
        """Return the logits (K, h, w) of the masks that ``wanted``, bool (B, 4), names."""
        return log_odds(answers.agreement[wanted[:, 1:]]).reshape(-1, *self.scene.size)


class VoteAnswers(NamedTuple):
    """Answers to B points.

    Attributes
    ----------
    predicted_iou
        (B, 4), the first 0 for no single mask.
    agreement
        Log probabilities (B, L, N).
    """

    predicted_iou: Tensor
    agreement: Tensor


class VoteDecoder(nn.Module):
    """Draws the masks that prompts name, with SAM 2's mask decoder's call and answers.

    Parameters
    ----------
    codes, hidden
        As for `Score`.
    """

    def __init__(self, codes: int, hidden: int) -> None:
        super().__init__()
        self.conv_s0 = nn.Identity()
        self.conv_s1 = nn.Identity()
        self.score = Score(codes, hidden)

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        repeat_image: bool,
        high_res_features: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Answer prompts.

        Returns
        -------
        masks
            Logits (B, 3, h, w), part, object and group, at a quarter of the frame's
            resolution; (B, 1, h, w) without ``multimask_output``, of the best level.
        predicted_iou
            (B, 3) or (B, 1).
        tokens, object_score
            Empty: for videos only.
        """
        assert high_res_features is not None
        scene = Scene(high_res_features[0][0])
        prompts = dense_prompt_embeddings if dense_prompt_embeddings.numel() else None
        u, predicted_iou = self.answer(scene, sparse_prompt_embeddings, prompts)
        masks = log_odds(u)
        if not multimask_output:
            best = _choose(masks, predicted_iou, prompts)
            one = torch.arange(len(masks), device=masks.device)
            masks, predicted_iou = masks[one, best][:, None], predicted_iou[one, best][:, None]
        nothing = masks.new_zeros(len(masks), 1)
        return masks.reshape(*masks.shape[:2], *scene.size), predicted_iou, nothing, nothing

    def answer(self, scene: Scene, sparse: Tensor, prompts: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return log probabilities (B, L, N) and predicted IoU (B, L)."""
        if prompts is not None:
            weight = prompts.flatten(1)[:, None].sigmoid().expand(-1, LEVELS, -1)
            centre, sharpness = scene.mean(weight * scene.foreground)
            u = scene.agreement(centre, sharpness)
        elif sparse.shape[1] == 1 or bool((sparse[:, 1:, 2] < 0).all()):
            centre, sharpness = scene.settle(*scene.at(sparse[:, 0, :2]))
            u = scene.agreement(centre, sharpness)
        else:
            u, centre, sharpness = combined(scene, sparse)
        return u, self.predict(scene, u, centre, sharpness)

    def predict(self, scene: Scene, u: Tensor, centre: Tensor, sharpness: Tensor) -> Tensor:
        """Return the predicted IoU (B, L) of log probabilities (B, L, N)."""
        scores: Tensor = self.score(measure(scene, u.exp(), centre, sharpness)).sigmoid()
        return scores


def _choose(masks: Tensor, predicted_iou: Tensor, prompts: Tensor | None) -> Tensor:
    """Return the level (B,) that agrees best with a mask prompt, or promises most."""
    if prompts is None:
        return predicted_iou.argmax(1)
    given = prompts.flatten(1)[:, None] > 0
    found = masks > 0
    overlap = (given & found).sum(-1) / (given | found).sum(-1).clamp(min=1)
    return overlap.argmax(1)
