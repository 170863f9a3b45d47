"""The mask decoder's side: point prompts become low-resolution logits and predicted IoUs."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from napari_graysam.errors import DeviceError
from napari_graysam.model import LoadedModel
from napari_graysam.model.bundled.decoder import VoteCrop, VoteDecoder
from napari_graysam.model.bundled.tiles import TiledCrop
from napari_graysam.propose.decoder import CropDecoder, understood
from napari_graysam.propose.encode import Features, autocast

# Image tokens of a batch on a CPU: more fall out of the processor's cache.
_CPU_TOKENS = 8 * 64 * 64
# Places of the votes' map times points on a CPU: what is drawn takes up to 96 MB.
_CPU_VOTES = 2**23
_MPS_POINTS = 16
_CUDA_POINTS = 64
# What the decoder allocates for a point at a frame of 1024 pixels in float32, at its peak.
_BYTES_A_POINT = 64 * 2**20
# Blocks of up to this size are kept: the most that glibc takes, and what it would rise to.
_KEPT_BLOCK = 32 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
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
        fast = model.arithmetic == "fast"
        if fast and isinstance(model.model.sam_mask_decoder, VoteDecoder):
            return max(1, _CPU_VOTES // (model.image_size // 4) ** 2)
        tokens = _CPU_TOKENS // 2 if fast else _CPU_TOKENS
        return max(1, tokens // (model.image_size // 16) ** 2)
    if model.device.type != "cuda":
        return _MPS_POINTS
    free, _ = torch.cuda.mem_get_info(model.device)
    frames = (model.image_size / 1024) ** 2
    return max(1, min(_CUDA_POINTS, int(free / 2 / (_BYTES_A_POINT * frames))))


@cache
def keep_freed_memory() -> None:
    """Let the C library reuse freed blocks of megabytes instead of mapping new ones.

    A model frees and asks for such blocks thousands of times an image, and fresh pages cost
    a third of the bundled model's time on Linux. glibc raises its limits for this by itself, but
    not where one was set for a process, as Dask does for its workers: so both are set here
    (``mallopt(3)``). Elsewhere nothing happens.
    """
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _KEPT_BLOCK)
        library.mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BLOCK)


class Decoder:
    """Asks a model which masks lie at some points of one crop.

    Parameters
    ----------
    features
        Of the crop.
    model
        A SAM 2 model on its device.
    multimask
        Three masks a point instead of one.
    use_m2m
        Show the model its masks once more, each with its point ("mask to mask").
    """

    def __init__(
        self, features: Features, model: LoadedModel, *, multimask: bool, use_m2m: bool
    ) -> None:
        self.features = features
        self.model = model
        self.multimask = multimask
        self.use_m2m = use_m2m
        self.crop_decoder: CropDecoder | VoteCrop | TiledCrop | None = None
        decoder = model.model.sam_mask_decoder
        if multimask and not use_m2m and isinstance(decoder, VoteDecoder):
            votes = features.high_resolution[0]
            tiled = model.arithmetic == "fast" and votes.device.type == "cpu"
            self.crop_decoder = (TiledCrop if tiled else VoteCrop)(decoder, votes)
        elif multimask and not use_m2m and understood(decoder):
            with torch.no_grad(), autocast(model):
                _, dense = self._prompts(torch.zeros((1, 2), device=model.device))
                self.crop_decoder = CropDecoder(
                    decoder,
                    features,
                    dense,
                    absorbed=model.arithmetic == "fast",
                )

    @property
    def shape(self) -> tuple[int, int]:
        """``(h, w)`` of the masks' logits."""
        height, width = self.features.embedding.shape[-2:]
        return 4 * height, 4 * width

    def decode(self, points: Tensor, floor: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the masks at some points whose predicted IoU exceeds a floor.

        Parameters
        ----------
        points
            float32 (B, 2), ``(x, y)`` in pixels of the model's frame.
        floor
            Of predicted IoU; 0 keeps all.

        Returns
        -------
        logits
            (K, h, w) at a quarter of the frame's resolution; by point, then by mask.
        predicted_iou
            (K,).
        point
            int64 (K,), which point each is of.
        best_iou
            (B,), the highest predicted IoU at each point, below the floor too.
        """
        with torch.no_grad(), autocast(self.model):
            if self.crop_decoder is not None:
                return self._sparing(self.crop_decoder, points, floor)
            logits, predicted_iou = self._whole(points)
            if self.use_m2m:
                logits, predicted_iou = self._refine(points, logits)
        kept = _above(predicted_iou, floor)
        best_iou = predicted_iou.amax(1)
        return logits[kept], predicted_iou[kept], kept.nonzero()[:, 0], best_iou

    def _sparing(
        self, decoder: CropDecoder | VoteCrop | TiledCrop, points: Tensor, floor: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw masks only at points where one is worth keeping."""
        sparse, _ = self._prompts(points)
        answers: Any = decoder.answer(sparse)
        kept = _above(answers.predicted_iou, floor)
        kept[:, 0] = False  # The single mask, which is not one of the three.
        point, _ = torch.nonzero(kept, as_tuple=True)
        best_iou = answers.predicted_iou[:, 1:].amax(1)
        return decoder.draw(answers, kept), answers.predicted_iou[kept], point, best_iou

    def _prompts(self, points: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the prompt encoder's embeddings of points and mask prompts."""
        labels = torch.ones((len(points), 1), dtype=torch.int, device=points.device)
        sparse, dense = self.model.model.sam_prompt_encoder(
            points=(points[:, None], labels), boxes=None, masks=masks
        )
        return sparse, dense

    def _whole(self, points: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return logits (B, M, h, w) and predicted IoU (B, M) by the model's own decoder."""
        sparse, dense = self._prompts(points, masks)
        count, features = len(points), self.features
        # One embedding seen by all prompts: values and layout are those of
        # `repeat_image=True`, whose copies it saves.
        embedding = (
            features.embedding if count == 1 else features.contiguous.expand(count, -1, -1, -1)
        )
        logits, predicted_iou, _, _ = self.model.model.sam_mask_decoder(
            image_embeddings=embedding,
            image_pe=features.position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=self.multimask and masks is None,
            repeat_image=False,
            high_res_features=features.high_resolution,
        )
        return logits, predicted_iou

    def _refine(self, points: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return masks (B, M, h, w) refined with themselves as prompts, and their IoU."""
        count, masks = logits.shape[:2]
        prompts = logits.flatten(0, 1)[:, None].clamp(-_PROMPT_LIMIT, _PROMPT_LIMIT)
        repeated = points.repeat_interleave(masks, dim=0)
        answers = [
            self._whole(some_points, some)
            for some_points, some in zip(
                torch.split(repeated, count), torch.split(prompts, count), strict=True
            )
        ]
        refined = torch.cat([answer for answer, _ in answers])
        predicted_iou = torch.cat([iou for _, iou in answers])
        return (
            refined.reshape(count, masks, *refined.shape[-2:]),
            predicted_iou.reshape(count, masks),
        )


def _above(predicted_iou: Tensor, floor: float) -> Tensor:
    """Tell which scores exceed a floor; 0 lets all pass."""
    if floor > 0:
        return predicted_iou > floor
    return torch.ones_like(predicted_iou, dtype=torch.bool)
