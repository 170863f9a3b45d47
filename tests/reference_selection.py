"""Selection in its plainest form, candidate by candidate, to compare the selector with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_graysam.masks import (
    Mask,
    at_level,
    fill_holes,
    nest,
    remove_islands,
    remove_small_regions,
    separate,
    shared_pixels,
    touches_border,
)
from napari_graysam.propose import Proposals, rescore
from napari_graysam.recipe import GeneratorOptions, LabelOptions

Overlap = Callable[[int, int], float]


def select(
    proposals: Proposals, generator: GeneratorOptions, labels: LabelOptions, source: str = "raw"
) -> tuple[Mask, ...]:
    """Return the objects."""
    size = proposals.image_size
    found = []
    for mask in survivors(proposals, generator, labels, source):
        filled = fill_holes(mask, size, labels.fill_holes)
        cleaned = remove_islands(filled, labels.min_island)
        largest = np.inf if labels.max_area is None else labels.max_area
        wanted = max(1, labels.min_area) <= cleaned.area <= largest
        if labels.exclude_border and touches_border(cleaned, size):
            wanted = False
        if wanted or (cleaned.pinned and cleaned.area):
            found.append(cleaned)
    chosen = at_level(nest(found), labels.level)
    return separate(chosen) if labels.overlap == "disjoint" else chosen


def survivors(
    proposals: Proposals, generator: GeneratorOptions, labels: LabelOptions, source: str = "raw"
) -> list[Mask]:
    """Return the masks that pass every filter and are no duplicates."""
    proposals = rescore(proposals, generator)
    pinned = pinned_candidates(proposals, labels)
    masks = {}
    for index in range(len(proposals)):
        mask = mask_of(proposals, index, generator, source, index in pinned)
        good = (
            generator.pred_iou_thresh <= 0
            or proposals.predicted_iou[index] > np.float32(generator.pred_iou_thresh)
        ) and proposals.stability[index] >= np.float32(generator.stability_score_thresh)
        if mask.pinned or (good and not is_cut_off(mask, proposals.image_size)):
            masks[index] = mask
    overlap = overlap_of(masks, labels)
    order = []
    for crop in np.unique(proposals.crop).tolist():
        members = [index for index in masks if proposals.crop[index] == crop]
        scores = {index: proposals.predicted_iou[index] for index in members}
        threshold = generator.box_nms_thresh
        if labels.suppression != "box":
            threshold = labels.suppression_thresh
        order += suppress(members, scores, pinned, overlap, threshold)
    if generator.crop_n_layers:
        sides = np.diff(proposals.crop_box.reshape(-1, 2, 2).astype(np.float64), axis=1)[:, 0]
        scores = {index: 1 / sides[index].prod() for index in order}
        threshold = generator.crop_nms_thresh
        if labels.suppression != "box":
            threshold = labels.suppression_thresh
        order = suppress(order, scores, pinned, overlap, threshold)
    return [masks[index] for index in order]


def suppress(
    members: list[int],
    scores: dict[int, float],
    pinned: set[int],
    overlap: Overlap,
    threshold: float,
) -> list[int]:
    """Keep each candidate that no better one, kept before, overlaps by too much."""
    kept: list[int] = []
    scores = {index: np.inf if index in pinned else scores[index] for index in members}
    for one in sorted(members, key=lambda index: -scores[index]):
        if one in pinned or not any(overlap(better, one) > threshold for better in kept):
            kept.append(one)
    return kept


def overlap_of(masks: dict[int, Mask], labels: LabelOptions) -> Overlap:
    """Return the function that tells how much two candidates overlap."""

    def boxes(one: int, other: int) -> float:
        a, b = (np.float32(inclusive(masks[index])) for index in (one, other))
        sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), np.float32(0))
        common = sides.prod()
        union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common
        return float(common / union) if union else 0.0

    def pixels(one: int, other: int) -> float:
        a, b = masks[one], masks[other]
        common = shared_pixels(a, b)
        smaller, both = min(a.area, b.area), a.area + b.area - common
        return common / max(1, both if labels.suppression == "mask_iou" else smaller)

    return boxes if labels.suppression == "box" else pixels


def mask_of(
    proposals: Proposals, index: int, generator: GeneratorOptions, source: str, pinned: bool
) -> Mask:
    """Return one candidate without small regions; an empty one has no pixel in its box."""
    box = proposals.half_open(index)
    x, y = proposals.point[index].tolist()
    left, top, right, bottom = proposals.crop_box[index].tolist()
    mask = Mask(
        bits=proposals.bits(index, generator.mask_threshold, box),
        box=box,
        predicted_iou=float(proposals.predicted_iou[index]),
        stability=float(proposals.stability[index]),
        point=(x, y),
        crop_box=(left, top, right, bottom),
        source=source,
        pinned=pinned,
        candidates=(index,),
    )
    return remove_small_regions(mask, proposals.image_size, generator.min_mask_region_area)


def inclusive(mask: Mask) -> tuple[int, int, int, int]:
    """Return a mask's box with its last row and column, as upstream's boxes."""
    x0, y0, x1, y1 = mask.box
    return x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)


def is_cut_off(mask: Mask, size: tuple[int, int]) -> bool:
    """Tell whether a box comes within 20 pixels of a crop's edge that is no image's edge."""
    ends = (0, 0, size[1], size[0])
    return any(
        abs(side - crop) <= 20 < abs(side - end)
        for side, crop, end in zip(inclusive(mask), mask.crop_box, ends, strict=True)
    )


def pinned_candidates(proposals: Proposals, labels: LabelOptions) -> set[int]:
    """Return the candidates that the recipe pins: by crop, point and number at the point."""
    pinned = set()
    for one in labels.keep:
        here = [
            index
            for index, point in enumerate(proposals.point.tolist())
            if proposals.crop[index] == one.crop and np.allclose(point, one.point, 0, 0.01)
        ]
        pinned |= set(here[one.mask : one.mask + 1])
    return pinned
