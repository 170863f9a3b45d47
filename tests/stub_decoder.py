"""A stand-in for SAM 2 whose masks are analytic, and small real SAM 2 models.

Upstream's predictor and ours both run on them. Every value depends on its own prompt only,
so batches of any size give the same bits.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_graysam.model import LoadedModel
from napari_graysam.recipe import GeneratorOptions

STUB_SIZE = 64


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw a view of noise, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


class StubPrompts(nn.Module):
    """Pass points and mask prompts through."""

    def forward(self, points: Any, boxes: None, masks: Tensor | None) -> tuple[Tensor, Tensor]:
        coordinates, labels = points
        assert (labels == 1).all()
        side = STUB_SIZE // 4
        dense = torch.zeros(len(coordinates), 1, side, side) if masks is None else masks
        return coordinates, dense

    def get_dense_pe(self) -> Tensor:
        return torch.zeros(1, 1, 4, 4)


class StubDecoder(nn.Module):
    """Three nested discs around the nearest node of a coarse lattice.

    Neighbouring points share a node and so give duplicates with equal scores. Some nodes give
    empty masks, others full ones. Logits come in steps of a half, so that whole areas equal
    thresholds such as 0 and ±1; predicted IoUs come in sixteenths.
    """

    pitch = 16.0

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        repeat_image: bool,
        high_res_features: list[Tensor],
    ) -> tuple[Tensor, Tensor, None, None]:
        points = sparse_prompt_embeddings[:, 0]
        node = torch.floor(points / self.pitch)
        centre = (node + 0.5) * self.pitch
        side = STUB_SIZE // 4
        at = (torch.arange(side, dtype=torch.float32) + 0.5) * 4
        distance = torch.hypot(
            at[None, None, :] - centre[:, 0, None, None],
            at[None, :, None] - centre[:, 1, None, None],
        )
        radii = torch.tensor([6.0, 9.0, 17.0])[None, :, None, None]
        brightness = high_res_features[0][:, :1]
        logits = (radii - distance[:, None]) * 0.75 + brightness
        number = (node[:, 0] * 7 + node[:, 1] * 3).long()
        odd = (number % 5)[:, None, None, None]
        logits = torch.where(odd == 3, torch.full_like(logits, -5.0), logits)
        third = torch.arange(3)[None, :, None, None] == 2
        logits = torch.where((odd == 1) & third, torch.full_like(logits, 5.0), logits)
        logits = torch.round(logits * 2) / 2
        logits = logits + 0.25 * dense_prompt_embeddings
        iou = ((number[:, None] * 5 + torch.arange(3)[None] * 3) % 12 + 4) / 16
        iou = iou.float()
        if not multimask_output:
            logits, iou = logits[:, 1:2], iou[:, 1:2]
        return logits, iou, None, None


class StubModel(nn.Module):
    """The part of SAM2Base that generators touch."""

    image_size = STUB_SIZE
    num_feature_levels = 3
    directly_add_no_mem_embed = False

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.sam_prompt_encoder = StubPrompts()
        self.sam_mask_decoder = StubDecoder()
        self.encoded = 0

    @property
    def device(self) -> torch.device:
        return self.weight.device

    def forward_image(self, frame: Tensor) -> dict[str, list[Tensor]]:
        self.encoded += 1
        gray = frame.mean(dim=1, keepdim=True)
        levels = [nn.functional.avg_pool2d(gray, stride) for stride in (4, 8, 16)]
        return {"backbone_fpn": levels, "vision_pos_enc": levels}

    def _prepare_backbone_features(self, out: dict[str, Any]) -> Any:
        flat = [level.flatten(2).permute(2, 0, 1) for level in out["backbone_fpn"]]
        return out, flat, flat, None


def small_sam2(seed: int = 0, image_size: int = 128) -> nn.Module:
    """Build a SAM 2 of 32 channels from upstream's classes, with random weights.

    Heads are scaled up: plain random weights predict the same IoU for everything.
    """
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam2_base import SAM2Base

    torch.manual_seed(seed)
    trunk = Hiera(
        embed_dim=16,
        num_heads=1,
        stages=(1, 1, 2, 1),
        global_att_blocks=(3,),
        window_pos_embed_bkg_spatial_size=(7, 7),
    )
    neck = FpnNeck(
        PositionEmbeddingSine(32),
        d_model=32,
        backbone_channel_list=[128, 64, 32, 16],
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    model = SAM2Base(
        ImageEncoder(trunk, neck, scalp=1),
        None,
        None,
        num_maskmem=1,
        image_size=image_size,
        directly_add_no_mem_embed=True,
        use_high_res_features_in_sam=True,
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        sam_mask_decoder_extra_args={
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
    )
    return enliven(model.eval().requires_grad_(False))


def enliven(model: nn.Module) -> nn.Module:
    """Scale the heads of a random model so that masks and predicted IoUs differ."""
    decoder = model.sam_mask_decoder
    with torch.no_grad():
        for head in decoder.output_hypernetworks_mlps:
            head.layers[-1].weight.mul_(60)
        decoder.iou_prediction_head.layers[-1].weight.mul_(40)
    return model


def loaded(model: nn.Module, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Wrap a model as the loader does."""
    return LoadedModel(
        model=model,
        name="test",
        device=next(model.parameters()).device,
        dtype=dtype,
        image_size=model.image_size,
        sha256="",
        parameters=0,
        record={},
    )


def upstream_generator(model: nn.Module, options: GeneratorOptions, batch: int = 64) -> Any:
    """Build upstream's generator for any frame size."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    values = options.model_dump()
    values["points_per_batch"] = options.points_per_batch or batch
    if options.point_grids is not None:
        values["point_grids"] = [np.array(grid) for grid in options.point_grids]
    with warnings.catch_warnings():
        # torchvision's Resize goes through torch.jit.script, which is deprecated.
        warnings.simplefilter("ignore", FutureWarning)
        generator = SAM2AutomaticMaskGenerator(model, **values)
    sides = [model.image_size // stride for stride in (4, 8, 16)]
    generator.predictor._bb_feat_sizes = [(side, side) for side in sides]
    return generator


def same(ours: Any, theirs: Any) -> bool:
    """Compare two values of records; upstream's NaN stability is our 0."""
    import numpy as np

    if isinstance(theirs, np.ndarray):
        return ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    if isinstance(theirs, float) and math.isnan(theirs):
        return ours == 0
    return type(ours) is type(theirs) and ours == theirs


def differences(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    """List how two lists of records differ; empty if they do not."""
    if len(ours) != len(theirs):
        return [f"{len(ours)} records instead of {len(theirs)}"]
    return [
        f"record {number}: {key}"
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True))
        for key in other
        if key not in one or not same(one[key], other[key])
    ] + [f"record {n}: keys" for n, one in enumerate(ours) if set(one) != set(theirs[n])]


def nearly_equal(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    """List where records differ by more than rounding: order, scores, or two pixels of a mask."""
    import numpy as np

    if len(ours) != len(theirs):
        return [f"{len(ours)} records instead of {len(theirs)}"]
    found = []
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one["point_coords"] != other["point_coords"]:
            found.append(f"record {number}: point_coords")
        if abs(one["predicted_iou"] - other["predicted_iou"]) > 1e-4:
            found.append(f"record {number}: predicted_iou")
        if np.count_nonzero(one["segmentation"] != other["segmentation"]) > 2:
            found.append(f"record {number}: segmentation")
    return found
