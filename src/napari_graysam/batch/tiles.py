"""Images in tiles: tiles as tasks, then seams, measuring, painting and levels, block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from napari_graysam.batch.attempt import failed
from napari_graysam.batch.cluster import cluster_of
from napari_graysam.batch.jobs import Outcome, Report, SegmentJob
from napari_graysam.batch.naming import check_names, clash
from napari_graysam.batch.run import check_folder
from napari_graysam.batch.tile_assembly import assembled
from napari_graysam.batch.tile_work import SegmentTile
from napari_graysam.batch.tiled_image import Steps, TiledImage, is_complete, work_on_all
from napari_graysam.errors import (
    DeviceError,
    DiskFullError,
    ModelError,
    OutputError,
    SchedulerError,
    UsageError,
)
from napari_graysam.files.zarr_labels import check_store
from napari_graysam.locks import Lock
from napari_graysam.model import fetch
from napari_graysam.outputs.earlier import other_place
from napari_graysam.outputs.kinds import USUAL, Kind
from napari_graysam.progress import run
from napari_graysam.recipe import GivenRecipe, Recipe, recipe_of
from napari_graysam.source.physical import checked_size
from napari_graysam.source.places import path_of
from napari_graysam.source.pyramid import open_pyramid
from napari_graysam.tiles.extent import needs_tiles
from napari_graysam.tiles.plan import prepare

SMALL = 2**22
"""Bytes of a file below which its image is not looked at: it fits."""
NAMED = 5
"""Failed tiles that a message names."""


def segment_tiled(
    image: Any,
    recipe: GivenRecipe,
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    pixel_size: tuple[float, float] | None = None,
    on_progress: Callable[[Report], None] | None = None,
) -> Outcome:
    """Segment an image of any size in tiles, and write labels as OME-Zarr.

    Parameters
    ----------
    image
        As for `napari_graysam.source.pyramid.open_pyramid`.
    recipe
        Its part ``tiles`` says how large tiles are.
    folder
        For ``NAME.zarr`` with the labels ``labels/NAME``, ``NAME.objects.csv`` and so on,
        and a folder ``NAME.tiles`` with what every tile found. A call that was stopped goes on
        there.
    name
        Beginning of the files' names: the file's stem if omitted, ``image`` for an array.
    workers, scheduler
        As for `batch_steps`.
    overwrite
        Whether labels of that name, which are there, may be replaced.
    pixel_size
        (Height, width) in micrometres of a pixel of the finest level, in place of the image's.
    on_progress
        Called with every `Report`.

    Raises
    ------
    GraysamError
        If the image, the model or the recipe does not allow it. A tile that fails twice does not
        stop the others, and makes the outcome's ``status`` ``failed``.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.batch import segment_tiled
    >>> values = {"tiles.size": 64, "tiles.halo": 16, "generator.points_per_side": 4}
    >>> image = np.zeros((96, 96), np.uint8)
    >>> image[30:60, 30:60] = 200
    >>> outcome = segment_tiled(image, Recipe().with_values(values), "results", name="square")
    >>> outcome.status, outcome.files["labels"].relative_to(Path.cwd()).as_posix()
    ('done', 'results/square.zarr/labels/square')

    See Also
    --------
    segment_tiled_steps : The same, to be cancelled.
    tiled_steps : Many images.
    """
    steps = segment_tiled_steps(
        image, recipe, folder, name=name, workers=workers, scheduler=scheduler,
        overwrite=overwrite, pixel_size=pixel_size,
    )  # fmt: skip
    return run(steps, on_progress)


def segment_tiled_steps(
    image: Any,
    recipe: GivenRecipe,
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    pixel_size: tuple[float, float] | None = None,
    kinds: Sequence[Kind] = USUAL,
) -> Generator[Report, None, Outcome]:
    """Do as `segment_tiled`, yielding every `Report`; closing the generator cancels.

    Parameters
    ----------
    image, recipe, folder, name, workers, scheduler, overwrite, pixel_size
        As for `segment_tiled`.
    kinds
        Of files that are wanted, as of `napari_graysam.outputs.choose_kinds`.
    """
    pyramid, wanted = open_pyramid(image, recipe_of(recipe).image.series), recipe_of(recipe)
    path = Path(name or "image") if pyramid.path is None else path_of(pyramid.path)
    size = None if pixel_size is None else checked_size(pixel_size)
    job = SegmentJob(wanted, Path(folder), kinds=tuple(kinds), pixel_size=size).absolute()
    check_folder(job.folder)
    with cluster_of(workers, scheduler) as cluster:
        one = TiledImage(path, job, name or path.stem, pyramid, overwrite, cluster)
        return (yield from tiled_reports(one, (0, 1)))


def tiled_steps(
    paths: Sequence[Path],
    job: SegmentJob,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Generator[Report, None, list[Outcome]]:
    """Segment large images in tiles; parameters, reports and errors as of `batch_steps`."""
    job = job.absolute()
    check_names(paths, job.naming, job.recipe.image)
    check_folder(job.folder)
    outcomes: list[Outcome] = []
    with cluster_of(workers, scheduler) as cluster:
        for number, path in enumerate(paths):
            name = job.naming.name(path, job.recipe.image)
            try:
                pyramid = open_pyramid(path.absolute(), job.recipe.image.series)
                one = TiledImage(path, job, name, pyramid, overwrite, cluster)
                outcome = yield from tiled_reports(one, (number, len(paths)))
            except (ModelError, DeviceError, DiskFullError, SchedulerError, UsageError):
                raise
            except Exception as error:
                outcome = replace(failed(path, error), name=name)
            outcomes.append(outcome)
            yield Report(number + 1, len(paths), path, outcome=outcome)
    return outcomes


def in_tiles(path: Path, recipe: Recipe) -> str:
    """Say why an image is segmented in tiles, as `needs_tiles`; nothing of what cannot be opened.

    Whoever works on it says why it cannot.
    """
    if recipe.tiles.use == "never" or recipe.stack.axis != "none":
        return ""
    try:
        # Pictures are decoded as a whole to be opened; small ones are for a run to decode.
        auto = recipe.tiles.use == "auto" and recipe.tiles.level == 0
        if auto and path.is_file() and path.stat().st_size < SMALL:
            return ""
        pyramid = open_pyramid(path, recipe.image.series)
        shape = pyramid.layout(recipe.image, min(recipe.tiles.level, len(pyramid.levels) - 1))
        return needs_tiles(shape.plane_shape, recipe)
    except Exception:
        return ""


def tiled_reports(one: TiledImage, count: tuple[int, int]) -> Generator[Report, None, Outcome]:
    """Segment one image in tiles; its progress and notes as reports."""
    steps = _locked(one)
    try:
        while True:
            event = next(steps)
            if isinstance(event, str):
                yield Report(*count, one.path, note=f"{one.path}: {event}")
            else:
                yield Report(*count, one.path, step=event)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    finally:
        steps.close()


def _locked(one: TiledImage) -> Steps[Outcome]:
    try:
        with Lock(one.folder.path / ".lock", f"The tiles {one.folder.path}"):
            return (yield from _segment(one))
    except DiskFullError as error:
        raise DiskFullError(
            f"{error} What was finished stays, and the same call goes on from there."
        ) from error
    finally:
        # Of an image or recipe that was refused, the lock's folder is empty.
        with suppress(OSError):
            one.folder.path.rmdir()


def _segment(one: TiledImage) -> Steps[Outcome]:
    start = perf_counter()
    folder, recipe = one.folder, one.job.recipe
    place = {"path": one.pyramid.path, "series": recipe.image.series,
             "channel": recipe.image.channel, "plane": recipe.image.plane}  # fmt: skip
    there = other_place(one.job.folder, one.name, place)
    if there is not None and not one.overwrite:
        raise UsageError(clash(one.job.folder / one.name, place, there))
    store = one.store
    check_store(store, into_image=one.into_image)
    prepared = yield from prepare(
        one.pyramid,
        recipe,
        pixel_size=one.job.pixel_size,
        halo_of=one.halo_of,
    )
    if is_complete(one, prepared) and not one.overwrite:
        return Outcome(one.path, "skipped", name=one.name)
    if one.labels.exists() and not one.overwrite:
        raise OutputError(
            f"{one.labels} is there already, and not of this image and recipe. Choose another "
            f"name, or --overwrite, which replaces it in {store}."
        )
    others = folder.of_another(prepared.digest)
    if others and not one.overwrite:
        raise OutputError(
            f"{folder.path} holds {others} tiles of a run with another image, recipe or version. "
            "Repeat that one to go on with it, choose another folder or name, or --overwrite, "
            "which removes them."
        )
    grid = prepared.grid
    decided = {name: one.digest for name, one in prepared.decided.items()}
    about = {"base": prepared.base, "asked": prepared.asked, "halo": grid.halo, "size": grid.size,
             "shape": list(grid.shape), "tiles": len(grid), "decided": decided}  # fmt: skip
    continued = folder.begin(prepared.digest, about)
    yield from _fetched(one)
    missing = folder.missing(grid)
    done = len(grid) - len(missing)
    if continued and done:
        yield f"goes on: {done} of {len(grid)} tiles are there"
    work = SegmentTile(
        prepared.view, prepared.recipe, grid.size, folder, one.candidates, prepared.decided
    )
    broken = yield from work_on_all(one, "tiles", work, missing, lambda tile: tile.name, {}, done)
    if broken:
        return _broken(one, broken, len(grid))
    return (yield from assembled(one, prepared, start))


def _fetched(one: TiledImage) -> Steps[None]:
    """Get the weights before processes of our own all want them."""
    model = one.job.recipe.model
    if one.cluster is not None and one.cluster.scheduler is None and model.checkpoint is None:
        yield from fetch(model.name)


def _broken(one: TiledImage, broken: dict[str, str], total: int) -> Outcome:
    some = "; ".join(f"{name}: {error}" for name, error in list(broken.items())[:NAMED])
    more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
    text = (
        f"{one.path}: {len(broken)} of {total} tiles failed twice: {some}{more}. The others are "
        "kept; the same call goes on from there."
    )
    return Outcome(one.path, "failed", text, name=one.name)
