"""When objects of two arms count as the same, as parts of one, or as different."""

from __future__ import annotations

from pydantic import Field, model_validator

from napari_graysam.parameters import Part


class Rules(Part):
    """When objects of the raw and the preprocessed arm are the same."""

    kept_iou: float = Field(
        default=0.8,
        ge=0.5,
        le=1,
        title="Kept from IoU",
        description="Objects of both arms that overlap by at least this IoU count as kept. "
        "Raising it calls more objects changed.",
    )
    match_iou: float = Field(
        default=0.5,
        gt=0,
        le=1,
        title="Changed from IoU",
        description="Objects that overlap by at least this IoU, but by less than for kept, count "
        "as changed. Raising it calls more objects lost and gained.",
    )
    part_inside: float = Field(
        default=0.75,
        gt=0.5,
        le=1,
        title="Part lies inside",
        description="Fraction of a piece that must lie inside an object for the piece to be a "
        "part of it. Raising it finds fewer splits and merges.",
    )
    part_share: float = Field(
        default=0.1,
        ge=0,
        lt=0.5,
        title="Smallest part",
        description="Smallest fraction of an object that a part of it covers. Raising it ignores "
        "small fragments beside a large piece.",
    )
    covered: float = Field(
        default=0.75,
        gt=0,
        le=1,
        title="Covered by parts",
        description="Fraction of an object that its parts must cover together to count as a "
        "split or a merge. Raising it finds fewer of both.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Rules:
        if self.match_iou > self.kept_iou:
            raise ValueError(f"match_iou {self.match_iou} must not exceed kept_iou {self.kept_iou}")
        return self


DEFAULT_RULES = Rules()
