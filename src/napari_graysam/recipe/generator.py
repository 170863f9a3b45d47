"""The parameters of the automatic mask generator, with upstream's names and defaults.

Source of names, defaults and behaviour: ``SAM2AutomaticMaskGenerator`` of sam2 1.1.0.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from napari_graysam.parameters import Part

Fraction = Annotated[float, Field(ge=0, le=1)]
OutputMode = Literal["binary_mask", "uncompressed_rle", "coco_rle"]
Grid = Annotated[tuple[tuple[Fraction, Fraction], ...], Field(min_length=1)]


class GeneratorOptions(Part):
    """How densely the image is asked for objects, and which answers are kept."""

    points_per_side: int | None = Field(
        32,
        ge=1,
        le=512,
        title="Points per side",
        description="A grid of this many by this many points is laid over the image, and the "
        "model is asked at every point which object lies there. Raise it to find smaller and more "
        "crowded objects, and more small parts of objects; an object that no point hits is not "
        "found. Lower it for few, large objects. Doubling it takes about four times as long in "
        "the decoder and leaves the memory of a batch as it is, but four times as many candidates "
        "are kept for re-tuning. Whether parts show as masks of their own is decided directly by "
        "the nesting level of the labels. Null when point grids are given.",
        json_schema_extra={"stage": "decode", "none": "own points", "start": 32},
    )
    grid: Literal["full", "adaptive"] = Field(
        "full",
        title="Grid",
        description="full asks at every point of the grid, as SAM 2 does. adaptive asks at a few, "
        "learns from the answers and the image where others pay, and leaves out background and "
        "objects already found. It saves time where asking a point is dear (official models, "
        "exact arithmetic); with the bundled model in fast arithmetic, searching takes longer "
        "than asking. Fewer candidates are in memory; now and then an object is missed or comes "
        "out differently. "
        "The thresholds of IoU, stability and mask decide where it asks, so changing one of them "
        "needs a new run. Own points are always asked in full.",
        json_schema_extra={"stage": "decode"},
    )
    points_per_batch: int | None = Field(
        None,
        ge=1,
        le=16384,
        title="Points per batch",
        description="How many points the model answers at once. It does not change which masks "
        "are meant, only time and memory. Raise it on a GPU with free memory: faster, at roughly "
        "30 MB a point for the official models. Lower it when memory runs out. On a CPU small "
        "batches (1 to 4) are the fastest, because large ones do not fit the processor's cache. "
        "Null lets the program choose for the device.",
        json_schema_extra={"none": "automatic", "start": 16},
    )
    pred_iou_thresh: float = Field(
        0.8,
        ge=0,
        le=1,
        title="Predicted IoU threshold",
        description="The model estimates for each mask how well it fits an object (1 is perfect); "
        "masks that do not exceed this value are dropped. Raise it for fewer, surer masks; lower "
        "it when objects are missed, at the price of wrong masks. 0 keeps all. Lowering it costs "
        "a little time and memory for the additional masks; a change needs no new run of the "
        "model. The bundled model estimates lower than the official ones and needs about 0.3 to "
        "0.5.",
        json_schema_extra={"stage": "scores", "stage_if_adaptive": "decode"},
    )
    stability_score_thresh: float = Field(
        0.95,
        ge=0,
        le=1,
        title="Stability threshold",
        description="A mask is stable when its outline hardly moves as the cut between object and "
        "background is shifted; masks less stable than this are dropped. Raise it to keep only "
        "objects with sharp borders; lower it for blurred, faint or out-of-focus objects. 0 keeps "
        "all. Lowering it costs a little time and memory for the additional masks; a change needs "
        "no new run of the model.",
        json_schema_extra={"stage": "scores", "stage_if_adaptive": "decode"},
    )
    stability_score_offset: float = Field(
        1.0,
        ge=0,
        le=32,
        title="Stability offset",
        description="How far the cut is shifted up and down to measure the stability, in the "
        "model's own units (logits). Raise it for a stricter test, which fewer soft-edged masks "
        "pass; lower it for a milder one. At 0 every mask counts as perfectly stable. Time and "
        "memory stay the same; a change measures every candidate again, without the model.",
        json_schema_extra={"stage": "logits", "stage_if_adaptive": "decode"},
    )
    mask_threshold: float = Field(
        0.0,
        ge=-32,
        le=32,
        title="Mask threshold",
        description="The cut between object and background, in the model's own units (logits; 0 "
        "is even odds). Raise it for tighter masks that keep touching objects apart; lower it for "
        "wider masks that take in faint rims. Time and memory stay the same; a change cuts every "
        "candidate again, without the model.",
        json_schema_extra={"stage": "logits", "stage_if_adaptive": "decode"},
    )
    box_nms_thresh: float = Field(
        0.7,
        ge=0,
        le=1,
        title="Box overlap threshold",
        description="Several points find the same object: where the bounding boxes of two masks "
        "of one crop overlap by more than this (intersection over union), only the one with the "
        "higher predicted IoU stays. Raise it to keep more masks, among them near duplicates and "
        "nested objects; lower it to remove more duplicates, and with them true neighbours whose "
        "boxes overlap. 1 keeps all. The time hardly changes, the memory grows with the masks "
        "kept. Used when the labels' suppression is 'box'.",
        json_schema_extra={"stage": "nms"},
    )
    crop_n_layers: int = Field(
        0,
        ge=0,
        le=5,
        title="Crop layers",
        description="Looks again at enlarged crops of the image: layer 1 adds 2×2 crops, layer 2 "
        "adds 4×4, layer 3 adds 8×8. Raise it for small or closely packed objects: more objects "
        "are found, with finer borders. 0 looks once at the whole image and suffices for large "
        "objects. Every crop costs as much time as the whole image (layers 1, 2, 3: 5, 21, 85 "
        "times as long, less with the point reduction), and candidates kept for re-tuning take as "
        "many times the memory.",
        json_schema_extra={"stage": "encode"},
    )
    crop_nms_thresh: float = Field(
        0.7,
        ge=0,
        le=1,
        title="Overlap threshold between crops",
        description="The same as the box overlap threshold, between masks of different crops; the "
        "mask from the smaller crop stays. Raise it to keep more masks, among them the same "
        "object twice; lower it to remove more. The time hardly changes, the memory grows with "
        "the masks kept. Without crop layers it does nothing.",
        json_schema_extra={"stage": "nms"},
    )
    crop_overlap_ratio: float = Field(
        512 / 1500,
        ge=0,
        le=1,
        title="Crop overlap",
        description="How much neighbouring crops of the first layer overlap, as a fraction of the "
        "image's shorter side; deeper layers overlap by proportionally less. Raise it when "
        "objects on the seams are missed or cut: the overlap should be wider than the objects. "
        "Lower it for smaller crops, which enlarge the objects more. Time and memory hardly "
        "change. Without crop layers it does nothing.",
        json_schema_extra={"stage": "encode"},
    )
    crop_n_points_downscale_factor: int = Field(
        1,
        ge=1,
        le=32,
        title="Point reduction in crops",
        description="Points per side are divided by this factor once for every crop layer. Raise "
        "it to save time: with 2, each 2×2 layer asks as many points as the whole image. Lower "
        "it, down to 1, to search crops as densely as the image, which finds the smallest objects "
        "and takes longest. Memory of a batch stays the same. Without crop layers it does "
        "nothing.",
        json_schema_extra={"stage": "decode"},
    )
    point_grids: tuple[Grid, ...] | None = Field(
        None,
        title="Point grids",
        description="Your own points instead of the regular grid: one list of (x, y) for the "
        "whole image and one more for each crop layer, from 0 (left, top) to 1 (right, bottom). "
        "More points find more objects and take proportionally longer; memory of a batch stays "
        "the same. Points per side must then be null.",
        json_schema_extra={
            "stage": "decode",
            "allowed": "one list of [x, y] pairs from 0 to 1 for each crop layer and the image",
        },
    )
    min_mask_region_area: int = Field(
        0,
        ge=0,
        title="Smallest region",
        description="Fills holes and removes separate islands smaller than this in every mask, "
        "before masks are compared with each other. Raise it when masks are speckled or "
        "perforated; lower it, down to 0 (off), to keep fine detail. Above 0 it costs some time "
        "for each candidate and no memory to speak of; a change works on the stored candidates, "
        "without the model.",
        json_schema_extra={"stage": "logits", "unit": "px²"},
    )
    output_mode: OutputMode = Field(
        "binary_mask",
        title="Record format",
        description="How the Python API returns each mask: a picture of the whole image (simple, "
        "but one byte for every pixel and mask), run lengths (small), or COCO's compressed text "
        "(smallest, for exchange). Masks, labels and time are the same for all.",
        json_schema_extra={"stage": "labels"},
    )
    use_m2m: bool = Field(
        False,
        title="Refine masks once",
        description="Shows the model each of its own masks once more, with the point, and keeps "
        "the corrected one. On: borders are often cleaner, for models trained for it; the decoder "
        "runs once more for each candidate, so it takes up to four times as long, at about the "
        "same memory. Off: faster.",
        json_schema_extra={"stage": "decode"},
    )
    multimask_output: bool = Field(
        True,
        title="Several masks per point",
        description="A point may mean a part, an object or a group. On: the model gives three "
        "masks for each point, so parts and wholes are both found. Off: one mask for each point, "
        "its best guess; fewer nested masks, a third of the candidates and of their memory, and "
        "less time after the decoder.",
        json_schema_extra={"stage": "decode"},
    )

    @property
    def searches(self) -> bool:
        """Whether the answers to some points decide which others are asked."""
        return self.grid == "adaptive" and self.point_grids is None

    @model_validator(mode="after")
    def _check_points(self) -> Self:
        if (self.points_per_side is None) == (self.point_grids is None):
            raise ValueError(
                "give exactly one of points_per_side and point_grids and set the other to null; "
                f"{'neither is' if self.point_grids is None else 'both are'} given"
            )
        layers = self.crop_n_layers + 1
        if self.point_grids is not None and len(self.point_grids) != layers:
            raise ValueError(
                f"crop_n_layers = {self.crop_n_layers} needs {layers} point_grids (one for the "
                f"image and one for each layer); {len(self.point_grids)} came"
            )
        reduction = self.crop_n_points_downscale_factor**self.crop_n_layers
        if self.points_per_side is not None and self.points_per_side < reduction:
            raise ValueError(
                f"no point is left in crop layer {self.crop_n_layers}: points_per_side = "
                f"{self.points_per_side} divided by crop_n_points_downscale_factor = "
                f"{self.crop_n_points_downscale_factor} once for each layer is below 1"
            )
        return self
