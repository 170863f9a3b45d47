"""What a recipe says about the model and the label image."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from napari_graysam.masks import Arm, Level, Overlap
from napari_graysam.parameters import Part
from napari_graysam.recipe.filters import ColumnFilter
from napari_graysam.recipe.image import Name, PathText
from napari_graysam.recipe.merging import MergingOptions
from napari_graysam.recipe.pins import Pin

Suppression = Literal["box", "mask_iou", "containment"]


class ModelOptions(Part):
    """Which SAM 2 model looks at the image, and where it runs."""

    name: Name = Field(
        "graysam-small",
        title="Model",
        description="The model that draws the masks. graysam-small comes with the program, needs "
        "no download and is fast: made for blob-like and cell-like objects. The official models "
        "(`graysam models list`) know more kinds of objects: from tiny to large they draw better "
        "masks, take longer (the encoder of large 6 times as long as tiny's) and need more "
        "memory (weights from 0.16 to 0.9 GB).",
        json_schema_extra={"allowed": "a name that `graysam models list` shows"},
    )
    checkpoint: PathText | None = Field(
        None,
        title="Checkpoint file",
        description="Your own weights in place of the named model's; a relative path starts at "
        "the current folder. Time and memory are those of its architecture.",
        json_schema_extra={"allowed": "the path of a file, or null", "none": "the named model's"},
    )
    config: Name | None = Field(
        None,
        title="Checkpoint config",
        description="The architecture of the checkpoint: a config name of the catalogue such as "
        "configs/sam2.1/sam2.1_hiera_t.yaml, or the path of a YAML file. Null uses the named "
        "model's.",
        json_schema_extra={
            "allowed": "a config name of the catalogue, the path of a YAML file, or null",
            "none": "the named model's",
        },
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:[0-9]+)?|mps)$",
        title="Device",
        description="Where the model runs. cuda is an NVIDIA card (cuda:1 the second one), mps "
        "an Apple one, both many times as fast as cpu; auto takes the fastest one present.",
        json_schema_extra={"allowed": "auto, cpu, cuda, cuda:N or mps"},
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        title="Precision",
        description="bfloat16 halves the memory and is faster on recent NVIDIA cards, but some "
        "masks differ and a few near a threshold come or go; float32 is exact.",
    )
    arithmetic: Literal["exact", "fast"] = Field(
        "exact",
        title="Arithmetic",
        description="exact multiplies in SAM 2's own order and gives its masks to the bit or "
        "nearly so; fast does the same mathematics in an order that halves the work of the "
        "mask decoder, and rounds differently: a mask on the edge of a threshold may come or "
        "go.",
    )
    frame: int | None = Field(
        None,
        ge=256,
        le=2048,
        multiple_of=64,
        title="Frame",
        description="Side of the square in which the model sees the image. Raise it for objects "
        "smaller than 10 pixels in a frame of 512, lower it for objects that come in pieces; "
        "twice the side takes four times as long. Null is about the image's own size, from 512 "
        "to 1024; the official models know no frame but their own.",
        json_schema_extra={
            "unit": "px",
            "none": "by image size",
            "start": 768,
            "allowed": "a multiple of 64 from 256 to 2048, or null",
        },
    )
    frame_scale: float = Field(
        1.0,
        ge=0.5,
        le=4,
        title="Frame scale",
        description="Where the frame follows the image's size, it is this many times as large, "
        "still from 512 to 1024 pixels: more for small objects in small images. The official "
        "models know no frame but their own.",
        json_schema_extra={"unit": "times"},
    )


class PinnedMask(Part):
    """One mask that stays in the result whatever the filters say.

    Named by the point that the model was asked at, so that it is found again in every later run
    with the same points.
    """

    point: tuple[float, float] = Field(
        title="Point",
        description="Where the model was asked for the mask: x (column) and y (row) in pixels "
        "of the image.",
        json_schema_extra={"unit": "px", "allowed": "[x, y] in pixels of the image"},
    )
    crop: int = Field(
        0,
        ge=0,
        title="Crop",
        description="Number of the crop that the model saw; 0 is the whole image, or tile.",
    )
    mask: int = Field(
        0,
        ge=0,
        title="Mask",
        description="Which of the masks for this point it is, counted from 0: the model often "
        "offers a part, an object and a group.",
    )
    arm: Arm | None = Field(
        None,
        title="Arm",
        description="Which arm's mask is meant where the recipe's arms are union or consensus. "
        "Null means the preprocessed one's.",
        json_schema_extra={"optional": True, "none": "preprocessed"},
    )


class LabelOptions(Part):
    """How masks become objects of a label image."""

    overlap: Overlap = Field(
        "smaller_on_top",
        title="Overlap",
        description="Which object a pixel belongs to where masks overlap: the smaller (parts "
        "stay visible on their wholes), the larger (wholes hide their parts), or the one with "
        "the higher predicted IoU. disjoint paints like the last, and the masks themselves give "
        "up what better ones have taken, so that no two share a pixel in tables and exports; one "
        "that would lose more than half of its pixels is removed.",
        json_schema_extra={"stage": "labels"},
    )
    level: Level = Field(
        "all",
        title="Nesting level",
        description="Which masks become objects where one lies within another: all of them, only "
        "wholes (in no other mask), or only parts (that hold no other mask).",
        json_schema_extra={"stage": "labels"},
    )
    suppression: Suppression = Field(
        "box",
        title="Duplicate removal",
        description="How duplicates are recognised: box compares bounding boxes, as SAM 2 does "
        "(with the generator's box overlap threshold); mask_iou the masks themselves, which "
        "spares nested and diagonal neighbours; containment drops a mask that lies mostly "
        "within a better one, or holds it.",
        json_schema_extra={"stage": "nms"},
    )
    suppression_thresh: float = Field(
        0.7,
        ge=0,
        le=1,
        title="Duplicate threshold",
        description="For mask_iou and containment: masks that overlap by more than this are "
        "duplicates and the one with the lower predicted IoU is dropped. Raise it to keep more "
        "masks, lower it to remove more. mask_iou measures intersection over union, containment "
        "intersection over the smaller mask.",
        json_schema_extra={"stage": "nms"},
    )
    merging: MergingOptions = Field(
        MergingOptions(),
        title="One object, one mask",
        description="Whether fragments are merged and wrongly joined objects split.",
    )
    min_area: int = Field(
        0,
        ge=0,
        title="Smallest object",
        description="Objects smaller than this are removed. Raise it against specks and noise.",
        json_schema_extra={"stage": "labels", "unit": "px²"},
    )
    max_area: int | None = Field(
        None,
        ge=1,
        title="Largest object",
        description="Objects larger than this are removed. Lower it when the background or whole "
        "clumps are taken for objects. Null sets no limit.",
        json_schema_extra={
            "stage": "labels",
            "unit": "px²",
            "none": "no limit",
            "start": 10_000,
        },
    )
    fill_holes: int = Field(
        0,
        ge=0,
        title="Fill holes",
        description="Holes up to this area are filled. Raise it when objects come perforated; 0 "
        "leaves every hole.",
        json_schema_extra={"stage": "labels", "unit": "px²"},
    )
    min_island: int = Field(
        0,
        ge=0,
        title="Remove islands",
        description="Separate pieces of an object smaller than this are removed; the largest "
        "piece always stays. Raise it when objects have stray specks; 0 leaves every piece.",
        json_schema_extra={"stage": "labels", "unit": "px²"},
    )
    keep: tuple[PinnedMask, ...] = Field(
        (),
        title="Kept masks",
        description="Masks that become objects although a filter would drop them: chosen one by "
        "one with the inspect tool. They pass every threshold, size and border rule and count "
        "as the best of all, so their duplicates go. They belong to one image: empty the list "
        "before you use the recipe for another.",
        json_schema_extra={"stage": "nms"},
    )
    pinned: tuple[Pin, ...] = Field(
        (),
        title="Pinned objects",
        description="Single objects that were added, removed, merged or split by hand, in the "
        "order in which that was done; later ones win. They pass every threshold, size and "
        "border rule and win over every candidate that is the same object. Each belongs to one "
        "image and counts in both arms; for other images nothing happens, and a note says so. "
        "The kinds apart and whole take back a merge or a split of labels.merging.",
        json_schema_extra={"stage": "nms"},
    )
    exclude_border: bool = Field(
        False,
        title="Exclude border objects",
        description="On: objects that touch the border of the image are removed, because their "
        "size and shape cannot be measured. Off: they stay.",
        json_schema_extra={"stage": "labels"},
    )

    filters: tuple[ColumnFilter, ...] = Field(
        (),
        title="Filters",
        description="Ranges of columns of the object table: an object outside any of them is "
        "removed, after everything else. Both limits belong to the range; kept and pinned masks "
        "always pass.",
        json_schema_extra={"stage": "labels"},
    )

    @model_validator(mode="after")
    def _check_areas(self) -> Self:
        if self.max_area is not None and self.min_area > self.max_area:
            raise ValueError(
                "min_area must not exceed max_area; "
                f"min_area = {self.min_area} and max_area = {self.max_area} came"
            )
        return self
