"""SAM 2's mask decoder on the weights of its own module, without work that many prompts share.

The network is that of "SAM 2: Segment Anything in Images and Videos" (Ravi et al. 2024), as in
``sam2.modeling.sam`` of sam2 1.1.0. What differs is the order of work:

- what the first block computes from the image is the same for every point without a mask
  prompt, so it is computed once a crop;
- predicted IoUs come from the tokens, so only points with a mask worth keeping are upscaled;
- sums and normalisations of large arrays happen in place.

With ``absorbed`` the projections of keys and values are moved to the side of the tokens, of
which there are far fewer than pixels, the masks' tokens look at the image a last time only
where a mask is worth keeping, and masks are drawn by matrix products: the same mathematics,
other rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_graysam.propose.encode import Features
from napari_graysam.propose.transformer import AbsorbedTransformer, Transformer
from napari_graysam.propose.upscale import Convolutions, Network, Products, cached_points


@dataclass(frozen=True)
class Answers:
    """What the decoder says of some points, before masks are drawn.

    Parameters
    ----------
    predicted_iou
        (B, 4), of the single mask and the three of different sizes.
    tokens
        (B, 4, C), the masks' own; with absorbed projections before their last look at the image.
    prompts
        (B, 4, C), the same before they have seen anything.
    pixels
        The image's tokens after they have seen the points, (b, N, C) each; together B.
    """

    predicted_iou: Tensor
    tokens: Tensor
    prompts: Tensor
    pixels: tuple[Tensor, ...]


def understood(decoder: Network) -> bool:
    """Tell whether ``decoder`` is SAM 2's own, with high-resolution features."""
    from sam2.modeling.sam.mask_decoder import MaskDecoder

    return type(decoder) is MaskDecoder and decoder.use_high_res_features


class CropDecoder:
    """A mask decoder with what it knows of one crop before any prompt.

    Parameters
    ----------
    decoder
        A ``MaskDecoder`` of sam2.
    features
        Of the crop.
    no_mask
        (1, C, 1, 1), the prompt encoder's embedding of "no mask prompt".
    absorbed
        Move projections to the side of the tokens: half the arithmetic, other rounding.
    """

    def __init__(
        self, decoder: Network, features: Features, no_mask: Tensor, *, absorbed: bool
    ) -> None:
        height, width = features.embedding.shape[-2:]
        fine, middle = features.high_resolution
        transformer = AbsorbedTransformer if absorbed else Transformer
        upscale = Products if absorbed else Convolutions
        self.decoder = decoder
        self.absorbed = absorbed
        self.size = height, width
        # Channels first, as upstream's: products round differently in another layout.
        self.transformer = transformer(
            decoder.transformer,
            _tokens(features.contiguous + no_mask),
            _tokens(features.position),
        )
        self.upscale = upscale(decoder, fine, middle, self.size)

    def answer(self, sparse: Tensor) -> Answers:
        """Let points and image attend to each other.

        Parameters
        ----------
        sparse
            (B, T, C), the prompt encoder's embeddings of each point.
        """
        decoder = self.decoder
        own = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        if decoder.pred_obj_scores:
            own.insert(0, decoder.obj_score_token.weight)
        first = len(own) - 1
        iou = slice(first - 1, first)
        masks = slice(first, first + len(decoder.output_hypernetworks_mlps))
        prompts = torch.cat([torch.cat(own).expand(len(sparse), -1, -1), sparse], dim=1)
        tokens, pixels = self.transformer.transform(prompts)
        if self.absorbed:
            asked = self.transformer.conclude(tokens[:, iou], prompts[:, iou], pixels)
        else:
            tokens = self.transformer.conclude(tokens, prompts, pixels)
            asked = tokens[:, iou]
        predicted_iou = decoder.iou_prediction_head(asked[:, 0])
        return Answers(predicted_iou, tokens[:, masks], prompts[:, masks], pixels)

    def draw(self, answers: Answers, wanted: Tensor) -> Tensor:
        """Return the logits (K, 4·h, 4·w) of the masks that ``wanted``, bool (B, 4), names."""
        live = wanted.any(1).nonzero()[:, 0]
        if not len(live):
            return answers.tokens.new_zeros((0, *(4 * length for length in self.size)))
        size = len(answers.pixels[0])
        points = [divmod(point, size) for point in live.tolist()]
        pixels = torch.stack([answers.pixels[group][point] for group, point in points])
        if not self.absorbed:
            return self.upscale.masks(pixels, self._weights(answers.tokens)[live], wanted[live])
        groups = torch.split(pixels, cached_points(pixels, len(live)))
        tokens = self.transformer.conclude(answers.tokens[live], answers.prompts[live], groups)
        return self.upscale.masks(pixels, self._weights(tokens), wanted[live])

    def _weights(self, tokens: Tensor) -> Tensor:
        """Return (B, 4, c), of the upscaled channels in each mask."""
        heads = enumerate(self.decoder.output_hypernetworks_mlps)
        return torch.stack([head(tokens[:, mask]) for mask, head in heads], dim=1)


def _tokens(image: Tensor) -> Tensor:
    """Return (1, C, h, w) as (1, h·w, C)."""
    return image.flatten(2).transpose(1, 2)
