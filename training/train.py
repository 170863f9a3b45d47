"""Train the bundled model.

    python training/train.py training/config.yaml --data FOLDER --out runs/small

Resumes from ``--out`` when it holds a checkpoint. Runs on a GPU when there is one. Writes
``last.pt``, ``weights.safetensors``, ``log.jsonl`` and ``curves.png``.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from data import FRAME, Batch, Windows
from hydra.utils import instantiate
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

CONFIG = Path(__file__).parents[1] / "src/napari_graysam/model/bundled/config.yaml"


class Auxiliary(nn.Module):
    """Heads that are not part of the model and only teach it.

    From the finest and coarsest FPN levels: foreground, boundary and offsets to the object's
    centre. From the image tokens after each block of the two-way transformer: the prompted
    object. Without the latter, prompts are ignored for thousands of steps.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(width, 4, 1)
        self.coarse = nn.Conv2d(width, 4, 1)
        self.prompted = nn.ModuleList(nn.Linear(width, 1) for _ in range(2))

    def forward(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return foreground, boundary and offset maps of the finest and coarsest level."""
        return [self.fine(levels[0]), self.coarse(levels[-1])]

    def prompted_loss(
        self, tokens: list[torch.Tensor], truth: torch.Tensor, on: torch.Tensor
    ) -> torch.Tensor:
        """Balanced cross-entropy of the prompted object at stride 16."""
        soft = F.avg_pool2d(truth, 4).flatten(1)
        inside = soft.sum(1, keepdim=True).clamp(min=0.25)
        outside = (1 - soft).sum(1, keepdim=True).clamp(min=0.25)
        weight = (soft / inside + (1 - soft) / outside) * on[:, None]
        loss = truth.new_zeros(())
        for head, token in zip(self.prompted, tokens, strict=True):
            logits = head(token.float())[..., 0]
            cross = F.binary_cross_entropy_with_logits(
                logits, (soft > 0.5).float(), reduction="none"
            )
            loss = loss + (cross * weight).sum() / (2 * on.sum().clamp(min=1))
        return loss


def build() -> nn.Module:
    """Build the model with the start that lets prompts find their pixels.

    At the usual start the two-way transformer gives every pixel the same message, whatever
    the prompt, and stays there for thousands of steps. So:

    - the positional frequencies span several scales, and neighbours a few pixels apart differ;
    - query and key projections start equal: a prompt's encoding matches that of its pixel;
    - the first self-attention, which has no skip connection, starts as the identity: each
      token says something else;
    - what is added to the encodings starts small, so that attention is not saturated.
    """
    model = instantiate(OmegaConf.load(CONFIG).model)
    decoder, prompts = model.sam_mask_decoder, model.sam_prompt_encoder
    matrix = prompts.pe_layer.positional_encoding_gaussian_matrix
    matrix.mul_(torch.tensor([1.0, 1.5, 2.5, 4.0]).repeat(matrix.shape[1] // 4))
    layers = decoder.transformer.layers
    with torch.no_grad():
        for attention in (
            decoder.transformer.final_attn_token_to_image,
            layers[0].self_attn,
            *(layer.cross_attn_token_to_image for layer in layers),
            *(layer.cross_attn_image_to_token for layer in layers),
        ):
            nn.init.orthogonal_(attention.q_proj.weight, gain=2)
            nn.init.zeros_(attention.q_proj.bias)
            attention.k_proj.load_state_dict(attention.q_proj.state_dict())
            nn.init.orthogonal_(attention.v_proj.weight)
            attention.out_proj.weight.copy_(attention.v_proj.weight.T)
        decoder.iou_token.weight.mul_(0.5)
        decoder.mask_tokens.weight.mul_(0.5)
        for tokens in (
            prompts.no_mask_embed,
            prompts.not_a_point_embed,
            *prompts.point_embeddings,
        ):
            tokens.weight.mul_(0.2)
        for layer in layers:
            for norm in (layer.norm1, layer.norm2, layer.norm3, layer.norm4):
                norm.weight.fill_(0.4)
        for conv in model.image_encoder.neck.convs:
            conv.conv.weight.mul_(0.4)
        for centres in model.image_encoder.trunk.centres.values():
            nn.init.zeros_(centres.offset.weight)
            nn.init.zeros_(centres.code.weight)
    share_frequencies(model)
    return model


def share_frequencies(model: nn.Module) -> None:
    """Let the trunk encode centres as the prompt encoder encodes points."""
    matrix = model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    for centres in model.image_encoder.trunk.centres.values():
        centres.frequencies.copy_(matrix)


def targets(labels: np.ndarray, stride: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return foreground, boundary and centre offsets (in units of 32 px) at a stride."""
    lab = labels[:, stride // 2 :: stride, stride // 2 :: stride]
    offsets = np.zeros((len(lab), 2, *lab.shape[1:]), np.float32)
    rows, cols = np.mgrid[: lab.shape[1], : lab.shape[2]].astype(np.float32)
    edge = np.zeros_like(lab, bool)
    edge[:, 1:] |= lab[:, 1:] != lab[:, :-1]
    edge[:, :, 1:] |= lab[:, :, 1:] != lab[:, :, :-1]
    for i in range(len(lab)):
        flat = lab[i].ravel()
        count = np.maximum(np.bincount(flat), 1)
        for k, grid in enumerate((rows, cols)):
            centre = np.bincount(flat, grid.ravel()) / count
            offsets[i, k] = (centre[lab[i]] - grid) * stride / 32
    return (
        torch.from_numpy((lab > 0).astype(np.float32)),
        torch.from_numpy(edge.astype(np.float32)),
        torch.from_numpy(offsets),
    )


def auxiliary_loss(outputs: list[torch.Tensor], labels: np.ndarray) -> torch.Tensor:
    """Cross-entropy of foreground and boundary, and distance of offsets to centres."""
    loss = torch.zeros((), device=outputs[0].device)
    for output, stride in zip(outputs, (4, 16), strict=True):
        output = output.float()
        inside, edge, offset = (t.to(output.device) for t in targets(labels, stride))
        loss = loss + F.binary_cross_entropy_with_logits(output[:, 0], inside)
        loss = loss + F.binary_cross_entropy_with_logits(output[:, 1], edge)
        error = F.smooth_l1_loss(output[:, 2:], offset, reduction="none").sum(1)
        loss = loss + (error * inside).sum() / inside.sum().clamp(min=1)
    return loss


def offset_loss(offsets: list[torch.Tensor], labels: np.ndarray) -> torch.Tensor:
    """Distance of the trunk's offsets from those to the objects' centres."""
    loss = torch.zeros((), device=offsets[0].device)
    for offset, stride in zip(offsets, (8, 16), strict=True):
        inside, _, truth = (t.to(offset.device) for t in targets(labels, stride))
        error = F.smooth_l1_loss(offset.float(), truth, reduction="none", beta=0.25).sum(1)
        loss = loss + (error * inside).sum() / inside.sum().clamp(min=1)
    return loss


def encode(
    model: nn.Module, batch: Batch, device: torch.device
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the FPN levels and the trunk's own offsets to centres, at strides 8 and 16."""
    images = torch.from_numpy(batch.images).to(device, memory_format=torch.channels_last)
    trunk = model.image_encoder.trunk
    offsets: list[torch.Tensor] = []
    hooks = [
        centres.offset.register_forward_hook(lambda _, __, output: offsets.append(output))
        for centres in trunk.centres.values()
    ]
    levels, _ = model.image_encoder.neck(trunk(images, batch.offset))
    for hook in hooks:
        hook.remove()
    return levels[:3], offsets


def decode(
    model: nn.Module, levels: list[torch.Tensor], batch: Batch
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Return four masks' logits, predicted IoU and both blocks' image tokens for every prompt.

    Where the batch says so, the best mask of a first pass is a prompt of the second.
    """
    answer = _decode(model, levels, batch, None)
    if not batch.again:
        return answer
    logits, iou, _ = answer
    best = iou[:, 1:].argmax(1) + 1
    first = logits[torch.arange(len(best)), best][:, None].detach().clamp(-32, 32)
    return _decode(model, levels, batch, first)


def _decode(
    model: nn.Module, levels: list[torch.Tensor], batch: Batch, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    device = levels[0].device
    decoder, prompts = model.sam_mask_decoder, model.sam_prompt_encoder
    b, k, p = batch.points.shape[:3]
    points = torch.from_numpy(batch.points).to(device).view(b * k, p, 2)
    kinds = torch.from_numpy(batch.kinds).to(device).view(b * k, p)
    side = levels[2].shape[-1]
    row, col = batch.offset[0] // 16, batch.offset[1] // 16
    with torch.autocast(device.type, enabled=False):
        sparse, _ = prompts((points, kinds), None, None)
        pe = prompts.get_dense_pe()[:, :, row : row + side, col : col + side]
    if mask is None:
        dense = prompts.no_mask_embed.weight.view(1, -1, 1, 1).expand(b * k, -1, side, side)
    else:
        dense = prompts.mask_downscaling(mask)
    fine = [decoder.conv_s0(levels[0]), decoder.conv_s1(levels[1])]
    tokens: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: tokens.append(output[1]))
        for layer in decoder.transformer.layers
    ]
    masks, iou, _, _ = decoder.predict_masks(
        image_embeddings=levels[2].repeat_interleave(k, 0),
        image_pe=pe,
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=[f.repeat_interleave(k, 0) for f in fine],
    )
    for hook in hooks:
        hook.remove()
    return masks.float(), iou.float(), tokens


def mask_loss(
    logits: torch.Tensor,
    iou: torch.Tensor,
    truth: torch.Tensor,
    on: torch.Tensor,
    iou_weight: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Focal and Dice on the best of three and on the single mask; IoU on all; 0 off objects."""
    with torch.no_grad():
        hard = truth[:, None] >= 0.5
        guess = logits > 0
        inter = (guess & hard).flatten(2).sum(2).float()
        union = (guess | hard).flatten(2).sum(2).float()
        actual = torch.where(on[:, None], inter / union.clamp(min=1), 0)
    iou_loss = F.mse_loss(iou, actual)
    if not on.any():
        return iou_weight * iou_loss, actual.new_zeros(()), iou_loss
    logits, truth, actual = logits[on], truth[on][:, None].expand(-1, 4, -1, -1), actual[on]
    p = logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    focal = (cross * (p - truth).abs().square()).flatten(2).mean(2)
    overlap = (p * truth).flatten(2).sum(2)
    dice = 1 - (2 * overlap + 1) / (p.flatten(2).sum(2) + truth.flatten(2).sum(2) + 1)
    each = 20 * focal + dice
    best = each[:, 1:].min(1).values
    loss = best.mean() + 0.15 * each[:, 1:].mean() + 0.3 * each[:, 0].mean()
    return loss + iou_weight * iou_loss, actual[:, 1:].max(1).values.mean(), iou_loss


def rate(step: int, steps: int, peak: float) -> float:
    """Learning rate: linear warm-up, then a cosine to 1 % of the peak."""
    warm = 300
    if step < warm:
        return peak * (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def save(path: Path, state: dict[str, object]) -> None:
    """Write a checkpoint whole or not at all."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def export(model: nn.Module, path: Path) -> None:
    """Write the weights in half precision."""
    tensors = {name: t.half().contiguous() for name, t in model.state_dict().items()}
    save_file(tensors, path)


@dataclass(frozen=True)
class Settings:
    """What the configuration file says.

    Attributes
    ----------
    steps, rate, seed
        Optimiser steps, peak learning rate, and the seed of all randomness.
    windows, points
        Windows a step and prompts a window.
    synthetic, nested
        Shares of synthetic windows without and with nested objects; the rest is real.
    iou_weight
        Weight of the predicted IoU's squared error.
    gentle_from, whole_from
        Fractions of the steps from which augmentation is half as strong, and from which every
        third step sees whole frames.
    """

    steps: int = 8000
    rate: float = 1e-3
    seed: int = 1
    windows: int = 8
    points: int = 14
    synthetic: float = 0.3
    nested: float = 0.05
    iou_weight: float = 6.0
    gentle_from: float = 0.5
    whole_from: float = 0.7


COLUMNS = ("loss", "iou_error", "best_iou", "prompted", "auxiliary")


def draw_curves(log: Path, picture: Path) -> None:
    """Draw what the log holds, one panel a column, against the step."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    figure = Figure(figsize=(12, 2.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(COLUMNS)), COLUMNS, strict=True):
        axes.plot([row["step"] for row in rows], [row.get(name) for row in rows], lw=0.8)
        axes.set_title(name)
        axes.set_xlabel("step")
    figure.savefig(picture, dpi=90)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="checkpoint to start from")
    options = parser.parse_args()
    settings = Settings(**OmegaConf.to_container(OmegaConf.load(options.config)))
    options.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(settings.seed)
    model = build().to(device).train()
    model.image_encoder.to(memory_format=torch.channels_last)
    auxiliary = Auxiliary(model.hidden_dim).to(device)
    average = copy.deepcopy(model).eval()
    used = [p for n, p in model.named_parameters() if not n.startswith(("maskmem", "no_mem"))]
    parameters = [*used, *auxiliary.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=settings.rate, weight_decay=0.02)
    start = 0
    if options.init:
        state = torch.load(options.init, map_location=device, weights_only=True)
        print(model.load_state_dict(state["average"], strict=False))
        share_frequencies(model)
        average.load_state_dict(model.state_dict())
        auxiliary.load_state_dict(state["auxiliary"])
    checkpoint = options.out / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        auxiliary.load_state_dict(state["auxiliary"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
    steps = settings.steps
    data = Windows(
        options.data, settings.windows, settings.points, settings.synthetic, settings.nested
    )
    stream = data.stream(
        start,
        steps,
        settings.seed,
        int(steps * settings.whole_from),
        int(steps * settings.gentle_from),
    )
    log = (options.out / "log.jsonl").open("a")
    sums, began = np.zeros(len(COLUMNS)), time.time()
    for step, batch in enumerate(stream, start):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps, settings.rate)
        with torch.autocast(device.type, dtype=torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            levels, offsets = encode(model, batch, device)
            logits, iou, tokens = decode(model, levels, batch)
            helped = auxiliary(levels)
        truth = torch.from_numpy(batch.masks).to(device).flatten(0, 1)
        on = torch.from_numpy(batch.foreground).to(device).flatten()
        loss, best, error = mask_loss(logits, iou, truth, on, settings.iou_weight)
        extra = auxiliary_loss(helped, batch.labels) + offset_loss(offsets, batch.labels)
        prompted = auxiliary.prompted_loss(tokens, truth, on)
        optimiser.zero_grad(set_to_none=True)
        (loss + 0.5 * extra + prompted).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        decay = min(0.9985, (1 + step) / (10 + step))
        with torch.no_grad():
            for a, p in zip(
                average.state_dict().values(), model.state_dict().values(), strict=True
            ):
                a.lerp_(p, 1 - decay)
        sums += [value.item() for value in (loss, error, best, prompted, extra)]
        if (step + 1) % 50 == 0:
            row = dict(zip(COLUMNS, (sums / 50).round(4).tolist(), strict=True))
            row |= {"step": step + 1, "seconds": round(time.time() - began, 1)}
            log.write(json.dumps(row) + "\n")
            log.flush()
            print(row, flush=True)
            sums, began = np.zeros(len(COLUMNS)), time.time()
        if (step + 1) % 250 == 0 or step + 1 == steps:
            save(
                checkpoint,
                {
                    "model": model.state_dict(),
                    "auxiliary": auxiliary.state_dict(),
                    "average": average.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step + 1,
                },
            )
            export(average, options.out / "weights.safetensors")
            draw_curves(options.out / "log.jsonl", options.out / "curves.png")


if __name__ == "__main__":
    assert OmegaConf.load(CONFIG).model.image_size == FRAME
    main()
