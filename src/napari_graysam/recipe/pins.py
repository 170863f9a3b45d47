"""What a recipe says about single objects of one image: added, removed, merged or split by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from napari_graysam.masks.run_lengths import check_counts
from napari_graysam.parameters import Part

Place = tuple[float, float]
Counts = Annotated[str, Field(min_length=1)]
_RUNS = "COCO's compressed run lengths: text"
_RUNS_LIST = "a list of at least 2 masks, each COCO's compressed run lengths: text"


class Prompt(Part):
    """Where the model is asked for one object: points on it, points off it, a box around it."""

    positive: tuple[Place, ...] = Field(
        (),
        title="Points on the object",
        description="Places that belong to the object: x (column) and y (row) in pixels of the "
        "image.",
        json_schema_extra={"unit": "px", "allowed": "a list of points [x, y]"},
    )
    negative: tuple[Place, ...] = Field(
        (),
        title="Points off the object",
        description="Places that do not belong to the object, in pixels of the image.",
        json_schema_extra={"unit": "px", "allowed": "a list of points [x, y]"},
    )
    box: tuple[float, float, float, float] | None = Field(
        None,
        title="Box",
        description="Left, top, right and bottom of a box around the object, in pixels of the "
        "image.",
        json_schema_extra={
            "unit": "px",
            "none": "no box",
            "allowed": "[x0, y0, x1, y1] with x0 below x1 and y0 below y1, or null",
        },
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.positive and self.box is None:
            raise ValueError("a prompt needs a point on the object or a box; neither came")
        if self.box is not None and (self.box[0] >= self.box[2] or self.box[1] >= self.box[3]):
            raise ValueError(f"the box {list(self.box)} is empty: expected [x0, y0, x1, y1]")
        return self

    @property
    def places(self) -> tuple[Place, ...]:
        """All points, and the corners of the box."""
        corners = () if self.box is None else (self.box[:2], self.box[2:])
        return (*self.positive, *self.negative, *corners)


class _OfImage(Part):
    """What all pins have in common: the image that they are of."""

    kind: str
    image: str = Field(
        title="Image",
        description="Digest of the gray values of the image (blake2b, hexadecimal): the pin "
        "counts for this image only, whatever its name, and for others nothing happens.",
    )
    size: tuple[int, int] = Field(
        title="Size",
        description="Height and width of the image.",
        json_schema_extra={"unit": "px", "allowed": "[height, width]"},
    )

    @model_validator(mode="after")
    def _check_masks(self) -> Self:
        for counts in self._counts():
            check_counts(counts, self.size)
        return self

    def _counts(self) -> Iterator[str]:
        held: Any = dict(self)
        if held.get("mask") is not None:
            yield held["mask"]
        yield from held.get("parts", ())


class AddedObject(_OfImage):
    """An object that the model drew for a prompt: it stays, and what is the same object goes."""

    kind: Literal["add"] = "add"
    prompt: Prompt = Field(title="Prompt", description="Where the model was asked for the object.")
    mask: Counts = Field(
        title="Mask",
        description="The object's pixels as the model drew them, so that they are the same "
        "wherever the recipe runs.",
        json_schema_extra={"allowed": _RUNS},
    )
    predicted_iou: float = Field(
        1.0,
        title="Predicted IoU",
        description="The model's own estimate of the mask's quality.",
    )
    stability: float = Field(
        1.0,
        title="Stability",
        description="Intersection over union of the mask cut a little higher and a little lower.",
    )


class RemovedObject(_OfImage):
    """No object here: every mask that is the same object (mask IoU of 0.5 or more) goes."""

    kind: Literal["remove"] = "remove"
    mask: Counts = Field(
        title="Mask",
        description="The pixels of the object that was removed.",
        json_schema_extra={"allowed": _RUNS},
    )


class MergedObjects(_OfImage):
    """Several masks that are one object: they become one, and what lies within it goes."""

    kind: Literal["merge"] = "merge"
    parts: tuple[Counts, ...] = Field(
        min_length=2,
        title="Parts",
        description="The pixels of the masks that were merged.",
        json_schema_extra={"allowed": _RUNS_LIST},
    )
    mask: Counts | None = Field(
        None,
        title="Mask",
        description="The pixels of the object that they are; null is all their pixels.",
        json_schema_extra={"allowed": f"{_RUNS}, or null", "none": "all pixels of the parts"},
    )


class SplitObject(_OfImage):
    """One mask that is several objects: it goes, and they come in its place."""

    kind: Literal["split"] = "split"
    mask: Counts = Field(
        title="Mask",
        description="The pixels of the mask that was split.",
        json_schema_extra={"allowed": _RUNS},
    )
    parts: tuple[Counts, ...] = Field(
        min_length=2,
        title="Parts",
        description="The pixels of the objects that it is.",
        json_schema_extra={"allowed": _RUNS_LIST},
    )


class SeparateObjects(_OfImage):
    """Several masks that are different objects: ``labels.merging`` never joins two of them."""

    kind: Literal["apart"] = "apart"
    parts: tuple[Counts, ...] = Field(
        min_length=2,
        title="Parts",
        description="The pixels of the masks that stay apart; each stands for whatever is the "
        "same object (mask IoU of 0.5 or more).",
        json_schema_extra={"allowed": _RUNS_LIST},
    )


class WholeObject(_OfImage):
    """One mask that is one object: ``labels.merging`` never splits it."""

    kind: Literal["whole"] = "whole"
    mask: Counts = Field(
        title="Mask",
        description="The pixels of the mask that stays whole; it stands for whatever is the same "
        "object (mask IoU of 0.5 or more).",
        json_schema_extra={"allowed": _RUNS},
    )


Pin = Annotated[
    AddedObject | RemovedObject | MergedObjects | SplitObject | SeparateObjects | WholeObject,
    Field(discriminator="kind"),
]
