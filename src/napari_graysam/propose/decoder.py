"""SAM 2's mask decoder on the weights of its own module, without work that many prompts share.

The network is that of "SAM 2: Segment Anything in Images and Videos" (Ravi et al. 2024), as in
``sam2.modeling.sam`` of sam2 1.1.0. What differs is the order of work:

- the first block's projections of the image are the same for every point without a mask
  prompt, so they are computed once a crop;
- predicted IoUs come from the tokens, so only points with a mask worth keeping are upscaled;
- sums and normalisations of large arrays happen in place.

With ``absorbed`` the projections of keys and values are moved to the side of the tokens, of
which there are far fewer than pixels, and masks are drawn by matrix products: the same
mathematics, other rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from napari_graysam.propose.encode import Features
from napari_graysam.propose.upscale import (
    Convolutions,
    Network,
    Products,
    Upscale,
    plus,
    precision_of,
)

# A module of sam2, whose classes are not typed.
Attention = Any

# Image tokens in a processor's cache: those of one point at a frame of 1024 pixels.
_CACHED_PIXELS = 64 * 64


@dataclass(frozen=True)
class ImageSide:
    """What the decoder knows of a crop before any prompt.

    Parameters
    ----------
    tokens, position
        (1, N, C): the image's tokens and their positional encoding.
    keys, values, queries
        (1, heads, N, c), of the first block's two cross-attentions.
    upscale
        What draws masks from the tokens.
    size
        ``(h, w)``, N = h · w.
    absorbed
        Move projections to the side of the tokens: half the arithmetic, other rounding.
    """

    tokens: Tensor
    position: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor
    upscale: Upscale
    size: tuple[int, int]
    absorbed: bool


@dataclass(frozen=True)
class Answers:
    """What the decoder says of some points, before masks are drawn.

    Parameters
    ----------
    predicted_iou
        (B, 4), of the single mask and the three of different sizes.
    weights
        (B, 4, c), of the upscaled channels in each mask.
    pixels
        The image's tokens after they have seen the points, (b, N, C) each; together B.
    """

    predicted_iou: Tensor
    weights: Tensor
    pixels: tuple[Tensor, ...]


def understood(decoder: Network) -> bool:
    """Tell whether ``decoder`` is SAM 2's own, with high-resolution features."""
    from sam2.modeling.sam.mask_decoder import MaskDecoder

    return type(decoder) is MaskDecoder and decoder.use_high_res_features


def image_side(
    decoder: Network, features: Features, no_mask: Tensor, *, absorbed: bool
) -> ImageSide:
    """Compute what all points of a crop share.

    Parameters
    ----------
    decoder
        A ``MaskDecoder`` of sam2.
    features
        Of the crop.
    no_mask
        (1, C, 1, 1), the prompt encoder's embedding of "no mask prompt".
    absorbed
        As in `ImageSide`.
    """
    # Channels first, as upstream's: products round differently in another layout.
    tokens = _tokens(features.contiguous + no_mask)
    position = _tokens(features.position)
    placed = tokens + position
    block = decoder.transformer.layers[0]
    to_image, to_token = block.cross_attn_token_to_image, block.cross_attn_image_to_token
    height, width = features.embedding.shape[-2:]
    fine, middle = features.high_resolution
    upscale = Products if absorbed else Convolutions
    if absorbed:
        # All sums with it are multiplied: in other types they would be made only to be rounded.
        position = position.to(precision_of(to_image.k_proj.weight))
    return ImageSide(
        tokens.contiguous(),
        position.contiguous(),
        keys=_heads(to_image.k_proj(placed), to_image),
        values=_heads(to_image.v_proj(tokens), to_image),
        queries=_heads(to_token.q_proj(placed), to_token),
        upscale=upscale(decoder, fine, middle, (height, width)),
        size=(height, width),
        absorbed=absorbed,
    )


def answer(decoder: Network, image: ImageSide, sparse: Tensor) -> Answers:
    """Let points and image attend to each other.

    Parameters
    ----------
    decoder
        A ``MaskDecoder`` of sam2.
    image
        Of the crop that the points lie in.
    sparse
        (B, T, C), the prompt encoder's embeddings of each point.
    """
    own = [decoder.iou_token.weight, decoder.mask_tokens.weight]
    if decoder.pred_obj_scores:
        own.insert(0, decoder.obj_score_token.weight)
    first = len(own) - 1
    tokens = torch.cat([torch.cat(own).expand(len(sparse), -1, -1), sparse], dim=1)
    look = _Absorbed(decoder, image) if image.absorbed else _Plain(decoder, image)
    masks = len(decoder.output_hypernetworks_mlps)
    queries, pixels = look.transform(tokens, slice(first - 1, first + masks))
    heads = enumerate(decoder.output_hypernetworks_mlps, start=1)
    weights = torch.stack([head(queries[:, token]) for token, head in heads], dim=1)
    return Answers(decoder.iou_prediction_head(queries[:, 0]), weights, pixels)


def draw(image: ImageSide, answers: Answers, wanted: Tensor) -> Tensor:
    """Return the logits (K, 4·h, 4·w) of the masks that ``wanted``, bool (B, 4), names."""
    size = len(answers.pixels[0])
    live = wanted.any(1).nonzero()[:, 0]
    at_once = len(live) if size == len(wanted) else 2 * size
    if not len(live):
        return answers.weights.new_zeros((0, *(4 * length for length in image.size)))
    drawn = []
    for points in torch.split(live, at_once):
        chosen = wanted[points]
        if len(points) == 1 and not image.absorbed:
            # A batch of one takes longer than two, and is rounded differently from all others.
            points, chosen = points.repeat(2), torch.cat([chosen, torch.zeros_like(chosen)])
        pixels = [answers.pixels[point // size][point % size] for point in points.tolist()]
        drawn.append(image.upscale.masks(pixels, answers.weights[points], chosen))
    return torch.cat(drawn)


class _Plain:
    """The two-way transformer with the arithmetic of sam2's modules.

    On a processor the tokens of all points go through together, and the pixels, of which there
    are hundreds of times more, a few points at a time, so that they stay in its cache.
    """

    sparing = False
    """Whether only tokens that are used look at the image last; fewer are rounded differently."""

    def __init__(self, decoder: Network, image: ImageSide) -> None:
        self.network = decoder.transformer
        self.image = image

    def transform(self, tokens: Tensor, wanted: slice) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the wanted tokens of points (B, T, C) and pixels (b, N, C) have learned."""
        together = len(tokens)
        if tokens.device.type == "cpu":
            together = min(together, max(1, _CACHED_PIXELS // self.image.tokens.shape[1]))
        seen: tuple[Tensor, ...] = ()
        queries = tokens
        for block in self.network.layers:
            queries = _attend_to_tokens(block, queries, tokens)
            queries = block.norm2(
                queries
                + self.look(block.cross_attn_token_to_image, queries + tokens, seen, together)
            )
            queries = block.norm3(queries + block.mlp(queries))
            told = block.cross_attn_image_to_token
            keys = torch.split(_heads(told.k_proj(queries + tokens), told), together)
            values = torch.split(_heads(told.v_proj(queries), told), together)
            seen = tuple(
                block.norm4(self.tell(told, key, value, seen[group] if seen else None))
                for group, (key, value) in enumerate(zip(keys, values, strict=True))
            )
        last = self.network.final_attn_token_to_image
        asking = wanted if self.sparing else slice(None)
        queries, tokens = queries[:, asking], tokens[:, asking]
        queries = queries + self.look(last, queries + tokens, seen, together)
        queries = self.network.norm_final_attn(queries)
        return queries if self.sparing else queries[:, wanted], seen

    def look(
        self, attention: Attention, queries: Tensor, seen: tuple[Tensor, ...], together: int
    ) -> Tensor:
        """Return what tokens (B, T, C) see in the pixels."""
        parts = torch.split(_heads(attention.q_proj(queries), attention), together)
        found = [
            self.attend(attention, part, seen[group]) if seen else self.attend_first(part)
            for group, part in enumerate(parts)
        ]
        joined: Tensor = attention.out_proj(torch.cat(found))
        return joined

    def attend_first(self, queries: Tensor) -> Tensor:
        """Attend to pixels that no point has changed."""
        # Copies, because attention rounds differently where all prompts read the same memory.
        count = len(queries)
        keys, values = (
            part if count == 1 else part.repeat(count, 1, 1, 1)
            for part in (self.image.keys, self.image.values)
        )
        return _join(functional.scaled_dot_product_attention(queries, keys, values))

    def attend(self, attention: Attention, queries: Tensor, pixels: Tensor) -> Tensor:
        """Attend to pixels: heads (b, heads, T, c) to (b, T, heads · c)."""
        keys = _heads(attention.k_proj(pixels + self.image.position), attention)
        values = _heads(attention.v_proj(pixels), attention)
        return _join(functional.scaled_dot_product_attention(queries, keys, values))

    def tell(
        self, attention: Attention, keys: Tensor, values: Tensor, pixels: Tensor | None
    ) -> Tensor:
        """Return pixels, the untouched ones for None, plus what they learn from tokens."""
        if pixels is None:
            count = len(keys)
            queries = self.image.queries
            queries = queries if count == 1 else queries.repeat(count, 1, 1, 1)
            pixels = self.image.tokens
        else:
            queries = _heads(attention.q_proj(pixels + self.image.position), attention)
        found = _join(functional.scaled_dot_product_attention(queries, keys, values))
        return plus(attention.out_proj(found), pixels)


class _Absorbed(_Plain):
    """The same with projections of pixels absorbed into the tokens.

    ``(W x) · q`` is ``x · (Wᵀ q)``, and ``Σ a W x`` is ``W Σ a x``: with fewer tokens times
    heads than channels, multiplying the pixels with transformed tokens costs less. The bias of
    keys shifts all scores of a token alike, which the softmax forgets.
    """

    sparing = True

    def attend(self, attention: Attention, queries: Tensor, pixels: Tensor) -> Tensor:
        """Attend to pixels: heads (b, heads, T, c) to (b, T, heads · c)."""
        batch, heads, count, channels = queries.shape
        into = attention.k_proj.weight.view(heads, channels, -1)
        asked = ((queries * channels**-0.5) @ into).flatten(1, 2)
        scores = _scores(asked, pixels + self.image.position)
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
            pixels = self.image.tokens
            scores = asked @ self.image.queries.transpose(2, 3)
        else:
            into = attention.q_proj.weight.view(heads, channels, -1)
            placed = pixels + self.image.position
            scores = _scores((asked @ into).flatten(1, 2), placed).view(batch, heads, count, -1)
            scores = plus(scores, asked @ attention.q_proj.bias.view(heads, channels, 1))
        share = torch.softmax(scores, dim=2).flatten(1, 2).transpose(1, 2)
        out = attention.out_proj.weight.view(-1, heads, channels).permute(1, 2, 0)
        message = (values @ out + attention.out_proj.bias / heads).flatten(1, 2)
        if message.dtype == pixels.dtype:
            if pixels is not self.image.tokens:
                return pixels.baddbmm_(share, message)
            return torch.baddbmm(pixels.expand(batch, -1, -1), share, message)
        learned: Tensor = pixels + share.to(message.dtype) @ message
        return learned


def _scores(asked: Tensor, pixels: Tensor) -> Tensor:
    """Multiply (b, T, C) with pixels (b, N, C) to (b, T, N)."""
    # Large matrices as they lie: bfloat16 would be copied to be transposed, three times as slow.
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


def _tokens(image: Tensor) -> Tensor:
    """Return (1, C, h, w) as (1, h·w, C)."""
    return image.flatten(2).transpose(1, 2)


def _heads(values: Tensor, attention: Attention) -> Tensor:
    """Split (B, T, C) into (B, heads, T, c)."""
    batch, count, _ = values.shape
    return values.reshape(batch, count, attention.num_heads, -1).transpose(1, 2)


def _join(heads: Tensor) -> Tensor:
    """Join (B, heads, T, c) to (B, T, heads · c)."""
    return heads.transpose(1, 2).flatten(2)
