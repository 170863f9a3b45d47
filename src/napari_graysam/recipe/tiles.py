"""What a recipe says about images that are too large to be segmented in one piece."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from napari_graysam.parameters import Part


class TileOptions(Part):
    """Large images are segmented in overlapping tiles, and objects are put together at the seams.

    Where tiles are used, ``generator.points_per_side`` and crops count for one tile.
    """

    use: Literal["auto", "always", "never"] = Field(
        "auto",
        title="Use tiles",
        description="auto uses tiles for images whose view and masks do not fit into memory, or "
        "that have more than 2²⁷ pixels (11,585 × 11,585), and says so; always for every image "
        "that is larger than a tile; never refuses images that do not fit.",
    )
    size: int = Field(
        1024,
        ge=64,
        le=4096,
        title="Tile size",
        description="Side of the square that the model sees at once, halo included. It is seen "
        "without reduction up to 1024 pixels by the bundled model; larger tiles have fewer seams "
        "and take more memory.",
        json_schema_extra={"unit": "px"},
    )
    halo: int | None = Field(
        None,
        ge=0,
        le=2048,
        title="Halo",
        description="How far tiles see beyond their own part on each side, at least: objects up "
        "to twice as long are seen whole in one tile or the next, longer ones are joined from "
        "pieces. More costs time: a quarter of the tile's side means four times as many tiles as "
        "none. Null takes 1.5 times the typical object's diameter where that is known, else three "
        "quarters of the longest objects of a trial in the middle of the image.",
        json_schema_extra={"unit": "px", "none": "by object size"},
    )
    level: int = Field(
        0,
        ge=0,
        le=30,
        title="Level",
        description="Level of the image's pyramid that is segmented, 0 the finest; others are "
        "segmented in tiles, small images in one. Each level up takes a quarter of the time; "
        "sizes in pixels are those of the level.",
    )

    @model_validator(mode="after")
    def _check_level(self) -> Self:
        if self.level > 0 and self.use == "never":
            raise ValueError(
                f"level is {self.level} and use is never, but coarser levels are segmented in "
                "tiles only: set level to 0 or use to auto"
            )
        return self
