"""What a recipe says about which objects of a stack's planes are one object."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from napari_graysam.parameters import Part

USUAL: dict[str, dict[str, float]] = {
    "z": {"min_overlap": 0.5, "neck": 0.5},
    "t": {"min_overlap": 0.25, "neck": 0.0},
}
"""By axis, what a null stands for."""


class LinkRules(NamedTuple):
    """`LinkOptions` with what they leave to the axis."""

    gap: int
    min_overlap: float
    neck: float
    min_extent: int
    splits: bool
    merges: bool


class LinkOptions(Part):
    """Objects of different planes that overlap get one number through z or t."""

    gap: int = Field(
        3,
        ge=0,
        le=10,
        title="Largest gap",
        description="So many planes in a row may lack an object and it still keeps its number. "
        "Raise it when objects flicker, lower it when different objects become one. 0 ends an "
        "object with the first plane that lacks it.",
        json_schema_extra={"unit": "planes"},
    )
    min_overlap: float | None = Field(
        None,
        ge=0.05,
        le=1,
        title="Smallest overlap",
        description="Masks of two planes can be one object if they share at least this part of "
        "the smaller one. Lower it when objects move far from plane to plane, raise it when "
        "neighbours are taken for one object. Null is 0.5 along z, and 0.25 along t, where "
        "objects move.",
        json_schema_extra={"unit": "of the smaller mask", "none": "0.5 (z), 0.25 (t)"},
    )
    neck: float | None = Field(
        None,
        ge=0,
        le=1,
        title="Necks",
        description="Where an object becomes narrower and then wider again, it is cut into two if "
        "the areas of both sides, extrapolated to the other one, are less than this part of "
        "what is there. Lower it when objects with a waist are cut, raise it when objects that "
        "lie above each other become one. 0 cuts nothing. Null is 0.5 along z, and 0 along t.",
        json_schema_extra={"none": "0.5 (z), 0 (t)"},
    )
    max_distance: float | None = Field(
        None,
        gt=0,
        title="Largest distance",
        description="With stack.link=laptrack: how far the centre of an object moves from one "
        "frame to the next one that has it, at most. Raise it when fast objects lose their "
        "number, lower it when they take that of others. Null is the diameter of a disc of "
        "the median area.",
        json_schema_extra={"unit": "px", "none": "usual diameter"},
    )
    min_extent: int = Field(
        1,
        ge=1,
        title="Smallest extent",
        description="Objects that reach through fewer planes, from the first to the last that "
        "has them, are removed. Raise it against specks and noise.",
        json_schema_extra={"unit": "planes"},
    )
    fill: Literal["none", "interpolate", "candidates"] = Field(
        "interpolate",
        title="Fill gaps",
        description="What a plane gets for an object that it lacks, between two that have it: "
        "interpolate draws the shape between the two; candidates takes what the model proposed in "
        "that plane and the selection dropped, where it fits that shape, and interpolates where "
        "nothing does; none leaves it empty. Other objects keep their pixels.",
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

    def along(self, axis: Literal["z", "t"]) -> LinkRules:
        """Return what the options say along an axis.

        Examples
        --------
        >>> LinkOptions(neck=0.1).along("t")[:3]
        (3, 0.25, 0.1)
        """
        values = self.model_dump(include=set(LinkRules._fields))
        return LinkRules(**values | {n: v for n, v in USUAL[axis].items() if values[n] is None})
