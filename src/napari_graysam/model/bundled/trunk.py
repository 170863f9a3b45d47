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
        y: torch.Tensor = self.activation(x + self.second(self.activation(self.first(x))))
        return y


class Centres(nn.Module):
    """Let every place say where the centre of its object is.

    A convolution predicts the offset to the centre; the position it points to is encoded as
    SAM 2 encodes prompts, by sines and cosines of random frequencies, and added to the
    features. All places of one object so carry one code, which the mask decoder's attention
    can compare with that of the prompted place.

    Parameters
    ----------
    width
        Channels of the features.
    codes
        Frequencies of the code.
    stride, frame
        Of the features and of the whole model's input, in pixels.
    """

    UNIT = 32.0  # pixels of an offset of 1

    frequencies: torch.Tensor

    def __init__(self, width: int, codes: int, stride: int, frame: int) -> None:
        super().__init__()
        self.stride = stride
        self.frame = frame
        self.offset = nn.Conv2d(width, 2, 3, padding=1)
        self.code = nn.Conv2d(2 * codes, width, 1)
        self.register_buffer("frequencies", torch.randn(2, codes))

    def forward(self, x: torch.Tensor, corner: tuple[int, int]) -> torch.Tensor:
        """Add the codes to (B, width, h, w) features whose first pixel is at ``corner``."""
        height, width = x.shape[-2:]
        rows = (torch.arange(height, device=x.device) + 0.5) * self.stride + corner[0]
        columns = (torch.arange(width, device=x.device) + 0.5) * self.stride + corner[1]
        place = torch.stack(
            [columns.expand(height, width), rows[:, None].expand(height, width)], dim=-1
        )
        centre = place + self.UNIT * self.offset(x).float().permute(0, 2, 3, 1)
        # Products by element stay in float32 under autocast, which would round a matrix product.
        relative = 2 * torch.pi * (2 * centre / self.frame - 1)
        across, down = self.frequencies.float()
        angles = relative[..., :1] * across + relative[..., 1:] * down
        code = torch.cat([angles.sin(), angles.cos()], dim=-1).permute(0, 3, 1, 2)
        added: torch.Tensor = x + self.code(code.to(x.dtype))
        return added


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
    codes
        Frequencies that encode the centres of objects, at strides 8 and 16.
    frame
        Side in pixels of the model's input.
    """

    def __init__(
        self, widths: Sequence[int], depths: Sequence[int], codes: int, frame: int
    ) -> None:
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
        self.centres = nn.ModuleDict(
            {str(level): Centres(widths[level], codes, 4 * 2**level, frame) for level in (1, 2)}
        )
        self.channel_list = list(widths[::-1])

    def forward(self, x: torch.Tensor, corner: tuple[int, int] = (0, 0)) -> list[torch.Tensor]:
        """Map (B, 3, S, S) to four maps, finest first, as `FpnNeck` expects.

        ``corner`` is the row and column of a window in the frame; training uses windows.
        """
        x = self.stem(x)
        maps = []
        for level, stage in enumerate(self.stages):
            x = stage(x)
            if str(level) in self.centres:
                x = self.centres[str(level)](x, corner)
            maps.append(x)
        return maps
