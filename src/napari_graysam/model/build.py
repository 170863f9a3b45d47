"""Build SAM 2's image part from a config: plain data that names allowed classes only.

A class that a config may name is a `Node` here, and the fields of the node are the keyword
arguments that the class may get, with their types and bounds. Nothing else is built: no other
class or argument, no interpolation, no file.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, ValidationError

from napari_graysam.documents import load_yaml
from napari_graysam.errors import ModelError
from napari_graysam.model.catalog import CATALOG_CONFIGS, config_path
from napari_graysam.parameters import Part

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

LARGEST_CONFIG = 1 << 20
"""Bytes beyond which a file is taken for something other than a config."""

MOST_WEIGHTS = 2_000_000_000
"""Numbers that a model may hold; the largest official model has 0.2 billion."""

Width = Annotated[int, Field(ge=1, le=2048)]
Blocks = Annotated[int, Field(ge=0, le=256)]
Window = Annotated[int, Field(ge=0, le=64)]
Side = Annotated[int, Field(ge=1, le=8192)]

_TARGET: Any = Field(alias="_target_")


class Node(Part):
    """A class that a config may name, and the keyword arguments it may get."""

    model_config = ConfigDict(strict=True)

    target: str = _TARGET

    def build(self, **fixed: Any) -> Any:
        """Call the class with the arguments that were given, nested nodes built first."""
        module, _, name = self.target.rpartition(".")
        for key, value in self:
            if key in self.model_fields_set and key != "target":
                fixed.setdefault(key, value.build() if isinstance(value, Node) else value)
        return getattr(import_module(module), name)(**fixed)


class Hiera(Node):
    """SAM 2's trunk, of four stages; `weights_path` is left out, as it names a file."""

    target: Literal["sam2.modeling.backbones.hieradet.Hiera"] = _TARGET
    embed_dim: int = Field(96, ge=1, le=512)
    num_heads: int = Field(1, ge=1, le=64)
    drop_path_rate: float = Field(0.0, ge=0, le=1)
    q_pool: int = Field(3, ge=0, le=3)
    q_stride: list[Window] = Field([2, 2], min_length=2, max_length=2)
    stages: list[Blocks] = Field([2, 3, 16, 3], min_length=4, max_length=4)
    dim_mul: float = Field(2.0, ge=1, le=2)
    head_mul: float = Field(2.0, ge=1, le=2)
    window_pos_embed_bkg_spatial_size: list[Window] = Field([14, 14], min_length=2, max_length=2)
    window_spec: list[Window] = Field([8, 4, 14, 7], min_length=4, max_length=4)
    global_att_blocks: list[Blocks] = Field([12, 16, 20], max_length=256)
    return_interm_layers: bool = True


class VoteTrunk(Node):
    """The bundled model's trunk."""

    target: Literal["napari_graysam.model.bundled.trunk.VoteTrunk"] = _TARGET
    widths: list[Width] = Field(min_length=5, max_length=5)
    codes: Width


class Neck(Node):
    """The bundled model's neck."""

    target: Literal["napari_graysam.model.bundled.trunk.Neck"] = _TARGET
    d_model: Width


class PositionEmbeddingSine(Node):
    """The neck's position maps."""

    target: Literal["sam2.modeling.position_encoding.PositionEmbeddingSine"] = _TARGET
    num_pos_feats: Width
    temperature: int = Field(10000, ge=1, le=10**6)
    normalize: bool = True
    scale: float | None = None


class FpnNeck(Node):
    """SAM 2's feature pyramid."""

    target: Literal["sam2.modeling.backbones.image_encoder.FpnNeck"] = _TARGET
    position_encoding: PositionEmbeddingSine
    d_model: Width
    backbone_channel_list: list[Annotated[int, Field(ge=1, le=4096)]] = Field(max_length=4)
    kernel_size: int = Field(1, ge=1, le=3)
    stride: int = Field(1, ge=1, le=1)
    padding: int = Field(0, ge=0, le=1)
    fpn_interp_model: Literal["bilinear", "nearest"] = "bilinear"
    fuse_type: Literal["sum", "avg"] = "sum"
    fpn_top_down_levels: list[Blocks] | None = Field(None, max_length=4)


class ImageEncoder(Node):
    """A trunk and a neck."""

    target: Literal["sam2.modeling.backbones.image_encoder.ImageEncoder"] = _TARGET
    trunk: Annotated[Hiera | VoteTrunk, Field(discriminator="target")]
    neck: Annotated[FpnNeck | Neck, Field(discriminator="target")]
    scalp: int = Field(0, ge=0, le=3)


Postprocessing = Literal[
    "dynamic_multimask_via_stability",
    "dynamic_multimask_stability_delta",
    "dynamic_multimask_stability_thresh",
]


class SAM2(Node):
    """The whole model; `VIDEO_SETTINGS` are passed over."""

    target: Literal["sam2.modeling.sam2_base.SAM2Base"] = _TARGET
    image_encoder: ImageEncoder
    image_size: Side
    backbone_stride: int = Field(16, ge=1, le=64)
    directly_add_no_mem_embed: bool = False
    use_high_res_features_in_sam: bool = False
    multimask_output_in_sam: bool = False
    multimask_min_pt_num: int = Field(1, ge=0)
    multimask_max_pt_num: int = Field(1, ge=0)
    use_multimask_token_for_obj_ptr: bool = False
    iou_prediction_use_sigmoid: bool = False
    pred_obj_scores: bool = False
    pred_obj_scores_mlp: bool = False
    sam_mask_decoder_extra_args: dict[Postprocessing, bool | float] | None = None


class VoteModel(SAM2):
    """The bundled model."""

    target: Literal["napari_graysam.model.bundled.model.VoteModel"] = _TARGET  # type: ignore[assignment]
    codes: Width
    hidden: Width


class _Any(Part):
    """The model that a config names."""

    model: Annotated[SAM2 | VoteModel, Field(discriminator="target")]


# fmt: off
VIDEO_SETTINGS = frozenset((
    "add_tpos_enc_to_obj_ptrs", "binarize_mask_from_pts_for_mem_enc", "compile_image_encoder",
    "fixed_no_obj_ptr", "max_cond_frames_in_attn", "max_obj_ptrs_in_encoder",
    "memory_attention", "memory_encoder", "memory_temporal_stride_for_eval",
    "multimask_output_for_tracking", "no_obj_embed_spatial", "non_overlap_masks_for_mem_enc",
    "num_maskmem", "only_obj_ptrs_in_the_past_for_eval", "proj_tpos_enc_in_obj_ptrs",
    "sigmoid_bias_for_mem_enc", "sigmoid_scale_for_mem_enc", "soft_no_obj_ptr",
    "use_mask_input_as_output_without_sam", "use_mlp_for_obj_ptr_proj",
    "use_obj_ptrs_in_encoder", "use_signed_tpos_enc_to_obj_ptrs",
))
# fmt: on
"""Settings of ``SAM2Base`` that images never meet."""

_POSTPROCESSING: dict[Postprocessing, bool | float] = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}
"""What ``sam2.build_sam.build_sam2`` adds with ``apply_postprocessing``, its default."""


class Config(NamedTuple):
    """A config that was read and found to name allowed classes only.

    Attributes
    ----------
    name
        Of the catalogue, or for a file of one's own its absolute path.
    sha256
        Of the file's content, lower-case hexadecimal.
    model
        The allowed classes and their arguments.
    """

    name: str
    sha256: str
    model: SAM2


def read_config(config: str) -> Config:
    """Read a SAM 2 config and check that it names allowed classes and arguments only.

    Parameters
    ----------
    config
        As `napari_graysam.model.catalog.config_path` takes it.

    Raises
    ------
    ModelError
        If the file is missing, unreadable, not SAM 2's, or asks for anything else.

    See Also
    --------
    build_image_model

    Examples
    --------
    >>> read_config("configs/sam2.1/sam2.1_hiera_t.yaml").model.image_encoder.trunk.embed_dim
    96
    """
    path = config_path(config)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_CONFIG + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The model config {path} cannot be read: {error}") from error
    if len(content) > LARGEST_CONFIG:
        raise ModelError(f"{path} is larger than 1 MB: it is no model config.")
    data = load_yaml(text, f"The model config {path} cannot be read: it", ModelError)
    settings = data.get("model") if isinstance(data, dict) else None
    if not isinstance(settings, dict) or not {"image_encoder", "image_size"} <= settings.keys():
        raise ModelError(
            f"{path} is not a SAM 2 config: it has no part `model` with `image_encoder` and "
            "`image_size`."
        )
    settings = {key: value for key, value in settings.items() if key not in VIDEO_SETTINGS}
    try:
        model = _Any.model_validate({"model": settings}).model
    except ValidationError as error:
        raise _refusal(path, error) from error
    name = config if config in CATALOG_CONFIGS else str(path.resolve())
    return Config(name, hashlib.sha256(content).hexdigest(), model)


def _refusal(path: Path, error: ValidationError) -> ModelError:
    """Say in one sentence what is wrong with a config."""
    first = error.errors(include_url=False)[0]
    *parents, name = first["loc"]
    named = first.get("ctx", {}).get("tag") if first["type"] == "union_tag_invalid" else None
    if name == "_target_" and first["type"] == "literal_error":
        named = first["input"]
    if named is not None:
        return ModelError(
            f"The model config {path} names {named}; only classes of sam2.modeling and of the "
            "bundled model that an image needs are built."
        )
    where = ".".join(str(part) for part in (*parents, name))
    return ModelError(f"The model config {path} cannot be built: {where}: {first['msg']}.")


def build_image_model(config: str | Config, most: int = MOST_WEIGHTS) -> SAM2Base:
    """Return a SAM2Base without its video parts, in evaluation mode, weights undefined.

    Equals ``sam2.build_sam.build_sam2(config, apply_postprocessing=True)`` for images. The
    caller's random state is left alone.

    Parameters
    ----------
    config
        What `read_config` returns or takes.
    most
        Numbers that the model may hold.

    Raises
    ------
    ModelError
        If the config is refused, or its numbers do not fit together or are out of bounds.

    See Also
    --------
    read_config

    Examples
    --------
    >>> build_image_model("bundled/config.yaml").image_size
    512
    """
    import torch

    from napari_graysam.model.bounded import Bounded
    from napari_graysam.model.encoder import allow_row_chunks, drop_positions

    if isinstance(config, str):
        config = read_config(config)
    try:
        with torch.random.fork_rng(devices=[]), Bounded(most):
            model: SAM2Base = config.model.build(
                memory_attention=None,
                memory_encoder=None,
                num_maskmem=0,
                sam_mask_decoder_extra_args=_POSTPROCESSING,
            )
    except ModelError:
        raise
    except Exception as error:  # the constructors fail in many ways where numbers do not fit
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"The model config {config.name} cannot be built: {reason}.") from error
    del model.maskmem_tpos_enc, model.no_mem_pos_enc
    drop_positions(model)
    allow_row_chunks(model)
    return model.eval().requires_grad_(False)
