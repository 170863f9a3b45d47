"""From proposals to masks: filter, remove duplicates, paint the survivors, clean, nest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from napari_graysam.masks import Mask, at_level, nest, remove_small_regions, separate
from napari_graysam.propose import Proposals, rescore
from napari_graysam.recipe import GeneratorOptions, LabelOptions
from napari_graysam.select.clean import cleaned, is_wanted
from napari_graysam.select.filters import check_covers, near_crop_edge, passes_thresholds
from napari_graysam.select.nms import (
    Indices,
    crop_scores,
    mask_overlap,
    suppress,
    suppress_boxes,
)
from napari_graysam.select.pinned import pinned

Scores = npt.NDArray[np.float32]
# Called with candidates, their scores, and whether they are of different crops; returns the
# positions of those to keep, best first.
Distinct = Callable[[Indices, Scores, bool], Indices]


def select(
    proposals: Proposals,
    generator: GeneratorOptions,
    labels: LabelOptions | None = None,
    source: str = "raw",
) -> tuple[Mask, ...]:
    """Choose the objects of an image among the proposals, without the model.

    Parameters
    ----------
    proposals
        Of the image.
    generator
        Thresholds no lower than the floors that the proposals were kept above; the grid as
        they were made with.
    labels
        Duplicate removal, cleaning, size range and nesting level; None for the defaults.
    source
        Written to each mask: ``"raw"`` or ``"preprocessed"``.

    Returns
    -------
    tuple of Mask
        In upstream's order, best first, without empty masks, with parent and depth.

    Raises
    ------
    ProposalsError
        If the proposals do not hold what is asked for.
    """
    options = LabelOptions() if labels is None else labels
    masks = survivors(proposals, generator, options, source)
    size = proposals.image_size
    clean = [cleaned(mask, size, options) for mask in masks]
    wanted = [mask for mask in clean if is_wanted(mask, size, options)]
    chosen = at_level(nest(wanted), options.level)
    return separate(chosen) if options.overlap == "disjoint" else chosen


def survivors(
    proposals: Proposals,
    generator: GeneratorOptions,
    labels: LabelOptions | None = None,
    source: str = "raw",
) -> tuple[Mask, ...]:
    """Return the masks that pass every filter and are no duplicates, as they are.

    With the default ``labels`` these are upstream's masks in upstream's order, empty ones
    included. Parameters and errors as for `select`.

    Notes
    -----
    ``min_mask_region_area`` counts image pixels, and regions are cleaned before boxes are
    compared; upstream edits low-resolution logits, and only with its CUDA extension.
    Suppression by masks replaces the one by boxes, within crops and between them.
    """
    options = LabelOptions() if labels is None else labels
    check_covers(proposals, generator)
    proposals = rescore(proposals, generator)
    stays = pinned(proposals, options.keep)
    chosen = np.flatnonzero(passes_thresholds(proposals, generator) | stays)
    paint = partial(_paint, proposals, generator, source)
    masks: list[Mask] | None = None
    boxes = proposals.box[chosen]
    if generator.min_mask_region_area > 0 or options.suppression != "box":
        masks = paint(chosen)
        boxes = np.array([_inclusive(mask) for mask in masks], np.int32).reshape(-1, 4)
    cut_off = near_crop_edge(boxes, proposals.crop_box[chosen], proposals.image_size)
    whole = np.flatnonzero(~cut_off | stays[chosen])
    if options.suppression == "box" or masks is None:
        device_type = torch.device(proposals.record["device"]).type
        distinct = _distinct_boxes(boxes[whole], generator, device_type)
    else:
        distinct = _distinct_masks([masks[index] for index in whole], options)
    between_crops = generator.crop_n_layers > 0
    kept = whole[by_crop(proposals, chosen[whole], stays, between_crops, distinct)]
    found = paint(chosen[kept]) if masks is None else [masks[index] for index in kept]
    return tuple(
        mask.marked(pinned=True) if stays[index] else mask
        for mask, index in zip(found, chosen[kept], strict=True)
    )


def _paint(
    proposals: Proposals, generator: GeneratorOptions, source: str, chosen: Indices
) -> list[Mask]:
    """Return candidates as masks, cleaned of small regions."""
    region = generator.min_mask_region_area
    return [
        remove_small_regions(
            _mask(proposals, index, generator.mask_threshold, source), proposals.image_size, region
        )
        for index in chosen.tolist()
    ]


def _mask(proposals: Proposals, index: int, mask_threshold: float, source: str) -> Mask:
    """Return one candidate as a mask; an empty one has no pixel in its box."""
    box = proposals.half_open(index)
    x, y = proposals.point[index].tolist()
    left, top, right, bottom = proposals.crop_box[index].tolist()
    return Mask(
        bits=proposals.bits(index, mask_threshold, box),
        box=box,
        predicted_iou=float(proposals.predicted_iou[index]),
        stability=float(proposals.stability[index]),
        point=(x, y),
        crop_box=(left, top, right, bottom),
        source=source,
        candidates=(index,),
    )


def _inclusive(mask: Mask) -> tuple[int, int, int, int]:
    """Return a mask's box with its last row and column, as upstream's boxes."""
    x0, y0, x1, y1 = mask.box
    return x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)


def _distinct_boxes(
    boxes: npt.NDArray[np.int32], generator: GeneratorOptions, device_type: str
) -> Distinct:
    """Compare boxes, with one threshold within crops and one between them."""

    def distinct(members: Indices, scores: Scores, between: bool) -> Indices:
        threshold = generator.crop_nms_thresh if between else generator.box_nms_thresh
        return suppress_boxes(boxes[members], scores, threshold, device_type)

    return distinct


def _distinct_masks(masks: Sequence[Mask], labels: LabelOptions) -> Distinct:
    """Compare the masks themselves, with the same threshold everywhere."""
    assert labels.suppression != "box"
    overlap = mask_overlap(masks, labels.suppression)

    def distinct(members: Indices, scores: Scores, _: bool) -> Indices:
        def among(one: int, others: Indices) -> npt.NDArray[np.floating]:
            return overlap(int(members[one]), members[others])

        return suppress(scores, among, labels.suppression_thresh)

    return distinct


def by_crop(
    proposals: Proposals,
    chosen: Indices,
    stays: npt.NDArray[np.bool_],
    between_crops: bool,
    distinct: Distinct,
) -> Indices:
    """Remove duplicates within each crop by predicted IoU, then prefer smaller crops.

    Parameters
    ----------
    proposals
        All candidates.
    chosen
        Indices of those that passed the filters before.
    stays
        bool (N,), candidates that are never dropped and count as the best.
    between_crops
        Whether to compare the candidates of different crops as well.
    distinct
        Removes duplicates.

    Returns
    -------
    Positions in ``chosen`` of what is kept, best first.
    """
    crop = proposals.crop[chosen]
    quality = np.where(stays[chosen], np.float32(np.inf), proposals.predicted_iou[chosen])
    kept = [np.empty(0, np.intp)]
    for number in np.unique(crop):
        members = np.flatnonzero(crop == number)
        kept.append(members[distinct(members, quality[members], False)])
    found = np.concatenate(kept)
    if between_crops:
        small = crop_scores(proposals.crop_box[chosen[found]])
        scores = np.where(stays[chosen[found]], np.float32(np.inf), small)
        found = found[distinct(found, scores, True)]
    return found
