"""From the tiles of an image to its results: seams, measuring, painting, levels, files."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_graysam.atomic import write_text
from napari_graysam.batch.jobs import Outcome
from napari_graysam.batch.tile_work import BuildBlock, MeasureTile, PaintBlock
from napari_graysam.batch.tiled_image import Steps, TiledImage, or_fail, work_on_all
from napari_graysam.documents import dump_json
from napari_graysam.files.zarr_labels import LabelBlocks, LabelPlan, create_labels, plan_labels
from napari_graysam.progress import Progress
from napari_graysam.recipe import Recipe
from napari_graysam.tiles.measure import pixel_size_of
from napari_graysam.tiles.notes import notes_of_tiles
from napari_graysam.tiles.number import Numbered, chosen_by_tile
from napari_graysam.tiles.paint import INDEX, Painted, write_index
from napari_graysam.tiles.plan import Prepared
from napari_graysam.tiles.report import make_report, write_report_picture
from napari_graysam.tiles.resolve import Resolved, resolve
from napari_graysam.tiles.write import Objects, no_rois, write_objects, write_small_overlay

LOADED = 16
"""Tiles whose objects are in memory at once."""


def assembled(one: TiledImage, prepared: Prepared, start: float) -> Steps[Outcome]:
    """Resolve the seams, measure, paint and write; ``start`` is when the run began."""
    folder, grid, recipe = one.folder, prepared.grid, prepared.recipe
    yield Progress("seams", 0, 1)
    digest = prepared.image.record["digest"]
    resolved = resolve(grid, recipe, lru_cache(LOADED)(folder.load), digest)
    said, again = [], 0
    for tile in grid:
        of_tile = folder.about(tile)
        said.append(of_tile.get("notes", ()))
        again += of_tile.get("asked") is False
    notes = [*prepared.notes, *notes_of_tiles(said)]
    if again:
        notes.append(f"{again} of {len(grid)} tiles are selected from candidates that were kept")
    yield Progress("seams", 1, 1)
    # What it points to is overwritten from here on.
    (folder.path / INDEX).unlink(missing_ok=True)
    numbered = yield from _measured(one, prepared, resolved)
    one.file("recipe").unlink(missing_ok=True)
    write_index(folder, numbered.index(resolved))
    with create_labels(
        one.store,
        one.labels.name,
        _label_plan(one, prepared),
        into_image=one.into_image,
        overwrite=one.overwrite,
        token=prepared.digest,
    ) as writer:
        visible, unmasked = yield from _painted(one, prepared, writer.blocks, numbered)
        objects = Objects(folder, grid, prepared.image, numbered, visible)
        finest = writer.blocks.arrays[0]
        files = yield from _written(one, recipe, objects, finest)
        yield Progress("report", 0, 1)
        report = make_report(finest, grid, resolved.counts)
        write_text(one.file("seams"), json.dumps(report.to_dict(), indent=2))
        write_report_picture(one.file("seam_picture"), report)
        about = _about(one, prepared, numbered, unmasked, report.to_dict(), tuple(notes))
        source = None if one.into_image else one.pyramid.path
        labels = writer.finish(numbered.count, source=source, about=about, build=False)
    write_text(one.file("provenance"), dump_json(about))
    write_text(one.file("recipe"), recipe.to_yaml())
    more = ("seams", "seam_picture", "provenance", "recipe")
    return Outcome(
        one.path,
        "done",
        objects=numbered.count,
        unmasked=unmasked,
        seconds=perf_counter() - start,
        files={"labels": labels, **files, **{kind: one.file(kind) for kind in more}},
        notes=tuple(notes),
        name=one.name,
    )


def _label_plan(one: TiledImage, prepared: Prepared) -> LabelPlan:
    """Return levels for the labels: those of the image from the level that was segmented on."""
    pyramid, level = prepared.image.pyramid, prepared.recipe.tiles.level
    coarser = replace(
        pyramid,
        levels=pyramid.levels[level:],
        scales=pyramid.scales[level:],
        translations=pyramid.translations[level:],
    )
    size = None if one.job.pixel_size is None else prepared.image.record["pixel_size"]
    return plan_labels(
        coarser,
        options=prepared.image.recipe.image,
        pixel_size=None if size is None else (size[0], size[1]),
        unit=prepared.image.record["pixel_unit"],
    )


def _painted(
    one: TiledImage, prepared: Prepared, blocks: LabelBlocks, numbered: Numbered
) -> Steps[tuple[NDArray[np.int64], float]]:
    """Paint all levels; return the pixels seen of every object, and the part without any."""
    painted: dict[str, Painted] = {}
    work = PaintBlock(one.folder, prepared.grid, prepared.recipe, blocks)
    or_fail((yield from work_on_all(one, "paint", work, blocks.places(), str, painted)), "blocks")
    for level in range(1, len(blocks.plan.shapes)):
        build, stage = BuildBlock(blocks, level), f"level {level}"
        none: dict[str, None] = {}
        broken = yield from work_on_all(one, stage, build, blocks.places(level), str, none)
        or_fail(broken, f"blocks of level {level}")
    seen: Counter[int] = Counter()
    for block in painted.values():
        seen.update(dict(zip(block.labels.tolist(), block.pixels.tolist(), strict=True)))
    allowed = sum(block.allowed for block in painted.values())
    unmasked = sum(block.unmasked for block in painted.values()) / max(1, allowed)
    return numbered.visible(seen), unmasked


def _written(
    one: TiledImage, recipe: Recipe, objects: Objects, labels: Any
) -> Steps[dict[str, Path]]:
    """Write the files that are wanted besides the labels."""
    count, shape = objects.numbered.count, objects.grid.shape
    kinds = one.written(count, shape)
    if kinds != one.files:
        yield no_rois(count, shape)
        one.file("rois").unlink(missing_ok=True)
    paths: dict[str, Path] = {kind: one.file(kind) for kind in kinds}
    name = Path(one.pyramid.path or one.name).name
    yield from write_objects(objects, recipe, kinds, paths, name)
    if "overlay" in paths:
        write_small_overlay(paths["overlay"], objects.image, labels)
    return paths


def _measured(one: TiledImage, prepared: Prepared, resolved: Resolved) -> Steps[Numbered]:
    grid = prepared.grid
    chosen = chosen_by_tile(resolved, len(grid))
    items = [(n, tile, some) for n, (tile, some) in enumerate(zip(grid, chosen, strict=True))]
    kept: dict[str, Any] = {}
    work = MeasureTile(prepared.image, prepared.recipe, one.folder)
    busy = [item for item in items if len(item[2].within)]
    or_fail(
        (yield from work_on_all(one, "measure", work, busy, lambda item: item[1].name, kept)),
        "tiles",
    )
    return Numbered.of(resolved, [kept.get(tile.name, np.zeros(0, bool)) for tile in grid])


def _about(
    one: TiledImage,
    prepared: Prepared,
    numbered: Numbered,
    unmasked: float,
    seams: dict[str, Any],
    notes: tuple[str, ...],
) -> dict[str, Any]:
    """Return what the provenance says."""
    grid, image = prepared.grid, prepared.image
    size = pixel_size_of(image)
    return {
        "files": list(one.written(numbered.count, grid.shape)),
        "fingerprint": prepared.fingerprint.model_dump(),
        "versions": prepared.fingerprint.inputs.versions,
        "model": prepared.fingerprint.inputs.model,
        "image": {**image.record, "pixel_size_um": None if size is None else list(size)},
        "tiles": {"digest": prepared.digest, "count": len(grid), "size": grid.size,
                  "halo": grid.halo, "level": prepared.recipe.tiles.level,
                  "folder": one.folder.path.name},
        "seams": seams,
        "objects": numbered.count,
        "unmasked": unmasked,
        "selection": {"notes": list(notes)},
    }  # fmt: skip
