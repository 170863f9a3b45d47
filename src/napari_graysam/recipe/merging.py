"""What a recipe says about fragments that are one object, and masks that are several."""

from __future__ import annotations

from pydantic import Field

from napari_graysam.parameters import Part


class MergingOptions(Part):
    """Fragments are merged and wrongly joined objects split, where there is evidence for it."""

    @property
    def enabled(self) -> bool:
        """Whether anything is merged or split, or asked for at all."""
        return self.merge > 0 or self.split > 0 or self.ask

    merge: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Merge fragments",
        description="Neighbouring masks become one object where the evidence for it is at least "
        "1 minus this: a larger candidate covers them, the edge between them is weak beside "
        "their outer edges, in the image and in what the model sees, and together they have a "
        "rounder outline. Raise it when one object gets several masks; 0 merges nothing.",
        json_schema_extra={"stage": "labels"},
    )
    split: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Split joined objects",
        description="A mask is replaced by smaller candidates within it where the evidence for "
        "it is at least 1 minus this: they cover it, score higher, and there is a clear edge "
        "between them. Raise it when several objects get one mask; 0 splits nothing.",
        json_schema_extra={"stage": "labels"},
    )
    ask: bool = Field(
        False,
        title="Ask the model about fragments",
        description="On: the model is asked once more for neighbouring masks, with a point in "
        "each. What it draws speaks for a merge where it covers both, is as sure, and takes in "
        "no other object. Each question takes as long as a point of the grid; masks that only "
        "other thresholds bring in are not asked for until the next run. Off: the other evidence "
        "alone.",
        json_schema_extra={"stage": "decode", "optional": True},
    )
