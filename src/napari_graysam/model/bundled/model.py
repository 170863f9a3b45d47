"""The bundled model behind SAM 2's own model class."""

from __future__ import annotations

from typing import Any

from sam2.modeling.sam2_base import SAM2Base

from napari_graysam.model.bundled.decoder import VoteDecoder
from napari_graysam.model.bundled.prompts import VotePrompts


class VoteModel(SAM2Base):  # type: ignore[misc]
    """SAM 2's image path with a prompt encoder and a mask decoder that read votes.

    Parameters
    ----------
    codes, hidden
        As for `VoteDecoder`.
    **settings
        As for ``SAM2Base``.
    """

    any_frame = True

    def __init__(self, *, codes: int, hidden: int, **settings: Any) -> None:
        self._score = {"codes": codes, "hidden": hidden}
        super().__init__(**settings)

    def _build_sam_heads(self) -> None:
        self.sam_prompt_embed_dim = self.hidden_dim
        self.sam_image_embedding_size = self.image_size // self.backbone_stride
        self.sam_prompt_encoder = VotePrompts()
        self.sam_mask_decoder = VoteDecoder(**self._score)
