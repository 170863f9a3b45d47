"""The mask decoder's side: point prompts become low-resolution logits and predicted IoUs."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from napari_graysam.errors import DeviceError
from napari_graysam.model import LoadedModel
from napari_graysam.propose.encode import Features, autocast

# Larger batches fall out of a processor's cache.
_CPU_POINTS = 4
_MPS_POINTS = 16
_CUDA_POINTS = 64
# What the decoder allocates for a point at a frame of 1024 pixels in float32, at its peak.
_BYTES_A_POINT = 64 * 2**20
# SAM 2 limits the logits that it is given back as a mask prompt.
_PROMPT_LIMIT = 32.0


@dataclass
class Batches:
    """How many points go through the decoder at once; halved when memory runs out.

    Parameters
    ----------
    size
        Points a batch.
    notes
        What was changed while running, for the record.
    """

    size: int
    notes: list[str] = field(default_factory=list)

    def halve(self, error: RuntimeError) -> None:
        """Halve the batch after ``error``; raise it if it is not about memory.

        Raises
        ------
        DeviceError
            If a single point already exceeds the memory.
        """
        if not out_of_memory(error):
            raise error
        if self.size == 1:
            raise DeviceError(
                "the mask decoder ran out of memory with a single point at a time: close other "
                "programs that use this device, choose a smaller model, or set model.device "
                "to cpu"
            ) from error
        self.notes.append(f"out of memory with {self.size} points a batch: halved")
        self.size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def out_of_memory(error: RuntimeError) -> bool:
    """Tell whether ``error`` says that the device's memory is used up."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in text for words in ("out of memory", "can't allocate memory")
    )


def batch_size(model: LoadedModel) -> int:
    """Choose how many points go through the decoder at once on the model's device."""
    if model.device.type == "cpu":
        return _CPU_POINTS
    if model.device.type != "cuda":
        return _MPS_POINTS
    free, _ = torch.cuda.mem_get_info(model.device)
    frames = (model.image_size / 1024) ** 2
    return max(1, min(_CUDA_POINTS, int(free / 2 / (_BYTES_A_POINT * frames))))


def decode(
    points: Tensor,
    features: Features,
    model: LoadedModel,
    *,
    multimask: bool,
    prompts: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Ask the model which masks lie at some points.

    Parameters
    ----------
    points
        float32 (B, 2), ``(x, y)`` in pixels of the model's frame.
    features
        Of the crop that the points lie in.
    model
        A SAM 2 model on its device.
    multimask
        Three masks a point instead of one.
    prompts
        (B, h, w) logits of an earlier answer, to be refined.

    Returns
    -------
    logits
        (B, M, h, w) at a quarter of the frame's resolution, M 3 or 1.
    predicted_iou
        (B, M).
    """
    network = model.model
    count = len(points)
    labels = torch.ones((count, 1), dtype=torch.int, device=points.device)
    with torch.no_grad(), autocast(model):
        sparse, dense = network.sam_prompt_encoder(
            points=(points[:, None], labels),
            boxes=None,
            masks=None if prompts is None else prompts[:, None],
        )
        # One embedding seen by all prompts: values and layout are those of
        # `repeat_image=True`, whose copies it saves.
        embedding = (
            features.embedding if count == 1 else features.contiguous.expand(count, -1, -1, -1)
        )
        logits, predicted_iou, _, _ = network.sam_mask_decoder(
            image_embeddings=embedding,
            image_pe=features.position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=False,
            high_res_features=features.high_resolution,
        )
    return logits, predicted_iou


def refine(
    points: Tensor, logits: Tensor, features: Features, model: LoadedModel, batch: int
) -> tuple[Tensor, Tensor]:
    """Show the model its masks once more, each with its point ("mask to mask").

    Parameters
    ----------
    points
        float32 (B, 2), in pixels of the model's frame.
    logits
        (B, M, h, w), the answers to them.
    features, model
        As in `decode`.
    batch
        Masks to refine at once.

    Returns
    -------
    logits
        (B, M, h, w), refined.
    predicted_iou
        (B, M), of the refined masks.
    """
    count, masks = logits.shape[:2]
    prompts = logits.flatten(0, 1).clamp(-_PROMPT_LIMIT, _PROMPT_LIMIT)
    repeated = points.repeat_interleave(masks, dim=0)
    answers = [
        decode(some_points, features, model, multimask=False, prompts=some)
        for some_points, some in zip(
            torch.split(repeated, batch), torch.split(prompts, batch), strict=True
        )
    ]
    refined = torch.cat([answer for answer, _ in answers])
    predicted_iou = torch.cat([iou for _, iou in answers])
    return (
        refined.reshape(count, masks, *refined.shape[-2:]),
        predicted_iou.reshape(count, masks),
    )
