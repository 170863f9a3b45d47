"""What a recipe says about which objects of a stack's planes are one object."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_graysam.parameters import Part


class LinkOptions(Part):
    """Objects of different planes that overlap get one number through z or t."""

    gap: int = Field(
        1,
        ge=0,
        le=10,
        title="Largest gap",
        description="So many planes in a row may lack an object and it still keeps its number. "
        "Raise it when objects flicker; but objects right above each other with no more empty "
        "planes between them become one. 0 ends an object with the first plane that lacks it.",
        json_schema_extra={"unit": "planes"},
    )
    min_overlap: float = Field(
        0.5,
        ge=0.05,
        le=1,
        title="Smallest overlap",
        description="Masks of two planes can be one object if they share at least this part of "
        "the smaller one. Lower it when objects move far from plane to plane, raise it when "
        "neighbours are taken for one object.",
        json_schema_extra={"unit": "of the smaller mask"},
    )
    min_extent: int = Field(
        1,
        ge=1,
        title="Smallest extent",
        description="Objects that reach through fewer planes, from the first to the last that "
        "has them, are removed. Raise it against specks and noise.",
        json_schema_extra={"unit": "planes"},
    )
    fill: Literal["none", "interpolate"] = Field(
        "interpolate",
        title="Fill gaps",
        description="What a plane gets for an object that it lacks, between two that have it: "
        "interpolate draws the shape between the two; none leaves it empty. Other objects keep "
        "their pixels.",
    )
    splits: bool = Field(
        False,
        title="Splits",
        description="On, for time: where one object becomes several, it ends, and each of them "
        "begins with a number of its own and the old object as its parent.",
    )
    merges: bool = Field(
        False,
        title="Merges",
        description="On, for time: where several objects become one, they end, and it begins "
        "with a number of its own and all of them as its parents.",
    )
