"""From a view to its proposals: crops, encoder, decoder and statistics, batch by batch.

Gives what ``SAM2AutomaticMaskGenerator`` of sam2 1.1.0 computes before it removes duplicates,
in the same order. Each step that drops a candidate looks at that candidate alone, so the
cheap ones come first: predicted IoU before any enlargement, stability before area and box.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_graysam import model as models
from napari_graysam.errors import DeviceError, ImageError
from napari_graysam.model import LoadedModel
from napari_graysam.progress import Progress
from napari_graysam.propose.cache import Cache, proposals_key
from napari_graysam.propose.candidates import Candidates, Room, gather
from napari_graysam.propose.decode import (
    Batches,
    Decoder,
    batch_size,
    keep_freed_memory,
    out_of_memory,
)
from napari_graysam.propose.encode import Features, encode
from napari_graysam.propose.enlarge import Enlargement, enlargement_of
from napari_graysam.propose.grid import Crop
from napari_graysam.propose.points import PointSource, source_of
from napari_graysam.propose.proposals import Proposals, compact_level, masks_together
from napari_graysam.propose.statistics import begin_measuring
from napari_graysam.propose.workers import Workers
from napari_graysam.recipe import GeneratorOptions, ModelOptions


@dataclass(frozen=True)
class _Settings:
    """What stays the same for all batches of a run, and the room that they share."""

    model: LoadedModel
    options: GeneratorOptions
    points: PointSource
    iou_floor: float
    stability_floor: float
    room: Room


def propose(
    view: npt.NDArray[np.uint8],
    model: LoadedModel | ModelOptions,
    options: GeneratorOptions,
    *,
    region: npt.NDArray[np.bool_] | None = None,
    iou_floor: float | None = None,
    stability_floor: float | None = None,
    cache: Cache | None = None,
    points: PointSource | None = None,
) -> Generator[Progress, None, Proposals]:
    """Ask the model for masks at many points of a view.

    Parameters
    ----------
    view
        uint8 (H, W, 3), RGB.
    model
        A SAM 2 model on its device; or the options of one, which is loaded unless `cache` has
        the answer.
    options
        The generator's parameters; thresholds of duplicates are not used here.
    region
        bool (H, W); only grid points on True pixels are asked, and crops without any are not
        even encoded. None asks everywhere.
    iou_floor, stability_floor
        Candidates are kept if their predicted IoU exceeds, and their stability reaches, this;
        0 keeps all. None means the thresholds of ``options``. Lower floors let `select` lower
        its thresholds later without the model, at 4 bytes a low-resolution logit: 0.26 MB a
        candidate for the official models. Above 1 GiB, candidates are kept as
        `Proposals.compact` keeps them.
    cache
        Looked into for features and proposals of earlier runs, and added to. What it holds may
        have been kept above lower floors. If its folder takes no more, ``record["notes"]`` says
        so.
    points
        Where to ask; the grid of ``options`` if omitted. Explicit points are not cached.

    Yields
    ------
    Progress
        "encode" before each crop and "decode" after each batch of points. Closing the
        generator there cancels. With an adaptive grid the total is the most that can be asked,
        and falls after each crop to what is left.

    Returns
    -------
    Proposals

    Raises
    ------
    ImageError
        If the view or the region has another type or shape.
    ModelError
        If the model cannot be loaded.
    DeviceError
        If the device's memory does not suffice for one crop and one point.

    Notes
    -----
    A batch that runs out of memory is halved and tried again; ``record["notes"]`` says so.
    The batch size changes results only by the rounding of the model's arithmetic.

    An adaptive grid (``options.grid``) asks some points of the full grid in the rounds of
    `Search`. Candidates come in the full grid's order, whenever their points were asked.
    Which points are asked depends on the thresholds of ``options``, not on the floors unless
    these are higher.
    """
    _check_view(view)
    cache = Cache(budget=0) if cache is None else cache
    if isinstance(model, LoadedModel):
        model = model.fitted(view.shape[:2])
    floors = (
        options.pred_iou_thresh if iou_floor is None else iou_floor,
        options.stability_score_thresh if stability_floor is None else stability_floor,
    )
    place = "" if points is None else points.place
    key = proposals_key(view, model, options, region, place or "")
    known = None if place is None else cache.proposals(key, options, floors)
    if known is not None:
        yield Progress("decode", 1, 1)
        return known
    if isinstance(model, ModelOptions):
        model = (yield from models.load_steps(model)).fitted(view.shape[:2])
    points_of = source_of(options) if points is None else points
    level = compact_level(options.mask_threshold, options.stability_score_offset)
    settings = _Settings(model, options, points_of, *cache.floors(floors), Room(level))
    if model.device.type == "cpu":
        keep_freed_memory()
    found: list[Candidates] = []
    batches = Batches(options.points_per_batch or batch_size(model))
    todo = settings.points.crops(view.shape[:2], options, region)
    total, done = sum(len(crop.points) for crop in todo), 0
    of_grid = total
    with closing(Workers(alone=not _side_by_side(model))) as workers:
        for number, crop in enumerate(todo):
            yield Progress("encode", number, len(todo))
            decoder = Decoder(
                _encode(view, crop, model, cache),
                model,
                multimask=options.multimask_output,
                use_m2m=options.use_m2m,
            )
            yield Progress("decode", done, total)
            left = len(crop.points)
            for candidates, count in _decode_crop(crop, decoder, settings, batches, workers):
                found.append(candidates)
                done, left = done + count, left - count
                yield Progress("decode", done, total)
            if left:
                total -= left
                yield Progress("decode", done, total)
    record = _record(settings, batches, (done, of_grid), region)
    proposals = gather(found, view.shape[:2], record)
    if place is not None and (notes := cache.keep(key, proposals)):
        return replace(proposals, record={**record, "notes": [*record["notes"], *notes]})
    return proposals


def _check_view(view: npt.NDArray[np.uint8]) -> None:
    """Refuse anything but an RGB view with pixels."""
    if view.dtype != np.uint8 or view.ndim != 3 or view.shape[2] != 3 or view.size == 0:
        raise ImageError(
            f"the view to segment is {view.dtype} {view.shape}: expected uint8 (H, W, 3) with "
            "at least one pixel, as to_rgb gives"
        )


def _encode(view: npt.NDArray[np.uint8], crop: Crop, model: LoadedModel, cache: Cache) -> Features:
    """Encode one crop, with a clear error where memory ends."""
    x0, y0, x1, y1 = crop.box
    try:
        return cache.features(view[y0:y1, x0:x1], model, encode)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise DeviceError(
            f"the image encoder of {model.name} ran out of memory on {model.device}: close "
            "other programs that use it, choose a smaller model, or set model.device to cpu"
        ) from error


def _side_by_side(model: LoadedModel) -> bool:
    """Tell whether batches may be computed side by side, which rounds differently."""
    return model.arithmetic == "fast" and model.device.type == "cpu"


def _decode_crop(
    crop: Crop,
    decoder: Decoder,
    settings: _Settings,
    batches: Batches,
    workers: Workers,
) -> Generator[tuple[Candidates, int], None, None]:
    """Yield the candidates of each batch of a crop's points, and how many points it had."""
    features = partial(_features_at, crop, decoder.features)
    rounds = settings.points.rounds(crop, features, settings.options)
    asked = next(rounds, None)
    while asked is not None:
        answers = []
        for candidates, count in _decode_points(asked, crop, decoder, settings, batches, workers):
            answers.append(candidates)
            yield candidates, count
        # Once a round, so that the batch size does not decide what is asked.
        try:
            asked = rounds.send(answers)
        except StopIteration:
            return


def _decode_points(
    asked: npt.NDArray[np.intp],
    crop: Crop,
    decoder: Decoder,
    settings: _Settings,
    batches: Batches,
    workers: Workers,
) -> Generator[tuple[Candidates, int], None, None]:
    """Yield the candidates of some of a crop's points, batch by batch, and the batch's size."""
    group, device = masks_together(settings.options), settings.model.device
    enlargement = enlargement_of(decoder.shape, crop.size, group, device)
    decode = partial(
        _decode_batch, crop=crop, decoder=decoder, settings=settings, enlargement=enlargement
    )
    start = 0
    while start < len(asked):
        parts = workers.parts(asked[start:], batches.size)
        try:
            for numbers, finish in zip(parts, workers.map(decode, parts), strict=True):
                # Here, as a worker's torch, on fewer threads, enlarges with another rounding.
                candidates = settings.room.held(finish())
                start += len(numbers)
                yield candidates, len(numbers)
        except RuntimeError as error:
            batches.halve(error)


def _features_at(crop: Crop, features: Features) -> npt.NDArray[np.float32]:
    """Return the encoder's features at a crop's points, (P, C)."""
    embedding = features.embedding.float()
    height, width = crop.size
    place = torch.as_tensor(crop.points / [width, height], dtype=torch.float32) * 2 - 1
    sampled = functional.grid_sample(
        embedding,
        place[None, None].to(embedding.device),
        padding_mode="border",
        align_corners=False,
    )
    return _numpy(sampled[0, :, 0].T)


def _decode_batch(
    numbers: npt.NDArray[np.intp],
    *,
    crop: Crop,
    decoder: Decoder,
    settings: _Settings,
    enlargement: Enlargement | None,
) -> Callable[[], Candidates]:
    """Decode some points, filter their masks and begin to measure them; return what ends it."""
    options, model = settings.options, settings.model
    point = torch.as_tensor(crop.points[numbers], dtype=torch.float32, device=model.device)
    prompts = _to_frame(point, crop.size, model.image_size)
    logits, iou, of_point, best_iou = decoder.decode(prompts, settings.iou_floor)
    measured = begin_measuring(
        logits,
        crop.size,
        masks_together(options),
        enlargement,
        mask_threshold=options.mask_threshold,
        offset=options.stability_score_offset,
        floor=settings.stability_floor,
    )

    def finish() -> Candidates:
        found = measured()
        corner = np.array(crop.box[:2])
        drawn = _numpy(logits.float())
        return Candidates(
            predicted_iou=_numpy(iou.float())[found.kept],
            stability=found.stability,
            area=found.area,
            box=found.box + np.tile(corner, 2).astype(np.int32),
            point=_numpy(point[of_point])[found.kept] + corner.astype(np.float32),
            logits=drawn if found.kept.all() else drawn[found.kept],
            number=numbers[_numpy(of_point)[found.kept]],
            crop=crop,
            asked=numbers,
            best_iou=_numpy(best_iou.float()),
        )

    return finish


def _to_frame(point: Tensor, size: tuple[int, int], image_size: int) -> Tensor:
    """Move points from a crop's pixels to the model's frame, rounding as upstream does."""
    height, width = size
    relative = torch.stack([point[:, 0] / width, point[:, 1] / height], dim=1)
    return relative * image_size


def _numpy(tensor: Tensor) -> npt.NDArray[Any]:
    """Return a tensor's values on the CPU."""
    values: npt.NDArray[Any] = tensor.cpu().numpy()
    return values


def _record(
    settings: _Settings,
    batches: Batches,
    points: tuple[int, int],
    region: npt.NDArray[np.bool_] | None,
) -> dict[str, Any]:
    """Say how the proposals were made."""
    model, options = settings.model, settings.options
    return {
        "model": model.record,
        "sha256": model.sha256,
        "device": str(model.device),
        "precision": str(model.dtype).removeprefix("torch."),
        "generator": options.model_dump(mode="json"),
        "iou_floor": settings.iou_floor,
        "stability_floor": settings.stability_floor,
        "masks_together": masks_together(options),
        "point_source": settings.points.name,
        "points": points[0],
        "points_of_grid": points[1],
        "points_per_batch": batches.size,
        "whole_image": region is None,
        "notes": batches.notes,
    }
