"""An encoder for images: without position maps, and in chunks of rows where windows allow it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch
from sam2.modeling.backbones.hieradet import MultiScaleBlock
from torch import nn

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from torch import Tensor

# Tokens of a chunk: what lies between the products of matrices then stays small, where it would
# be hundreds of megabytes of fresh memory in the first blocks.
_TOKENS = 8192

_in_chunks = ContextVar("graysam_row_chunks", default=False)


def drop_positions(model: SAM2Base) -> None:
    """Stop the encoder from computing its position maps, which only videos use.

    At a frame of 1024 pixels they are 110 MB that would stay in memory.
    """
    model.image_encoder.neck.position_encoding = _NoPositions()


class _NoPositions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(1, 1, 1, 1)


def allow_row_chunks(model: SAM2Base) -> None:
    """Enable the encoder's blocks with attention in windows to compute in `row_chunks`."""
    for block in model.image_encoder.trunk.modules():
        if type(block) is MultiScaleBlock and block.window_size:
            block.__class__ = _ChunkedBlock


@contextmanager
def row_chunks(*, enabled: bool) -> Generator[None, None, None]:
    """Let this thread's encoders compute some rows of windows at a time, on a CPU.

    Windows are independent of each other (Hiera: Ryali et al. 2023, as sam2 1.1.0 has it), so
    the features are the same, but products of smaller matrices may round differently.
    """
    before = _in_chunks.set(enabled)
    try:
        yield
    finally:
        _in_chunks.reset(before)


class _ChunkedBlock(MultiScaleBlock):  # type: ignore[misc]
    """A block of the encoder, of tokens (B, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[1]
        if _in_chunks.get() and x.device.type == "cpu":
            windows = _TOKENS // (x.shape[0] * x.shape[2] * self.window_size)
            rows = max(1, windows) * self.window_size
        done = [super(_ChunkedBlock, self).forward(part) for part in torch.split(x, rows, dim=1)]
        return done[0] if len(done) == 1 else torch.cat(done, dim=1)
