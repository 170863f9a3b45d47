"""The prompt encoder of the bundled model: prompts pass through as they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

POINT_OFF, POINT_ON, CORNER_FIRST, CORNER_LAST = range(4)


class VotePrompts(nn.Module):
    """Takes what SAM 2's prompt encoder takes, and embeds nothing: prompts only name votes."""

    position: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("position", torch.zeros(1, 1, 1, 1), persistent=False)

    def get_dense_pe(self) -> Tensor:
        """Return (1, 1, 1, 1): votes carry their own places."""
        return self.position

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Gather prompts.

        Parameters
        ----------
        points
            (B, T, 2), (x, y) in pixels of the frame, and labels (B, T): 1 on the object, 0 off
            it, 2 and 3 the corners of its box, −1 nothing.
        boxes
            (B, 4), as ``(x0, y0, x1, y1)``.
        masks
            Logits (B, 1, h, w) at a quarter of the frame's resolution.

        Returns
        -------
        sparse
            (B, T, 3): x, y, label.
        dense
            The masks; (B, 1, 0, 0) without any.
        """
        device = self.position.device
        sparse = []
        if boxes is not None:
            corners = boxes.reshape(-1, 2, 2).float()
            kinds = torch.tensor([CORNER_FIRST, CORNER_LAST], device=device)
            sparse.append(
                torch.cat([corners, kinds.float().expand(len(corners), 2)[..., None]], dim=-1)
            )
        if points is not None:
            places, kinds = points
            sparse.append(torch.cat([places.float(), kinds[..., None].float()], dim=-1))
        count = len(sparse[0]) if sparse else 1 if masks is None else len(masks)
        if not sparse:
            sparse.append(torch.zeros(count, 0, 3, device=device))
        dense = torch.zeros(count, 1, 0, 0, device=device) if masks is None else masks.float()
        return torch.cat(sparse, dim=1), dense
