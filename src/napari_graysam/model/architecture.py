"""Recognise architectures by their weights, and fill a model with the weights that it wants.

What only videos use — memory attention, memory encoder and object pointers — is neither
built nor loaded; images never pass through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_graysam.errors import ModelError
from napari_graysam.model.build import Hiera, build_image_model, read_config
from napari_graysam.model.catalog import BUNDLED, CATALOG, ModelEntry

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

_FOREIGN = {
    "vision_encoder.": "a Hugging Face transformers conversion of SAM 2",
    "image_encoder.patch_embed.": "the first Segment Anything",
    "detector.": "SAM 3",
}
_PATCH = "image_encoder.trunk.patch_embed.proj.weight"
_BLOCKS = "image_encoder.trunk.blocks."


def image_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that images use."""
    return {key: value for key, value in weights.items() if not key.startswith(VIDEO_ONLY)}


@cache
def _hiera_shape(entry: ModelEntry) -> tuple[int, int, bool]:
    """Return an official model's width, number of blocks, and whether it is of SAM 2.1."""
    trunk = read_config(entry.config).model.image_encoder.trunk
    assert isinstance(trunk, Hiera)
    return trunk.embed_dim, sum(trunk.stages), entry.name.startswith("sam2.1")


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
    if any(key.startswith("image_encoder.trunk.blocks.0.depthwise.") for key in weights):
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
        return f"looks like {known[0].name}: set model.name={known[0].name}"
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
