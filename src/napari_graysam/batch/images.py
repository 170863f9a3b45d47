"""Images of any size: those that fit are segmented in one piece, larger ones in tiles."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from napari_graysam.batch.jobs import CompareJob, Outcome, Report, SegmentJob
from napari_graysam.batch.run import batch_steps
from napari_graysam.batch.tile_compare import compare_tiled_steps
from napari_graysam.batch.tiles import in_tiles, tiled_steps
from napari_graysam.recipe import Recipe

Batch: TypeAlias = Generator[Report, None, list[Outcome]]


def image_steps(
    paths: Sequence[Path],
    job: SegmentJob,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Batch:
    """Segment images in one piece or in tiles, as the recipe's part ``tiles`` says.

    Parameters, reports and errors as of `batch_steps`; a note says which images are in tiles.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_graysam import Recipe
    >>> from napari_graysam.batch import SegmentJob, image_steps
    >>> np.save("small.npy", np.eye(64))
    >>> recipe = Recipe().with_values({"generator.points_per_side": 4})
    >>> steps = image_steps([Path("small.npy")], SegmentJob(recipe, Path("results")))
    >>> [report.outcome.files["labels"].name for report in steps if report.outcome]
    ['small.labels.tif']
    """
    options: dict[str, Any] = {"overwrite": overwrite, "workers": workers, "scheduler": scheduler}
    in_one, tiled = (
        partial(batch_steps, job=job, **options),
        partial(tiled_steps, job=job, **options),
    )
    return (yield from _by_size(paths, job.recipe, in_one, tiled))


def compare_image_steps(
    paths: Sequence[Path],
    job: CompareJob,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Batch:
    """Compare both arms of images in one piece or in tiles, as `image_steps` segments them."""
    options: dict[str, Any] = {"overwrite": overwrite, "workers": workers, "scheduler": scheduler}
    in_one = partial(batch_steps, job=job, **options)
    tiled = partial(compare_tiled_steps, job=job, **options)
    return (yield from _by_size(paths, job.recipe, in_one, tiled))


def _by_size(
    paths: Sequence[Path],
    recipe: Recipe,
    in_one: Callable[[Sequence[Path]], Batch],
    in_several: Callable[[Sequence[Path]], Batch],
) -> Batch:
    """Work on the images that fit, then on the others, and say which these are."""
    reasons = {path: in_tiles(path, recipe) for path in paths}
    whole = [path for path in paths if not reasons[path]]
    tiled = [path for path in paths if reasons[path]]
    total = len(paths)
    ended: dict[Path, Outcome] = {}
    for some, way in ((whole, in_one), (tiled, in_several)):
        before = len(ended)
        for path in some:
            if reasons[path]:
                yield Report(before, total, path, note=f"{path}: in tiles, as {reasons[path]}")
        if not some:
            continue
        steps = way(some)
        try:
            while True:
                report = next(steps)
                yield replace(report, done=before + report.done, total=total)
        except StopIteration as stop:
            ended |= dict(zip(some, stop.value, strict=True))
        finally:
            steps.close()
    return [ended[path] for path in paths]
