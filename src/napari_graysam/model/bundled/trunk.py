"""The convolutional trunk of the bundled model and its neck, for SAM 2's own `ImageEncoder`."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_graysam.model.bundled.scene import OUTPUTS

_STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
_TAPS = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}


class Block(nn.Module):
    """Inverted residual block (Sandler et al. 2018), normalisation folded into its weights."""

    def __init__(self, inputs: int, outputs: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expand
        self.expand = nn.Conv2d(inputs, inner, 1) if expand > 1 else nn.Identity()
        self.depthwise = nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner)
        self.project = nn.Conv2d(inner, outputs, 1)
        self.expands = expand > 1
        self.skip = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H/stride, W/stride)."""
        y = functional.relu6(self.expand(x), inplace=True) if self.expands else x
        y = functional.relu6(self.depthwise(y), inplace=True)
        out: Tensor = self.project(y)
        return out.add_(x) if self.skip else out


def _convolve(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(inplace=True)


class VoteTrunk(nn.Module):
    """EfficientNet-Lite0 (Tan and Le 2019) with a way back up to stride 4 (Lin et al. 2017).

    Parameters
    ----------
    widths
        Channels of the way back up at strides 4, 8, 16, 32 and 64.
    codes
        Channels that describe a place beside its votes.
    """

    def __init__(self, widths: list[int], codes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        blocks, inputs = [], 32
        for expand, outputs, repeats, kernel, stride in _STAGES:
            for repeat in range(repeats):
                blocks.append(Block(inputs, outputs, expand, kernel, 1 if repeat else stride))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        finest, *taps = _TAPS.values()
        self.early = nn.Conv2d(finest, widths[0], 3, 2, 1)
        self.lateral = nn.ModuleList(
            nn.Conv2d(tap, width, 1) for tap, width in zip([*taps, taps[-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv2d(low, high, 1) for high, low in pairwise(widths))
        self.mix = nn.ModuleList(
            nn.Sequential(*(layer for _ in range(2) for layer in _convolve(width)))
            for width in widths
        )
        self.head = nn.Conv2d(widths[0], OUTPUTS, 1)
        self.code = nn.Conv2d(widths[0], codes, 1)
        self.channel_list = [OUTPUTS + codes]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to one map at stride 4: votes as `Scene` reads them, then codes."""
        x = functional.relu6(self.stem(x.contiguous(memory_format=torch.channels_last)))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in _TAPS:
                maps.append(x)
        early, *maps = maps
        maps.append(functional.avg_pool2d(maps[-1], 2, ceil_mode=True))
        y = None
        for level in reversed(range(len(maps))):
            z = self.lateral[level](maps[level])
            if y is not None:
                size = (z.shape[2], z.shape[3])
                z += functional.interpolate(self.up[level](y), size, mode="bilinear")
            y = z if level else z.add_(self.early(early))
            y = self.mix[level](y)
        return [torch.cat([self.head(y), self.code(y)], dim=1)]


class Neck(nn.Module):
    """Gives the trunk's map at strides 4, 8 and 16, as SAM 2's decoder is handed features.

    Parameters
    ----------
    d_model
        Channels of the map.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.d_model = d_model
        self.backbone_channel_list = [d_model]

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the maps, finest first, and an empty positional encoding of each."""
        fine = maps[0]
        middle = functional.avg_pool2d(fine, 2)
        levels = [fine, middle, functional.avg_pool2d(middle, 2)]
        return levels, [torch.zeros_like(level) for level in levels]
