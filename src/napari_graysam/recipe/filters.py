"""What a recipe says about measured objects: the range of a column that they must lie in."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from napari_graysam.parameters import Part

Column = Literal[
    "area",
    "predicted_iou",
    "stability_score",
    "intensity_mean",
    "intensity_min",
    "intensity_max",
    "intensity_std",
    "eccentricity",
    "solidity",
    "perimeter",
    "equivalent_diameter",
    "centroid_x",
    "centroid_y",
    "bbox_x0",
    "bbox_y0",
    "bbox_x1",
    "bbox_y1",
    "depth",
]


class ColumnFilter(Part):
    """Keeps the objects whose value in a column of the table lies in a range."""

    column: Column = Field(
        title="Column",
        description="What is measured, as the table of objects names it: area, scores and "
        "intensities in the original image's values, shape, or place.",
    )
    minimum: float | None = Field(
        None,
        title="Minimum",
        description="Objects below this are removed; null sets no limit.",
        json_schema_extra={"none": "no limit"},
    )
    maximum: float | None = Field(
        None,
        title="Maximum",
        description="Objects above this are removed; null sets no limit.",
        json_schema_extra={"none": "no limit"},
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and low > high:
            raise ValueError(
                f"minimum must not exceed maximum; minimum = {low:g} and maximum = {high:g} came"
            )
        return self
