"""What a recipe says about looking again where nothing was found."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_graysam.parameters import Part


class SecondLookOptions(Part):
    """New points where no mask is, on enlarged windows with their own contrast."""

    @property
    def enabled(self) -> bool:
        """Whether it looks again at all."""
        return self.rounds > 0

    rounds: int = Field(
        0,
        ge=0,
        le=4,
        title="Rounds",
        description="How often the model looks again at what has no mask: on windows of about "
        "half the image's side, then a third and so on, each enlarged to the model's frame. "
        "Raise it when small or faint objects are missed; each round takes up to the time of "
        "the first pass or twice as long. 0 looks once only.",
        json_schema_extra={"stage": "decode"},
    )
    enhance: Literal["clahe", "recipe", "none"] = Field(
        "clahe",
        title="Contrast of windows",
        description="Each window is stretched to its own contrast; then clahe raises its local "
        "contrast, recipe applies the recipe's preprocessing, and none leaves it.",
        json_schema_extra={"stage": "decode"},
    )
    points_per_side: int = Field(
        24,
        ge=1,
        le=128,
        title="Points per side",
        description="Of each window; only points where no mask is are asked.",
        json_schema_extra={"stage": "decode"},
    )
    points: int = Field(
        4096,
        ge=1,
        title="Most points",
        description="No window is looked at after so many points in all; those with the most "
        "pixels without a mask come first.",
        json_schema_extra={"stage": "decode"},
    )
    pred_iou_thresh: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Predicted IoU",
        description="New masks below this are dropped: lower it to find more, and more that is "
        "wrong. Those that are less sure than nearly all of the first pass are dropped as well, "
        "unless new masks need not be as found.",
        json_schema_extra={"stage": "decode"},
    )
    max_overlap: float = Field(
        0.2,
        ge=0,
        le=1,
        title="Most overlap",
        description="New masks with more than this part of their pixels on objects that are "
        "there are dropped.",
        json_schema_extra={"stage": "labels"},
    )
    like_others: bool = Field(
        True,
        title="As found",
        description="On: new masks unlike nearly all objects of the first pass are dropped: "
        "below 0.7 times the 5th percentile of their areas, above 1.5 times the 95th, or below "
        "the 5th percentile of their predicted IoU. Where it found fewer than five, nothing is "
        "known of them and all may join.",
        json_schema_extra={"stage": "labels"},
    )
