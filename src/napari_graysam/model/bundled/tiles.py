"""Answers to many points on a processor, each computed only where its mask can be.

The map of votes is cut into square tiles. Bounds of the votes in a tile tell which points cannot
name any place there; all others are computed together, tile by tile, as products of matrices.
What is left out has a probability below e⁻¹⁶: the same scores but for rounding, and the same
logits, which are at their limit long before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_graysam.model.bundled.decoder import VoteDecoder
from napari_graysam.model.bundled.facts import Sums, describe
from napari_graysam.model.bundled.scene import LEVELS, LIMIT, STRIDE, UNIT, Scene, log_odds

_LEAST = -16.0
_NEVER = -1e4
_HALO = 2


class TileAnswers(NamedTuple):
    """Answers to B points.

    Attributes
    ----------
    predicted_iou
        (B, 4), the first 0 for no single mask.
    weights
        (L, B, T, 4), of the votes' terms in the logarithm of each mask's probability.
    active
        bool (L, B, T), which tiles a mask may reach.
    """

    predicted_iou: Tensor
    weights: Tensor
    active: Tensor


class TiledCrop:
    """What a decoder says of one crop, as `VoteCrop` does, computed tile by tile.

    Parameters
    ----------
    decoder
        Of the model.
    votes
        (1, C, h, w), the crop's features at stride 4; sides are even.
    """

    def __init__(self, decoder: VoteDecoder, votes: Tensor) -> None:
        self.decoder = decoder
        self.scene = scene = Scene(votes[0])
        # Some 64 tiles: smaller ones spare more, but each is a handful of operations.
        self.side = side = 8 * max(1, round(max(scene.size) / 64))
        height, width = scene.size
        self.grid = rows, columns = -(-height // side), -(-width // side)
        self.order = _order(side)
        inner, self.inside = side**2 // 4, side**2
        self.rim = _rim(side)

        def cut(values: Tensor, outside: float = 0.0) -> Tensor:
            """Cut (..., N) into tiles (T, places, ...) with a halo."""
            image = values.reshape(-1, height, width)
            right, low = columns * side - width, rows * side - height
            padding = (_HALO, right + _HALO, _HALO, low + _HALO)
            image = functional.pad(image, padding, value=outside)
            tiles = image.unfold(1, side + 2 * _HALO, side).unfold(2, side + 2 * _HALO, side)
            flat = tiles.permute(1, 2, 3, 4, 0).reshape(rows * columns, -1, len(image))
            return flat[:, self.order]

        y, x = (torch.arange(count) * side + side / 2 for count in self.grid)
        middle = torch.stack([x.repeat(rows), y.repeat_interleave(columns)], dim=1)
        self.middle = middle.to(votes) * (STRIDE / UNIT)
        visible = [cut(scene.visible[level], _NEVER)[..., 0] for level in range(LEVELS)]
        under = [cut(scene.under[level].T)[:, : self.inside] for level in range(LEVELS)]
        votes = torch.stack([cut(scene.vote[level]).transpose(1, 2) for level in range(LEVELS)])
        # Far from the origin, squares would cancel each other down to a few digits.
        near = votes - self.middle[..., None]
        length = near.square().sum(2, keepdim=True)
        self.terms = torch.cat([near, length, torch.ones_like(length)], dim=2)
        self.visible = torch.stack(visible)
        row_by_row = self.order[: self.inside].argsort()
        self.own_terms = self.terms[..., row_by_row]
        self.own_visible = self.visible[..., row_by_row]
        found = torch.stack(under)
        described, moments = found[..., :-4], found[..., -4:]
        logarithm, terms = moments[..., -1:], self.terms[..., : self.inside].transpose(2, 3)
        self.under = torch.cat([described, logarithm, terms], dim=-1)
        around = described[0].reshape(len(self.middle), 4, inner, -1).mean(1)
        self.around = torch.cat([around, torch.ones_like(around[..., :1])], dim=-1)
        values = [moments[..., :2], logarithm, torch.ones_like(logarithm)]
        self.values = torch.cat(values, dim=-1)[:, :, :inner].contiguous()
        shown = self.visible > _LEAST
        self.low = torch.where(shown[:, :, None], votes, torch.inf).amin(-1)
        self.high = torch.where(shown[:, :, None], votes, -torch.inf).amax(-1)
        self.most = self.visible.amax(-1)

    def answer(self, sparse: Tensor) -> TileAnswers:
        """Let points (B, 1, 3) name their masks."""
        centre, sharpness = self._settle(*self.scene.at(sparse[:, 0, :2]))
        weights, active = self._weights(centre, sharpness), self._active(centre, sharpness)
        sums = self._sums(weights, active)
        scores = self.decoder.score(describe(sums, sharpness)).sigmoid()
        return TileAnswers(functional.pad(scores, (1, 0)), weights, active)

    def draw(self, answers: TileAnswers, wanted: Tensor) -> Tensor:
        """Return the logits (K, h, w) of the masks that ``wanted``, bool (B, 4), names."""
        wanted = wanted[:, 1:].T
        height, width = self.scene.size
        rank = wanted.T.flatten().cumsum(0).reshape(-1, LEVELS).T - 1
        side, (rows, columns) = self.side, self.grid
        shape = int(wanted.sum()), rows * side, columns * side
        logits = answers.weights.new_full(shape, -LIMIT)
        for level, tile, index in _reached(answers.active & wanted[..., None]):
            u = torch.addmm(
                self.own_visible[level, tile],
                answers.weights[level, index, tile],
                self.own_terms[level, tile],
            )
            y, x = (side * along for along in divmod(tile, columns))
            logits[rank[level, index], y : y + side, x : x + side] = log_odds(u).view(
                -1, side, side
            )
        return logits[:, :height, :width]

    def _settle(self, centre: Tensor, sharpness: Tensor) -> tuple[Tensor, Tensor]:
        """Do as `Scene.settle`."""
        weights, active = self._weights(centre, sharpness), self._active(centre, sharpness)
        count = self.side**2 // 4
        sums = weights.new_zeros(*weights.shape[:2], 4)
        for level, tile, index in _reached(active):
            terms = self.terms[level, tile, :, :count]
            p = torch.addmm(self.visible[level, tile, :count], weights[level, index, tile], terms)
            sums[level].index_add_(0, index, p.exp_() @ self.values[level, tile])
        return self.scene.settled(sums[..., :3], sums[..., 3:], centre, sharpness)

    def _weights(self, centre: Tensor, sharpness: Tensor) -> Tensor:
        """Return the weights (L, B, T, 4) of the votes' terms for centres (B, L, 2)."""
        c = centre.transpose(0, 1)[:, :, None] - self.middle
        k = sharpness.T[..., None, None].expand(*c.shape[:3], 1)
        return torch.cat([2 * k * c, -k, -k * c.square().sum(-1, keepdim=True)], dim=-1)

    def _active(self, centre: Tensor, sharpness: Tensor) -> Tensor:
        """Return bool (L, B, T), which tiles may hold a place of each mask."""
        c = centre.transpose(0, 1)[:, :, None]
        low, high = self.low[:, None], self.high[:, None]
        gap = torch.maximum((low - c).clamp_(min=0), c - high)
        away: Tensor = gap.square_().sum(-1).mul_(sharpness.T[..., None])
        return self.most[:, None] - away > _LEAST

    def _sums(self, weights: Tensor, active: Tensor) -> Sums:
        """Sum up what lies under the masks and along their rims."""
        levels, count = weights.shape[:2]
        under = weights.new_zeros(levels, count, self.under.shape[-1])
        squares, away = weights.new_zeros(2, levels, count)
        inner = weights.new_zeros(levels, count, self.around.shape[-1])
        outer = torch.zeros_like(inner)
        for level, tile, index in _reached(active):
            w = weights[level, index, tile]
            p = torch.addmm(self.visible[level, tile], w, self.terms[level, tile]).exp_()
            own, halo = p[:, : self.inside], p[:, self.inside :]
            found = own @ self.under[level, tile]
            under[level].index_add_(0, index, found)
            away[level].index_add_(0, index, torch.linalg.vecdot(w, found[:, -4:]), alpha=-1)
            squares[level].index_add_(0, index, torch.linalg.vecdot(own, own))
            quarters = [part.view(len(p), 4, part.shape[1] // 4).sum(1) for part in (own, halo)]
            rim = torch.cat(quarters, dim=1) @ self.rim
            around = self.around[tile]
            inner[level].index_add_(0, index, rim.clamp(min=0) @ around)
            outer[level].index_add_(0, index, rim.neg_().clamp_(min=0) @ around)
        return Sums(
            under[..., :-4],
            under[..., -1:],
            away,
            inner[..., :-1],
            inner[..., -1:],
            outer[..., :-1],
            outer[..., -1:],
            squares,
        )


def _order(side: int) -> Tensor:
    """Return the order of a tile's places: its own, then the halo's; by place in a 2×2 square."""
    whole = side + 2 * _HALO
    number = torch.arange(whole**2).reshape(whole, whole)
    own = torch.zeros(whole, whole, dtype=torch.bool)
    own[_HALO:-_HALO, _HALO:-_HALO] = True
    squares = [number[y::2, x::2] for y in range(2) for x in range(2)]
    parts = [square[own[::2, ::2]] for square in squares]
    parts += [square[~own[::2, ::2]] for square in squares]
    return torch.cat(parts)


def _rim(side: int) -> Tensor:
    """Return the matrix that makes of sums of four places their mean less that of 3×3 of these."""
    half = side // 2 + _HALO
    own = torch.zeros(half, half, dtype=torch.bool)
    own[1:-1, 1:-1] = True
    unit = torch.eye(half**2).reshape(-1, 1, half, half) / 4
    rim = unit[..., 1:-1, 1:-1] - functional.avg_pool2d(unit, 3, 1)
    rim = rim.reshape(half**2, -1)
    flat = own.flatten()
    return torch.cat([rim[flat], rim[~flat]])


def _reached(active: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Yield levels and tiles, with the points that reach each."""
    for level, some in enumerate(active.transpose(1, 2)):
        for tile, points in enumerate(some.unbind()):
            index = points.nonzero()[:, 0]
            if len(index):
                yield level, tile, index
