"""The convolutional trunk of the bundled model, for SAM 2's own `ImageEncoder`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def _normalised(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.GroupNorm(8, outputs),
    )


class Residual(nn.Module):
    """Two normalised 3×3 convolutions around a skip connection (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _normalised(width, width)
        self.second = _normalised(width, width)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, width, H, W) to the same shape."""
        y: torch.Tensor = self.second(self.activation(self.first(x)))
        return self.activation(y + x)


class ConvTrunk(nn.Module):
    """Residual network with features at strides 4, 8, 16 and 32.

    Group normalisation makes the features independent of the batch and of
    the contrast of the image; convolutions learn from few images, on few
    processor cores, what a transformer trunk would not.

    Parameters
    ----------
    widths
        Channels at strides 4, 8, 16 and 32; multiples of 8.
    depths
        Residual blocks at each stride.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        first = widths[0]
        self.stem = nn.Sequential(_normalised(3, first // 2, 2), nn.ReLU(inplace=True))
        inputs = [first // 2, *widths[:-1]]
        self.stages = nn.ModuleList(
            nn.Sequential(
                _normalised(before, width, 2),
                nn.ReLU(inplace=True),
                *(Residual(width) for _ in range(depth)),
            )
            for before, width, depth in zip(inputs, widths, depths, strict=True)
        )
        self.channel_list = list(widths[::-1])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Map (B, 3, S, S) to four maps, finest first, as `FpnNeck` expects."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
