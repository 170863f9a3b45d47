"""Masks from votes: what every place of an image says about its object, and which agree.

At stride 4 each place says, for each of three levels (part, object, group), how far the centre
of its object lies, how near to it other votes must be to count (a bandwidth), how good the
mask will be, and whether there is an object at all. The mask of a centre c and a sharpness k
is where exp(−k |vote − c|²) times the foreground's probability exceeds one half: "Instance
Segmentation by Jointly Optimizing Spatial Embeddings and Clustering Bandwidth" (Neven et al.
2019). For all prompts at once that is one product of matrices.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 3
OUTPUTS = 5 * LEVELS + 1
STRIDE = 4
UNIT = 32.0
"""Pixels of an offset of 1."""
SHARPNESS = 4.0
STEEPNESS = 3.0
"""Of a mask's logits, as the stability score of the generator expects them."""
LIMIT = 24.0
"""Largest logit of a mask."""


class Places:
    """The votes of some places.

    Parameters
    ----------
    place
        (2, N), (x, y) of each place in units of 32 pixels.
    vote
        (L, 2, N), where the centre lies.
    sharpness
        (L, N), of votes.
    foreground
        Probabilities (L, N).
    visible
        (L, N), logarithms of the foregrounds.
    """

    def __init__(
        self, place: Tensor, vote: Tensor, sharpness: Tensor, foreground: Tensor, visible: Tensor
    ) -> None:
        self.place, self.vote, self.sharpness = place, vote, sharpness
        self.foreground, self.visible = foreground, visible
        length = vote.square().sum(1, keepdim=True)
        self._terms = torch.cat([vote, length, torch.ones_like(length)], dim=1)

    def only(self, index: Tensor) -> Places:
        """Return some places, by their numbers (K,)."""
        return Places(
            self.place[:, index],
            self.vote[..., index],
            self.sharpness[:, index],
            self.foreground[:, index],
            self.visible[:, index],
        )

    def mean(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean votes and sharpness of places with a ``weight`` (B, L, N)."""
        total = weight.sum(-1).clamp(min=1e-6)
        centre = torch.einsum("bln,lcn->blc", weight, self.vote) / total[..., None]
        logarithm = torch.einsum("bln,ln->bl", weight, self.sharpness.log()) / total
        return centre, logarithm.exp()

    def agreement(self, centre: Tensor, sharpness: Tensor) -> Tensor:
        """Return log probabilities (B, L, N) of the masks of centres (B, L, 2)."""
        u = self._product(centre, sharpness, self._terms, self.visible)
        return u.transpose(0, 1)

    def _product(self, centre: Tensor, sharpness: Tensor, terms: Tensor, visible: Tensor) -> Tensor:
        k = sharpness[..., None]
        length = centre.square().sum(-1, keepdim=True)
        weights = torch.cat([2 * k * centre, -k, -k * length], dim=-1).transpose(0, 1)
        return torch.baddbmm(visible[:, None], weights, terms)


class Window(Places):
    """The votes of a rectangle of places, and what a score looks at there.

    Attributes
    ----------
    size
        (h, w), rows and columns of places.
    under
        (L, N, C + 4): qualities, foregrounds, edge and codes, then the vote, its square, and the
        logarithm of the sharpness.
    around
        (N / 4, C), the first C of these at stride 8.
    """

    size: tuple[int, int]
    under: Tensor
    around: Tensor


class Scene(Window):
    """The votes of one image.

    Parameters
    ----------
    votes
        (C, h, w) of the trunk: offset x, offset y, bandwidth, quality and foreground of each
        level, the edges' logit, then codes.

    Attributes
    ----------
    quality
        Probabilities (L, N).
    """

    def __init__(self, votes: Tensor) -> None:
        votes = votes.float()
        self.size = height, width = (votes.shape[1], votes.shape[2])
        levels = votes[: OUTPUTS - 1].reshape(LEVELS, 5, height * width)
        y = (torch.arange(height, device=votes.device) + 0.5) * (STRIDE / UNIT)
        x = (torch.arange(width, device=votes.device) + 0.5) * (STRIDE / UNIT)
        grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
        place = grid.flatten(1)
        super().__init__(
            place,
            levels[:, :2] + place,
            SHARPNESS * levels[:, 2].clamp(-4, 7).exp(),
            levels[:, 4].sigmoid(),
            functional.logsigmoid(levels[:, 4]),
        )
        self.quality = levels[:, 3].sigmoid()
        rest = votes[OUTPUTS - 1 :].flatten(1)
        described = torch.cat([self.quality, self.foreground, rest[:1].sigmoid(), rest[1:]])
        length = self._terms[:, 2:3]
        moments = torch.cat([self.vote, length, self.sharpness.log()[:, None]], dim=1)
        self._sparse = self._terms.reshape(LEVELS, 4, height, width)[..., ::2, ::2].flatten(2)
        visible = self.visible.reshape(LEVELS, height, width)
        self._sparse_visible = visible[..., ::2, ::2].flatten(1)
        values = torch.cat([self.vote, moments[:, 3:]], dim=1).reshape(LEVELS, 3, height, width)
        self._sparse_values = values[..., ::2, ::2].flatten(2).transpose(1, 2).contiguous()
        fine = torch.cat([described.expand(LEVELS, -1, -1), moments], dim=1)
        self.under = fine.transpose(1, 2).contiguous()
        coarse = functional.avg_pool2d(described.reshape(1, -1, height, width), 2)[0]
        self.around = coarse.flatten(1).T.contiguous()

    def at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the votes (B, L, 2) and sharpness (B, L) at ``points`` (B, 2), in pixels."""
        index = self.index(points)
        return self.vote[:, :, index].permute(2, 0, 1), self.sharpness[:, index].T

    def index(self, points: Tensor) -> Tensor:
        """Return the numbers (B,) of the places where ``points`` (B, 2), in pixels, lie."""
        height, width = self.size
        column = (points[:, 0] / STRIDE).long().clamp(0, width - 1)
        row = (points[:, 1] / STRIDE).long().clamp(0, height - 1)
        return row * width + column

    def window(self, rows: slice, columns: slice) -> Window:
        """Return a rectangle of places; its first row and column have even numbers."""

        def cut(values: Tensor, size: tuple[int, int]) -> Tensor:
            return values.reshape(*values.shape[:-1], *size)[..., rows, columns].flatten(-2)

        def halved(part: slice) -> slice:
            return slice(part.start // 2, part.stop // 2)

        parts = (self.place, self.vote, self.sharpness, self.foreground, self.visible)
        found = Window(*(cut(values, self.size) for values in parts))
        found.size = rows.stop - rows.start, columns.stop - columns.start
        found.under = self.under.reshape(LEVELS, *self.size, -1)[:, rows, columns].flatten(1, 2)
        coarse = self.around.reshape(self.size[0] // 2, self.size[1] // 2, -1)
        found.around = coarse[halved(rows), halved(columns)].flatten(0, 1)
        return found

    def settle(self, centre: Tensor, sharpness: Tensor) -> tuple[Tensor, Tensor]:
        """Move centres (B, L, 2) to the mean of the votes that agree, of every fourth place."""
        p = self._product(centre, sharpness, self._sparse, self._sparse_visible).exp()
        return self.settled(
            torch.bmm(p, self._sparse_values), p.sum(-1, keepdim=True), centre, sharpness
        )

    def settled(
        self, values: Tensor, total: Tensor, centre: Tensor, sharpness: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the means of sums (L, B, 3) of weights (L, B, 1), with the centres' own."""
        # The own vote counts as half a place: small objects may have no fourth one.
        own = torch.cat([centre, sharpness.log()[..., None]], dim=-1).transpose(0, 1)
        mean = ((values + 0.5 * own) / (total + 0.5)).transpose(0, 1)
        return mean[..., :2], mean[..., 2].exp()

    def masks(self, centre: Tensor, sharpness: Tensor) -> Tensor:
        """Return the logits (B, L, N) of the masks of centres (B, L, 2)."""
        return log_odds(self.agreement(centre, sharpness))


def log_odds(u: Tensor) -> Tensor:
    """Return steep log odds of probabilities exp(u), within ±`LIMIT`; changes ``u``."""
    u = u.clamp_(-LIMIT, -1e-4)
    return u.sub(torch.expm1(u).neg_().log_()).mul_(STEEPNESS).clamp_(-LIMIT, LIMIT)
