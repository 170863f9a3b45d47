"""graysam-small for bioimage.io: an image and points in, masks and predicted IoU out."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from napari_graysam.model.build import MOST_WEIGHTS, build_image_model, read_config
from napari_graysam.model.catalog import BUNDLED

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PointPrompted(nn.Module):
    """The model with one point for each object; its weights are those of the package's file."""

    def __init__(self) -> None:
        super().__init__()
        self.network = build_image_model(read_config(BUNDLED.config), MOST_WEIGHTS)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the network's own weights."""
        return self.network.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load the network's own weights."""
        return self.network.load_state_dict(*args, **kwargs)

    def forward(self, image: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Answer points.

        Parameters
        ----------
        image
            (1, 1, H, W), gray values from 0 to 1; sides that 64 divides.
        points
            (1, N, 2), as (x, y) in pixels of the image.

        Returns
        -------
        masks
            Logits (1, N, 3, H/4, W/4): part, object, group.
        predicted_iou
            (1, N, 3).
        """
        mean, deviation = (image.new_tensor(of)[:, None, None] for of in (MEAN, DEVIATION))
        frame = (image.expand(-1, 3, -1, -1) - mean) / deviation
        *fine, embedding = self.network.forward_image(frame)["backbone_fpn"]
        labels = points.new_ones(points.shape[1], 1)
        sparse, dense = self.network.sam_prompt_encoder(
            points=(points[0, :, None], labels), boxes=None, masks=None
        )
        masks, predicted_iou, _, _ = self.network.sam_mask_decoder(
            image_embeddings=embedding,
            image_pe=self.network.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            repeat_image=False,
            high_res_features=fine,
        )
        return masks[None], predicted_iou[None]
