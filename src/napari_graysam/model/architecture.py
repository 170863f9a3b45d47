"""Build the image part of SAM 2 from a config, and tell architectures apart by their weights.

What only videos use — memory attention, memory encoder and object pointers — is neither
built nor loaded; images never pass through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_graysam.errors import ModelError
from napari_graysam.model.catalog import BUNDLED, CATALOG, ModelEntry, config_path

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from torch import Tensor

VIDEO_ONLY = (
    "mask_downsample.",
    "maskmem_tpos_enc",
    "memory_attention.",
    "memory_encoder.",
    "no_mem_pos_enc",
    "no_obj_embed_spatial",
    "no_obj_ptr",
    "obj_ptr_proj.",
    "obj_ptr_tpos_proj.",
)
"""Prefixes of the weights that SAM2Base uses for videos alone."""

_WITHOUT_VIDEO = {
    "memory_attention": None,
    "memory_encoder": None,
    "num_maskmem": 0,
    "use_obj_ptrs_in_encoder": False,
    "proj_tpos_enc_in_obj_ptrs": False,
    "fixed_no_obj_ptr": False,
    "no_obj_embed_spatial": False,
    "compile_image_encoder": False,
}
_POSTPROCESSING = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}
"""What ``sam2.build_sam.build_sam2`` adds with ``apply_postprocessing``, its default."""

_FOREIGN = {
    "vision_encoder.": "a Hugging Face transformers conversion of SAM 2",
    "image_encoder.patch_embed.": "the first Segment Anything",
    "detector.": "SAM 3",
}
_TRUSTED = ("sam2.modeling.", "napari_graysam.model.bundled.")
_PATCH = "image_encoder.trunk.patch_embed.proj.weight"
_BLOCKS = "image_encoder.trunk.blocks."


def build_image_model(config: str) -> SAM2Base:
    """Return a SAM2Base without its video parts, in evaluation mode, weights undefined.

    Equals ``sam2.build_sam.build_sam2(config, apply_postprocessing=True)`` for images. The
    config is read directly, not through Hydra's global state, so an application may use
    Hydra for itself. The caller's random state is left alone.

    Parameters
    ----------
    config
        As `napari_graysam.model.catalog.config_path` takes it.

    Raises
    ------
    ModelError
        If the config is missing, not SAM 2's, or names classes other than SAM 2's.
    """
    import torch
    from hydra.errors import HydraException
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from napari_graysam.model.strips import understand_strips

    settings = _settings(config_path(config))
    for key, value in _WITHOUT_VIDEO.items():
        settings[key] = value
    settings["sam_mask_decoder_extra_args"] = {
        **(settings.get("sam_mask_decoder_extra_args") or {}),
        **_POSTPROCESSING,
    }
    settings["image_encoder"].get("trunk", {}).pop("weights_path", None)
    try:
        with torch.random.fork_rng(devices=[]):
            model: SAM2Base = instantiate(OmegaConf.create(settings))
        del model.maskmem_tpos_enc, model.no_mem_pos_enc
    except (HydraException, AttributeError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ModelError(f"The model config {config} cannot be built: {reason}.") from error
    drop_positions(model)
    understand_strips(model)
    return model.eval().requires_grad_(False)


def drop_positions(model: SAM2Base) -> None:
    """Stop the encoder from computing its position maps, which only videos use.

    At a frame of 1024 pixels they are 110 MB that would stay in memory.
    """
    from torch import nn

    class Nowhere(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.new_zeros(1, 1, 1, 1)

    model.image_encoder.neck.position_encoding = Nowhere()


def _settings(path: Path) -> dict[str, Any]:
    """Read a config's ``model`` part, refusing classes that are not SAM 2's."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OmegaConfBaseException, YAMLError, OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The model config {path} cannot be read: {error}") from error
    settings = content.get("model") if isinstance(content, dict) else None
    if (
        not isinstance(settings, dict)
        or not isinstance(settings.get("image_encoder"), dict)
        or "image_size" not in settings
    ):
        raise ModelError(
            f"{path} is not a SAM 2 config: it has no part `model` with `image_encoder` and "
            "`image_size`."
        )
    _refuse_foreign_classes(settings, path)
    return settings


def _refuse_foreign_classes(node: Any, path: Path) -> None:
    if isinstance(node, list):
        for child in node:
            _refuse_foreign_classes(child, path)
    elif isinstance(node, dict):
        target = node.get("_target_")
        if target is not None and not _trusted(str(target)):
            raise ModelError(
                f"The model config {path} names {target}; only classes of sam2.modeling and of "
                "the bundled model are built."
            )
        for child in node.values():
            _refuse_foreign_classes(child, path)


def _trusted(target: str) -> bool:
    from hydra.utils import get_class

    if not target.startswith(_TRUSTED):
        return False
    try:
        return str(get_class(target).__module__).startswith(_TRUSTED)
    except (ImportError, ValueError):
        return False


def image_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that images use."""
    return {key: value for key, value in weights.items() if not key.startswith(VIDEO_ONLY)}


@cache
def _hiera_shape(entry: ModelEntry) -> tuple[int, int, bool]:
    """Return an official model's width, number of blocks, and whether it is of SAM 2.1."""
    from inspect import signature

    from sam2.modeling.backbones.hieradet import Hiera

    settings = _settings(config_path(entry.config))
    defaults = {name: field.default for name, field in signature(Hiera).parameters.items()}
    trunk = {**defaults, **settings["image_encoder"]["trunk"]}
    newer = bool(settings.get("no_obj_embed_spatial", False))
    return trunk["embed_dim"], sum(trunk["stages"]), newer


def recognise(weights: Mapping[str, Tensor]) -> tuple[ModelEntry, ...]:
    """Return the catalogued models whose architecture the weights have.

    SAM 2 and SAM 2.1 differ in video parts only: weights stripped of those fit both.
    """
    if _PATCH in weights:
        width = weights[_PATCH].shape[0]
        blocks = len({key.split(".")[3] for key in weights if key.startswith(_BLOCKS)})
        video = any(key.startswith(VIDEO_ONLY) for key in weights)
        newer = "no_obj_embed_spatial" in weights
        return tuple(
            entry
            for entry in CATALOG
            if entry is not BUNDLED
            and _hiera_shape(entry)[:2] == (width, blocks)
            and (not video or _hiera_shape(entry)[2] == newer)
        )
    if any(key.startswith("image_encoder.trunk.stages.") for key in weights):
        expected = build_image_model(BUNDLED.config).state_dict()
        found = image_weights(weights)
        if found.keys() == expected.keys() and all(
            found[key].shape == expected[key].shape for key in expected
        ):
            return (BUNDLED,)
    return ()


def describe(weights: Mapping[str, Tensor]) -> str:
    """Say which model the weights look like, and what to do with that."""
    known = recognise(weights)
    if known:
        return f"looks like {known[0].name}: use --set model.name={known[0].name}"
    for prefix, what in _FOREIGN.items():
        if any(key.startswith(prefix) for key in weights):
            return f"looks like {what}, which is not supported"
    return (
        f"looks like no SAM 2 model that is known ({len(weights)} weights, the first "
        f"{next(iter(weights))!r}): set model.config to its SAM 2 config"
    )


def fill(model: SAM2Base, weights: Mapping[str, Tensor], *, path: Path, expected: str) -> None:
    """Copy weights into a model, every one and no other.

    Parameters
    ----------
    model
        As `build_image_model` returns it.
    weights
        Named weights; those of video parts are passed over.
    path, expected
        The file and the architecture, for the message.

    Raises
    ------
    ModelError
        If a weight is missing, left over, of another shape or not finite.
    """
    import torch

    wanted, given = model.state_dict(), image_weights(weights)
    missing = [key for key in wanted if key not in given]
    extra = [key for key in given if key not in wanted]
    other = [key for key in wanted if key in given and given[key].shape != wanted[key].shape]
    if missing or extra or other:
        counts = ", ".join(
            f"{len(keys)} {word} (such as {keys[0]})"
            for keys, word in ((missing, "missing"), (extra, "unexpected"), (other, "reshaped"))
            if keys
        )
        known = [entry.name for entry in recognise(weights)]
        advice = (
            f"it resembles {expected}, but is altered or incomplete"
            if expected in known
            else f"it {describe(weights)}"
        )
        raise ModelError(f"{path} is not {expected}: {advice}. Its weights: {counts}.")
    broken = [key for key in wanted if not torch.isfinite(given[key]).all()]
    if broken:
        raise ModelError(
            f"{path} holds values that are no numbers (in {broken[0]}): the file is damaged, or "
            "its training diverged."
        )
    model.load_state_dict(given)
