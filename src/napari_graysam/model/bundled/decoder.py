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

from napari_graysam.model.bundled.combined import Drawn, combined
from napari_graysam.model.bundled.facts import Score, Sums, describe, measure, sums_of
from napari_graysam.model.bundled.scene import LEVELS, LIMIT, Scene, log_odds


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
        if prompts is None and not _is_point(sparse_prompt_embeddings):
            masks, predicted_iou = self._combined(scene, sparse_prompt_embeddings, multimask_output)
        else:
            u, predicted_iou = self.answer(scene, sparse_prompt_embeddings, prompts)
            masks = log_odds(u)
            if not multimask_output:
                best = _choose(masks, predicted_iou, prompts)
                one = torch.arange(len(masks), device=masks.device)
                masks, predicted_iou = masks[one, best][:, None], predicted_iou[one, best][:, None]
        nothing = masks.new_zeros(len(masks), 1)
        return masks.reshape(*masks.shape[:2], *scene.size), predicted_iou, nothing, nothing

    def answer(self, scene: Scene, sparse: Tensor, prompts: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return log probabilities (B, L, N) and predicted IoU (B, L) of points or masks."""
        if prompts is not None:
            weight = prompts.flatten(1)[:, None].sigmoid().expand(-1, LEVELS, -1)
            centre, sharpness = scene.mean(weight * scene.foreground)
            u = scene.agreement(centre, sharpness)
        else:
            centre, sharpness = scene.settle(*scene.at(sparse[:, 0, :2]))
            u = scene.agreement(centre, sharpness)
        return u, self.predict(scene, u, centre, sharpness)

    def _combined(self, scene: Scene, sparse: Tensor, every: bool) -> tuple[Tensor, Tensor]:
        """Return the logits (B, L, N) and scores (B, L) of prompts of several places.

        Of the best level only, (B, 1, …), unless ``every`` level is asked for.
        """
        found = [combined(scene, prompt) for prompt in sparse]
        sharpness = torch.stack([one.sharpness for one in found])
        sums = Sums.joined(_sums(one) for one in found)
        scores = self.score(describe(sums, sharpness)).sigmoid()
        levels = torch.arange(LEVELS, device=scores.device).expand(len(found), -1)
        if not every:
            levels = scores.argmax(1, keepdim=True)
        masks = scores.new_full((*levels.shape, *scene.size), -LIMIT)
        for mask, one, wanted in zip(masks, found, levels, strict=True):
            drawn = log_odds(one.log_probability[wanted])
            mask[:, one.rows, one.columns] = drawn.reshape(-1, *one.window.size)
        return masks.flatten(2), scores.gather(1, levels)

    def predict(self, scene: Scene, u: Tensor, centre: Tensor, sharpness: Tensor) -> Tensor:
        """Return the predicted IoU (B, L) of log probabilities (B, L, N)."""
        scores: Tensor = self.score(measure(scene, u.exp(), centre, sharpness)).sigmoid()
        return scores


def _sums(drawn: Drawn) -> Sums:
    p = drawn.log_probability.exp()
    return sums_of(drawn.window, p[None], drawn.centre[None], drawn.sharpness[None])


def _is_point(sparse: Tensor) -> bool:
    """Tell whether every prompt (T, 3) of these is one point."""
    return sparse.shape[1] == 1 or bool((sparse[:, 1:, 2] < 0).all())


def _choose(masks: Tensor, predicted_iou: Tensor, prompts: Tensor | None) -> Tensor:
    """Return the level (B,) that agrees best with a mask prompt, or promises most."""
    if prompts is None:
        return predicted_iou.argmax(1)
    given = prompts.flatten(1)[:, None] > 0
    found = masks > 0
    overlap = (given & found).sum(-1) / (given | found).sum(-1).clamp(min=1)
    return overlap.argmax(1)
