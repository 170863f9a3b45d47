"""The image encoder's side: an RGB view becomes the features that every prompt shares."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_graysam.model import LoadedModel

# Mean and standard deviation of ImageNet's channels, which SAM 2 was trained with.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Features:
    """What the mask decoder needs of one crop.

    Parameters
    ----------
    embedding
        (1, C, h, w), at the backbone's stride, in the encoder's memory layout.
    contiguous
        The same, contiguous.
    high_resolution
        Features at twice and four times that resolution, finest first; empty for models
        without them.
    position
        (1, C, h, w), the dense positional encoding, the same for every prompt.
    """

    embedding: Tensor
    contiguous: Tensor
    high_resolution: list[Tensor]
    position: Tensor


def autocast(model: LoadedModel) -> AbstractContextManager[Any]:
    """Return the context in which ``model`` computes at its precision."""
    if model.dtype == torch.float32:
        return nullcontext()
    return torch.autocast(model.device.type, dtype=model.dtype)


def normalise(view: npt.NDArray[np.uint8], image_size: int) -> Tensor:
    """Squash a view to the model's square frame and normalise its channels.

    Bilinear with antialiasing, as ``sam2.utils.transforms.SAM2Transforms`` does through
    torchvision.

    Parameters
    ----------
    view
        uint8 (H, W, 3).
    image_size
        Side of the model's frame in pixels.

    Returns
    -------
    float32 (1, 3, image_size, image_size) on the CPU.
    """
    frame = torch.cat([_squash(view[..., channel], image_size) for channel in range(3)], dim=1)
    mean = torch.tensor(_MEAN)[:, None, None]
    std = torch.tensor(_STD)[:, None, None]
    return frame.sub_(mean).div_(std)


def _squash(channel: npt.NDArray[np.uint8], image_size: int) -> Tensor:
    """Squash one channel: of a large image, all three in float32 take gigabytes."""
    values = torch.from_numpy(np.ascontiguousarray(channel))[None, None]
    frame = values.to(torch.float32).div_(255)
    if frame.shape[-2:] == (image_size, image_size):
        return frame
    return functional.interpolate(
        frame, size=(image_size, image_size), mode="bilinear", antialias=True
    )


def encode(view: npt.NDArray[np.uint8], model: LoadedModel) -> Features:
    """Compute the features of one crop.

    Parameters
    ----------
    view
        uint8 (H, W, 3), the crop's pixels.
    model
        A SAM 2 model on its device.

    Returns
    -------
    Features on the model's device. Their sizes follow the model's frame and stride.
    """
    # Imports sam2, which takes a second and is at hand once there is a model.
    from napari_graysam.model.encoder import row_chunks

    network = model.model
    with torch.no_grad(), autocast(model), row_chunks(enabled=model.arithmetic == "fast"):
        frame = normalise(view, model.image_size).to(model.device)
        levels = network.forward_image(frame)["backbone_fpn"][-network.num_feature_levels :]
        embedding = levels[-1]
        if network.directly_add_no_mem_embed:
            embedding = embedding + network.no_mem_embed.reshape(1, -1, 1, 1)
        position = network.sam_prompt_encoder.get_dense_pe()
    return Features(embedding, embedding.contiguous(), list(levels[:-1]), position)
