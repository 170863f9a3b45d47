"""Prompts of points and boxes, answered by the model's own decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from napari_graysam.masks import Mask
from napari_graysam.masks.regions import reframe
from napari_graysam.model import LoadedModel
from napari_graysam.propose.encode import Features, autocast
from napari_graysam.recipe import Prompt

NOTHING, OFF, ON, FIRST_CORNER, LAST_CORNER = -1, 0, 1, 2, 3
"""Labels of places, as SAM 2's prompt encoder takes them."""
_MASKS = 3
_SURE = 8.0
"""Logit of a pixel that is inside for sure."""

Box = tuple[int, int, int, int]


def predict(
    features: Features,
    prompts: Sequence[Prompt],
    box: Box,
    model: LoadedModel,
    masks: Sequence[Mask] | None = None,
) -> tuple[Tensor, Tensor]:
    """Let the model's own decoder answer prompts in one crop.

    Parameters
    ----------
    features
        Of the crop.
    prompts
        B of them, at least one, in pixels of the image; either all of one place or none.
    box
        ``(x0, y0, x1, y1)`` of the crop, half-open.
    model
        A SAM 2 model on its device.
    masks
        What each of the objects may look like, such as its mask in a neighbouring plane.

    Returns
    -------
    logits
        (B, M, h, w) at a quarter of the frame's resolution; three masks for single points, else
        one.
    predicted_iou
        (B, M).
    """
    places, labels = _places(prompts)
    x0, y0, x1, y1 = box
    relative = (places - [x0, y0]) / [x1 - x0, y1 - y0]
    frame = torch.as_tensor(relative, dtype=torch.float32, device=model.device) * model.image_size
    kinds = torch.as_tensor(labels, dtype=torch.int, device=model.device)
    network, count = model.model, len(prompts)
    embedding = features.embedding if count == 1 else features.contiguous.expand(count, -1, -1, -1)
    with torch.no_grad(), autocast(model):
        drawn = None if masks is None else _mask_prompts(masks, box, model)
        sparse, dense = network.sam_prompt_encoder(points=(frame, kinds), boxes=None, masks=drawn)
        logits, predicted_iou, _, _ = network.sam_mask_decoder(
            image_embeddings=embedding,
            image_pe=features.position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=places.shape[1] == 1,
            repeat_image=False,
            high_res_features=features.high_resolution,
        )
    return logits[:, :_MASKS], predicted_iou[:, :_MASKS]


def _places(
    prompts: Sequence[Prompt],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Return the places (B, T, 2) and labels (B, T) of prompts: the box first, as SAM 2 has it.

    Shorter prompts are filled up with places that say nothing.
    """
    rows = []
    for prompt in prompts:
        row = [(place, ON) for place in prompt.positive]
        row += [(place, OFF) for place in prompt.negative]
        if prompt.box is not None:
            row[:0] = [(prompt.box[:2], FIRST_CORNER), (prompt.box[2:], LAST_CORNER)]
        rows.append(row)
    longest = max(len(row) for row in rows)
    filled = [row + [((0.0, 0.0), NOTHING)] * (longest - len(row)) for row in rows]
    places = np.array([[place for place, _ in row] for row in filled], np.float64)
    return places, np.array([[label for _, label in row] for row in filled], np.int32)


def _mask_prompts(masks: Sequence[Mask], box: Box, model: LoadedModel) -> Tensor:
    """Return masks as SAM 2 takes them: logits (B, 1, h, w) at a quarter of the frame."""
    side = model.image_size // 4
    drawn = []
    for mask in masks:
        inside = reframe(mask, box).astype(np.float32)
        part = torch.as_tensor(inside, device=model.device)[None, None]
        small = interpolate(part, size=(side, side), mode="bilinear", antialias=True)
        drawn.append((2 * small - 1) * _SURE)
    return torch.cat(drawn)
