"""SAM 2's two-way transformer between point prompts and one image.

"SAM 2: Segment Anything in Images and Videos" (Ravi et al. 2024), on the weights of sam2's own
module. What the first block computes from the image is the same for every point without a mask
prompt, so it is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from napari_graysam.propose.upscale import Network, cached_points, plus, precision_of

# A module of sam2, whose classes are not typed.
Attention = Any


class Transformer:
    """The two-way transformer with the arithmetic of sam2's modules.

    On a processor the tokens of all points go through together, and the pixels, of which there
    are hundreds of times more, a few points at a time, so that they stay in its cache.

    Parameters
    ----------
    network
        A ``TwoWayTransformer`` of sam2.
    pixels, position
        (1, N, C): the image's tokens and their positional encoding.
    """

    def __init__(self, network: Network, pixels: Tensor, position: Tensor) -> None:
        block = network.layers[0]
        to_image, to_token = block.cross_attn_token_to_image, block.cross_attn_image_to_token
        placed = pixels + position
        self.network = network
        self.keys = _heads(to_image.k_proj(placed), to_image)
        self.values = _heads(to_image.v_proj(pixels), to_image)
        self.queries = _heads(to_token.q_proj(placed), to_token)
        self.pixels, self.position = pixels.contiguous(), position.contiguous()

    def transform(self, prompts: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Let prompts (B, T, C) and image attend to each other.

        Returns
        -------
        tokens
            (B, T, C), before their last look at the image.
        pixels
            The image's tokens as each prompt has changed them, (b, N, C) each; together B.
        """
        together = cached_points(self.pixels, len(prompts))
        tokens = prompts
        pixels: tuple[Tensor, ...] = ()
        for block in self.network.layers:
            tokens = _attend_to_tokens(block, tokens, prompts)
            to_image, to_token = block.cross_attn_token_to_image, block.cross_attn_image_to_token
            tokens = block.norm2(tokens + self.look(to_image, tokens + prompts, pixels))
            tokens = block.norm3(tokens + block.mlp(tokens))
            keys = torch.split(_heads(to_token.k_proj(tokens + prompts), to_token), together)
            values = torch.split(_heads(to_token.v_proj(tokens), to_token), together)
            pixels = tuple(
                block.norm4(self.tell(to_token, key, value, pixels[group] if pixels else None))
                for group, (key, value) in enumerate(zip(keys, values, strict=True))
            )
        return tokens, pixels

    def conclude(self, tokens: Tensor, prompts: Tensor, pixels: Sequence[Tensor]) -> Tensor:
        """Let tokens (B, T, C) look at the pixels, (b, N, C) each, for the last time."""
        last = self.network.final_attn_token_to_image
        seen = self.look(last, tokens + prompts, pixels)
        concluded: Tensor = self.network.norm_final_attn(tokens + seen)
        return concluded

    def look(self, attention: Attention, tokens: Tensor, pixels: Sequence[Tensor]) -> Tensor:
        """Return what tokens (B, T, C) see in the pixels; none are those of the image."""
        queries = _heads(attention.q_proj(tokens), attention)
        if pixels:
            parts = torch.split(queries, [len(part) for part in pixels])
            found = [
                self.attend(attention, part, each) for part, each in zip(parts, pixels, strict=True)
            ]
        else:
            parts = torch.split(queries, cached_points(self.pixels, len(queries)))
            found = [self.attend_first(part) for part in parts]
        joined: Tensor = attention.out_proj(torch.cat(found))
        return joined

    def attend_first(self, queries: Tensor) -> Tensor:
        """Attend to pixels that no point has changed."""
        # Copies, because attention rounds differently where all prompts read the same memory.
        count = len(queries)
        keys, values = (
            part if count == 1 else part.repeat(count, 1, 1, 1) for part in (self.keys, self.values)
        )
        return _join(functional.scaled_dot_product_attention(queries, keys, values))

    def attend(self, attention: Attention, queries: Tensor, pixels: Tensor) -> Tensor:
        """Attend to pixels: heads (b, heads, T, c) to (b, T, heads · c)."""
        keys = _heads(attention.k_proj(pixels + self.position), attention)
        values = _heads(attention.v_proj(pixels), attention)
        return _join(functional.scaled_dot_product_attention(queries, keys, values))

    def tell(
        self, attention: Attention, keys: Tensor, values: Tensor, pixels: Tensor | None
    ) -> Tensor:
        """Return pixels, the untouched ones for None, plus what they learn from tokens."""
        if pixels is None:
            count = len(keys)
            queries = self.queries
            queries = queries if count == 1 else queries.repeat(count, 1, 1, 1)
            pixels = self.pixels
        else:
            queries = _heads(attention.q_proj(pixels + self.position), attention)
        found = _join(functional.scaled_dot_product_attention(queries, keys, values))
        return plus(attention.out_proj(found), pixels)


class AbsorbedTransformer(Transformer):
    """The same with projections of pixels absorbed into the tokens.

    ``(W x) · q`` is ``x · (Wᵀ q)``, and ``Σ a W x`` is ``W Σ a x``: with fewer tokens times
    heads than channels, multiplying the pixels with transformed tokens costs less. The bias of
    keys shifts all scores of a token alike, which the softmax forgets.
    """

    def __init__(self, network: Network, pixels: Tensor, position: Tensor) -> None:
        super().__init__(network, pixels, position)
        # All sums with it are multiplied: in other types they would be made only to be rounded.
        precision = precision_of(network.layers[0].cross_attn_token_to_image.k_proj.weight)
        self.position = self.position.to(precision)

    def attend_first(self, queries: Tensor) -> Tensor:
        """Attend to pixels that no point has changed."""
        batch, heads, count, channels = queries.shape
        together = queries.transpose(0, 1).reshape(1, heads, batch * count, channels)
        found = functional.scaled_dot_product_attention(together, self.keys, self.values)
        return _join(found.view(heads, batch, count, channels).transpose(0, 1))

    def attend(self, attention: Attention, queries: Tensor, pixels: Tensor) -> Tensor:
        """Attend to pixels: heads (b, heads, T, c) to (b, T, heads · c)."""
        batch, heads, count, channels = queries.shape
        into = attention.k_proj.weight.view(heads, channels, -1)
        asked = ((queries * channels**-0.5) @ into).flatten(1, 2)
        scores = _scores(asked, pixels + self.position)
        found = (torch.softmax(scores, dim=-1).to(pixels.dtype) @ pixels).view(
            batch, heads, count, -1
        )
        out = attention.v_proj.weight.view(heads, channels, -1).transpose(1, 2)
        values: Tensor = _join(found @ out) + attention.v_proj.bias
        return values

    def tell(
        self, attention: Attention, keys: Tensor, values: Tensor, pixels: Tensor | None
    ) -> Tensor:
        """Return pixels, the untouched ones for None, plus what they learn from tokens."""
        batch, heads, count, channels = keys.shape
        asked = keys * channels**-0.5
        if pixels is None:
            pixels = self.pixels
            scores = asked @ self.queries.transpose(2, 3)
        else:
            into = attention.q_proj.weight.view(heads, channels, -1)
            placed = pixels + self.position
            scores = _scores((asked @ into).flatten(1, 2), placed).view(batch, heads, count, -1)
            scores = plus(scores, asked @ attention.q_proj.bias.view(heads, channels, 1))
        share = torch.softmax(scores, dim=2).flatten(1, 2).transpose(1, 2)
        out = attention.out_proj.weight.view(-1, heads, channels).permute(1, 2, 0)
        message = (values @ out + attention.out_proj.bias / heads).flatten(1, 2)
        if message.dtype == pixels.dtype:
            if pixels is not self.pixels:
                return pixels.baddbmm_(share, message)
            return torch.baddbmm(pixels.expand(batch, -1, -1), share, message)
        learned: Tensor = pixels + share.to(message.dtype) @ message
        return learned


def _scores(asked: Tensor, pixels: Tensor) -> Tensor:
    """Multiply (b, T, C) with pixels (b, N, C) to (b, T, N)."""
    if pixels.dtype == torch.float32:
        return asked @ pixels.transpose(1, 2)
    # As they lie: bfloat16 would be copied to be transposed, three times as slow.
    return (pixels @ asked.transpose(1, 2)).transpose(1, 2).contiguous()


def _attend_to_tokens(block: Network, queries: Tensor, tokens: Tensor) -> Tensor:
    """Let the tokens of a point look at each other."""
    if block.skip_first_layer_pe:
        learned = block.self_attn(queries, queries, queries)
    else:
        placed = queries + tokens
        learned = queries + block.self_attn(placed, placed, queries)
    seen: Tensor = block.norm1(learned)
    return seen


def _heads(values: Tensor, attention: Attention) -> Tensor:
    """Split (B, T, C) into (B, heads, T, c)."""
    batch, count, _ = values.shape
    return values.reshape(batch, count, attention.num_heads, -1).transpose(1, 2)


def _join(heads: Tensor) -> Tensor:
    """Join (B, heads, T, c) to (B, T, heads · c)."""
    return heads.transpose(1, 2).flatten(2)
