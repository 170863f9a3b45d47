"""What a recipe says about the image: which pixels of it, their window, and the region."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from napari_graysam.parameters import Part

Name = Annotated[str, Field(min_length=1)]
PathText = Annotated[
    Name, BeforeValidator(lambda path: os.fspath(path) if isinstance(path, os.PathLike) else path)
]


def _check_below(low: float, high: float) -> None:
    if low >= high:
        raise ValueError(f"low must be below high; low = {low:g} and high = {high:g} came")


class Percentiles(Part):
    """Black and white leave out a share of the darkest and brightest pixels of image or stack."""

    kind: Literal["percentiles"] = "percentiles"
    low: float = Field(
        0.1,
        ge=0,
        le=100,
        title="Black percentile",
        description="This percentage of the pixels, the darkest, becomes black. Raise it when a "
        "dark background takes up most of the gray levels.",
        json_schema_extra={"unit": "%"},
    )
    high: float = Field(
        99.9,
        ge=0,
        le=100,
        title="White percentile",
        description="Pixels brighter than this percentage of all become white. Lower it when a "
        "few very bright spots leave the rest dark.",
        json_schema_extra={"unit": "%"},
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        _check_below(self.low, self.high)
        return self


class Explicit(Part, title="Given gray values"):
    """Black and white are given gray values, the same for every image."""

    kind: Literal["explicit"] = "explicit"
    low: float = Field(
        title="Black value",
        description="Gray values up to this one become black.",
        json_schema_extra={"unit": "gray value"},
    )
    high: float = Field(
        title="White value",
        description="Gray values from this one on become white.",
        json_schema_extra={"unit": "gray value"},
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        _check_below(self.low, self.high)
        return self


class DtypeRange(Part, title="Range of the data type"):
    """Black and white are the ends of the data type: 0 to 255 for 8 bits, 0 to 65535 for 16.

    12-bit data in a 16-bit file becomes nearly black.
    """

    kind: Literal["dtype"] = "dtype"


class ContrastLimits(Part, title="Layer's contrast limits"):
    """Black and white are the image layer's contrast limits: what you see is segmented."""

    kind: Literal["limits"] = "limits"


Window = Annotated[
    Percentiles | Explicit | DtypeRange | ContrastLimits, Field(discriminator="kind")
]


def _region_kind(region: Any) -> str:
    return "file" if isinstance(region, str | os.PathLike) else "polygons"


Polygon = Annotated[tuple[tuple[float, float], ...], Field(min_length=3)]
Polygons = Annotated[tuple[Polygon, ...], Field(min_length=1)]
Region = Annotated[
    Annotated[Polygons, Tag("polygons")] | Annotated[PathText, Tag("file")],
    Discriminator(_region_kind),
]


class ImageOptions(Part):
    """How any image becomes one grayscale picture."""

    window: Window = Field(
        Percentiles(),
        title="Window",
        description="Which gray values become black and white before anything else is done. The "
        "raw and the preprocessed result use the same window.",
        json_schema_extra={"stage": "image"},
    )
    axes: str | None = Field(
        None,
        title="Axes",
        description="What each dimension of the image is, a letter each: Y and X, C channel, Z "
        "slice, T time, S colour (red, green, blue). For example YX, YXS, ZYX or TCYX. Null "
        "decides by the file and the shape, where they leave no doubt.",
        json_schema_extra={
            "stage": "image",
            "allowed": "different letters of TZCYXS, among them Y and X, or null",
            "none": "by file and shape",
        },
    )
    channel: int | None = Field(
        None,
        ge=0,
        title="Channel",
        description="Which channel or colour of the image is segmented, counted from 0. Null "
        "mixes the colours of an RGB image into gray.",
        json_schema_extra={"stage": "image", "none": "colours mixed"},
    )
    gray: Literal["luminance", "mean", "max"] = Field(
        "luminance",
        title="Colour to gray",
        description="How an RGB image becomes gray: as bright as the eye sees it, the mean of "
        "the colours, or the brightest colour (for stains of a single colour). Not used where "
        "a channel is chosen.",
        json_schema_extra={"stage": "image"},
    )
    plane: int | None = Field(
        None,
        ge=0,
        title="Plane",
        description="Which plane of a stack is segmented, counted from 0 along all dimensions "
        "before Y and X together. Null for an image that is a single plane.",
        json_schema_extra={"stage": "image", "none": "single plane"},
    )
    series: int | None = Field(
        None,
        ge=0,
        title="Image of the file",
        description="Which image of a file that holds several is segmented, such as a position "
        "of OME-TIFF, counted from 0. Null for a file of one image; reduced copies do not count.",
        json_schema_extra={"stage": "image", "none": "the only one"},
    )
    object_diameter: float | None = Field(
        None,
        ge=3,
        allow_inf_nan=False,
        title="Typical object",
        description="Diameter of a typical object, in pixels of the image. It sets the density of "
        "the points, the frame or the crops, so that the model sees such objects large enough, "
        "and the range of areas: an eighth to eight times that of a disc. Values that you have "
        "changed stay. Null leaves all as it is.",
        json_schema_extra={
            "stage": "encode",
            "optional": True,
            "unit": "px",
            "none": "not set",
            "start": 30,
        },
    )
    region: Region | None = Field(
        None,
        title="Region",
        description="Where points are set; objects may reach beyond. Either polygons, each a list "
        "of corners (x, y) in pixels of the image, whose upper left corner is (0, 0), or a file: "
        "an image of the same size that is not 0 inside, or GeoJSON. In a recipe file, a relative "
        "path starts at the recipe's folder. Null sets points everywhere.",
        json_schema_extra={
            "stage": "decode",
            "none": "everywhere",
            "allowed": "a list of polygons, each a list of at least 3 corners [x, y], the path of "
            "a file, or null",
        },
    )

    @field_validator("axes")
    @classmethod
    def _check_axes(cls, axes: str | None) -> str | None:
        if axes is not None and (
            not set("YX") <= set(axes) <= set("TZCYXS") or len(set(axes)) < len(axes)
        ):
            raise ValueError("each letter of TZCYXS at most once, Y and X among them")
        return axes


def with_region(data: Any, move: Callable[[str], str | Path]) -> Any:
    """Return a document whose relative path of a region, if it has one, is moved."""
    image = data.get("image") if isinstance(data, dict) else None
    if not isinstance(image, dict) or not isinstance(region := image.get("region"), str):
        return data
    if os.path.isabs(region):
        return data
    return {**data, "image": {**image, "region": os.path.normpath(move(region))}}
