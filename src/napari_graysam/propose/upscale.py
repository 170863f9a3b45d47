"""Masks from the decoder's image tokens: upscaling by four and weighing of the channels.

Two ways to the same mathematics, "SAM 2: Segment Anything in Images and Videos" (Ravi et al.
2024). `Convolutions` computes as sam2's own modules do. `Products` uses that a transposed
convolution of as many pixels as its stride is one matrix product a pixel: four output pixels
lie beside each other in a row of the result, stay there until the mask is complete, and so
every step reads and writes memory in order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Modules of sam2, whose classes are not typed.
Network = Any

# Image tokens in a processor's cache: those of one point at a frame of 1024 pixels.
_CACHED_TOKENS = 64 * 64
# Image tokens upscaled at once on a CPU: their sixteen pixels each fit its cache.
_ROWS = 256


class Convolutions:
    """Upscaling with the arithmetic of sam2's modules.

    Parameters
    ----------
    decoder
        A ``MaskDecoder`` of sam2.
    fine, middle
        (1, c, 4·h, 4·w) and (1, c', 2·h, 2·w), the image's features of high resolution.
    size
        ``(h, w)``.
    """

    def __init__(
        self, decoder: Network, fine: Tensor, middle: Tensor, size: tuple[int, int]
    ) -> None:
        self.layers = decoder.output_upscaling
        self.fine, self.middle, self.size = fine, middle, size

    def masks(self, pixels: Tensor, weights: Tensor, wanted: Tensor) -> Tensor:
        """Return the logits of some masks, (K, 4·h, 4·w), by point, then by mask.

        Parameters
        ----------
        pixels
            Image tokens (L, N, C) of each point.
        weights
            (L, M, c), of the upscaled channels in each mask.
        wanted
            bool (L, M), K of which are set.
        """
        at_once = 2 * cached_points(pixels, len(pixels))
        parts = (torch.split(part, at_once) for part in (pixels, weights, wanted))
        return torch.cat([self._some(*part) for part in zip(*parts, strict=True)])

    def _some(self, pixels: Tensor, weights: Tensor, wanted: Tensor) -> Tensor:
        """Draw masks of points whose pixels fit a processor's cache."""
        if len(pixels) == 1:
            # A batch of one takes longer than two, and is rounded differently from all others.
            pixels, weights = pixels.repeat(2, 1, 1), weights.repeat(2, 1, 1)
            wanted = torch.cat([wanted, torch.zeros_like(wanted)])
        first, norm, _, second, _ = self.layers
        image = pixels.transpose(1, 2)
        enlarged = first(image.view(*image.shape[:2], *self.size))
        enlarged = _gelu(_normalise(norm, plus(enlarged, self.middle)))
        enlarged = _gelu(plus(second(enlarged), self.fine))
        logits = weights @ enlarged.flatten(2)
        return logits.view(*weights.shape[:2], *enlarged.shape[-2:])[wanted]


class Products:
    """Upscaling as matrix products; parameters as for `Convolutions`."""

    def __init__(
        self, decoder: Network, fine: Tensor, middle: Tensor, size: tuple[int, int]
    ) -> None:
        first, norm, _, second, _ = decoder.output_upscaling
        self.size = size
        self.dtype = precision_of(first.weight)
        self.first = first.weight.permute(0, 2, 3, 1).flatten(1).to(self.dtype)
        self.second = second.weight.permute(0, 2, 3, 1).flatten(1).to(self.dtype)
        self.gain, self.shift = (part.to(self.dtype) for part in (norm.weight, norm.bias))
        self.epsilon = norm.eps
        height, width = size
        self.middle = (
            (middle[0] + first.bias[:, None, None])
            .view(-1, height, 2, width, 2)
            .permute(1, 3, 2, 4, 0)
            .reshape(height * width, -1)
            .to(self.dtype)
        )
        self.fine = (
            (fine[0] + second.bias[:, None, None])
            .view(-1, height, 2, 2, width, 2, 2)
            .permute(1, 4, 2, 5, 3, 6, 0)
            .reshape(height * width * 4, -1)
            .to(self.dtype)
        )

    def masks(self, pixels: Tensor, weights: Tensor, wanted: Tensor) -> Tensor:
        """Return logits, as `Convolutions.masks` does."""
        height, width = self.size
        counts = wanted.sum(1).tolist()
        logits = weights.new_empty((sum(counts), 4 * height, 4 * width), dtype=self.dtype)
        with torch.autocast(weights.device.type, enabled=False):
            chosen = torch.split(weights[wanted].to(self.dtype), counts)
            for each in zip(pixels, chosen, torch.split(logits, counts), strict=True):
                self._one(*each)
        return logits

    def _one(self, pixels: Tensor, weights: Tensor, logits: Tensor) -> None:
        """Draw one point's logits (M, 4·h, 4·w) from its pixels (N, C) and weights (M, c)."""
        pixels = pixels.to(self.dtype)
        height, width = self.size
        lines = max(1, _ROWS // width) if pixels.device.type == "cpu" else height
        for line in range(0, height, lines):
            some = slice(line * width, (line + lines) * width)
            twice = torch.addmm(self.middle[some], pixels[some], self.first)
            twice = twice.view(-1, len(self.gain))
            twice = functional.layer_norm(
                twice, twice.shape[-1:], self.gain, self.shift, self.epsilon
            )
            finer = slice(4 * some.start, 4 * some.stop)
            four = torch.addmm(self.fine[finer], _gelu(twice), self.second)
            drawn = weights @ _gelu(four).view(-1, weights.shape[1]).T
            part = logits[:, 4 * line : 4 * (line + lines)]
            blocks = drawn.view(len(weights), -1, width, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4, 6)
            part.view(len(weights), -1, 2, 2, width, 2, 2).copy_(blocks)


def cached_points(image: Tensor, count: int) -> int:
    """Tell how many of ``count`` points to compute at once.

    Parameters
    ----------
    image
        (B, N, C), tokens of an image, of which each point changes a copy.
    count
        At least 1.
    """
    if image.device.type != "cpu":
        return count
    return min(count, max(1, _CACHED_TOKENS // image.shape[1]))


def plus(values: Tensor, other: Tensor) -> Tensor:
    """Add in place where the sum has the type of ``values``."""
    if torch.result_type(values, other) == values.dtype:
        return values.add_(other)
    return values + other


def precision_of(weight: Tensor) -> torch.dtype:
    """Return the type in which products with a weight are computed here."""
    kind = weight.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return weight.dtype


def _gelu(values: Tensor) -> Tensor:
    """Gaussian error linear unit, in place."""
    torch.ops.aten.gelu_(values)
    return values


def _normalise(norm: Network, values: Tensor) -> Tensor:
    """Do as sam2's ``LayerNorm2d``, in place."""
    values -= values.mean(1, keepdim=True)
    values /= torch.sqrt(values.square().mean(1, keepdim=True) + norm.eps)
    weight: Tensor = norm.weight[:, None, None]
    if values.dtype != weight.dtype:
        values = weight * values
    else:
        values *= weight
    values += norm.bias[:, None, None]
    return values
