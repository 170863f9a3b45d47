"""The network that votes, as it is trained: with batch normalisation, and fast in bfloat16.

`Network` starts from the ImageNet weights of EfficientNet-Lite0 (Tan and Le 2019) and takes a way
back up to stride 4 (Lin et al. 2017) with bilinear steps and two convolutions a level. At every
place and for each of three levels (part, object, group) it says how far the centre of the object
lies, how near to it other votes must be to count, how good the mask will be, and whether
anything is there (Neven et al. 2019).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4
LEVELS = 3
BLOCKS = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
"""Expansion, channels, repeats, kernel and stride of each stage of EfficientNet-Lite0."""
TAPS = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}
"""Channels after the last block at strides 2, 4, 8, 16 and 32."""
WIDTHS = (64, 96, 128, 128, 128)
"""Channels of the way back up at strides 4, 8, 16, 32 and 64."""
MOMENTUM = 0.02


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution in bfloat16 whose gradients are found in float32.

    The backward pass in bfloat16 takes several times as long on a processor.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(
            x, weight.to(x.dtype), None, stride, weight.shape[-1] // 2, 1, weight.shape[0]
        )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        pad = weight.shape[-1] // 2
        count = weight.shape[0]
        grad = grad.contiguous(memory_format=torch.channels_last)
        quick = ctx.stride == 1
        gx, gw, _ = torch.ops.aten.convolution_backward(
            grad.float(),
            x.float(),
            weight,
            None,
            [ctx.stride] * 2,
            [pad] * 2,
            [1, 1],
            False,
            [0, 0],
            count,
            [not quick, True, False],
        )
        if quick:
            gx = F.conv2d(grad, weight.flip(2, 3).to(grad.dtype), None, 1, pad, 1, count)
        return gx.to(x.dtype), gw, None


class Depthwise(nn.Conv2d):
    """Depthwise convolution; under autocast by `_Depthwise`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H/stride, W/stride)."""
        if x.dtype == torch.bfloat16 and torch.is_grad_enabled():
            out: Tensor = _Depthwise.apply(x, self.weight, self.stride[0])
            return out
        return super().forward(x)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=MOMENTUM)


class Block(nn.Module):
    """Inverted residual block without squeeze and excitation (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expand
        self.expanded = expand > 1
        if self.expanded:
            self._expand_conv = nn.Conv2d(inputs, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self._depthwise_conv = Depthwise(
            inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False
        )
        self._bn1 = _norm(inner)
        self._project_conv = nn.Conv2d(inner, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self.skip = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H/stride, W/stride)."""
        y = x
        if self.expanded:
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skip else y


def _convolve(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        _norm(outputs),
        nn.ReLU(),
    )


class Network(nn.Module):
    """Votes of every place at stride 4.

    Parameters
    ----------
    initial
        File with the weights of EfficientNet-Lite0; None leaves random ones.
    """

    def __init__(self, initial: Path | None = None) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self._bn0 = _norm(32)
        blocks, inputs = [], 32
        for expand, outputs, repeats, kernel, stride in BLOCKS:
            for repeat in range(repeats):
                blocks.append(Block(inputs, outputs, expand, kernel, stride if not repeat else 1))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        if initial is not None:
            missing = self.load_state_dict(
                torch.load(initial, weights_only=True), strict=False
            ).missing_keys
            if missing:
                raise ValueError(f"{initial} lacks {missing[0]} and {len(missing) - 1} others")
        first, *rest = WIDTHS
        self.early = nn.Conv2d(TAPS[0], first, 3, 2, 1)
        self.lateral = nn.ModuleList(
            nn.Conv2d(taps, width, 1)
            for taps, width in zip(list(TAPS.values())[1:], WIDTHS[:-1], strict=True)
        )
        self.coarse = nn.Conv2d(TAPS[15], WIDTHS[-1], 1)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(WIDTHS[:-1], rest, strict=True))
        self.mix = nn.ModuleList(
            nn.Sequential(_convolve(width, width), _convolve(width, width)) for width in WIDTHS
        )
        self.head = nn.Conv2d(first, 5 * LEVELS + 1, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def features(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 64, H/4, W/4)."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        maps = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in TAPS:
                maps.append(x)
        early = self.early(maps[0])
        y = self.mix[4](self.coarse(F.avg_pool2d(x, 2, ceil_mode=True)))
        for level in (3, 2, 1, 0):
            z = self.lateral[level](maps[level + 1])
            z = z + F.interpolate(
                self.up[level](y), z.shape[-2:], mode="bilinear", align_corners=False
            )
            y = self.mix[level](z + early if level == 0 else z)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 16, H/4, W/4): see `split`."""
        out: Tensor = self.head(self.features(x))
        return out


def split(out: Tensor) -> dict[str, Tensor]:
    """Name the channels.

    Returns
    -------
    dict
        ``offset`` (B, L, 2, h, w) in units of 32 pixels as (x, y), ``bandwidth`` (its logarithm),
        ``quality`` and ``foreground`` (logits), each (B, L, h, w), and ``edge`` (B, h, w).
    """
    b, _, h, w = out.shape
    out = out.float()
    levels = out[:, :-1].reshape(b, LEVELS, 5, h, w)
    return {
        "offset": levels[:, :, :2],
        "bandwidth": levels[:, :, 2].clamp(-4, 7),
        "quality": levels[:, :, 3],
        "foreground": levels[:, :, 4],
        "edge": out[:, -1],
    }
