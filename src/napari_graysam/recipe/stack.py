"""What a recipe says about stacks: which planes are segmented, and how objects go through them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_graysam.parameters import Part
from napari_graysam.recipe.linking import LinkOptions


class StackOptions(Part):
    """Every plane of a z-stack or a time series is segmented, and objects are linked through them.

    Nothing here changes what is found in a plane, but for the window.
    """

    axis: Literal["none", "auto", "z", "t"] = Field(
        "none",
        title="Axis",
        description="Along which axis all planes are segmented: z or t; auto takes the one long "
        "axis of them that the file names, and asks where there are two or the file names none. "
        "none segments one plane, which image.plane chooses.",
    )
    at: int | None = Field(
        None,
        ge=0,
        title="Position along the other axis",
        description="Where an image is long in z and in t, the position along the one that is "
        "not segmented, counted from 0: the time of a z-stack, the depth of a time series.",
        json_schema_extra={"none": "there is no other"},
    )
    first: int | None = Field(
        None,
        ge=0,
        title="First plane",
        description="The first plane that is segmented, counted from 0. Null starts with plane 0.",
        json_schema_extra={"none": "0"},
    )
    last: int | None = Field(
        None,
        ge=0,
        title="Last plane",
        description="The last plane that is segmented, counted from 0; it belongs to them. Null "
        "goes on to the end.",
        json_schema_extra={"none": "the last one"},
    )
    step: int = Field(
        1,
        ge=1,
        title="Every so many planes",
        description="2 segments every second plane, and so on. Raise it where neighbouring "
        "planes are nearly the same; the time falls in proportion.",
    )
    spacing: float | None = Field(
        None,
        gt=0,
        title="Spacing of planes",
        description="Distance of neighbouring planes of the image: µm along z, seconds along t. "
        "Null takes what the file says; without either, volumes are in voxels and speeds per "
        "plane.",
        json_schema_extra={"none": "by file"},
    )
    window: Literal["stack", "plane"] = Field(
        "stack",
        title="Window measured over",
        description="Percentiles of image.window are measured over all planes of the image, so "
        "that equal gray values look alike in each; or over every plane by itself, which follows "
        "bleaching and the loss of light with depth, but also raises the noise of empty planes.",
    )
    link: Literal["none", "overlap", "prompt", "laptrack"] = Field(
        "none",
        title="Link objects",
        description="overlap gives an object one number through all planes, where its outlines "
        "in neighbouring planes overlap. prompt does so too, and asks the model again for objects "
        "that a plane lacks, with the mask of the plane beside it, up to linking.gap planes "
        "far. laptrack follows the centres of objects along t, also where outlines do not "
        "overlap, with the package of that name. none numbers the objects of each plane on their "
        "own, no number twice.",
    )
    linking: LinkOptions = Field(
        LinkOptions(),
        title="Linking",
        description="Which objects of different planes are one, where they are linked.",
    )
