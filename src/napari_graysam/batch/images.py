"""Images of any size: those that fit are segmented in one piece, larger ones in tiles."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

from napari_graysam.batch.jobs import Outcome, Report, SegmentJob
from napari_graysam.batch.run import batch_steps
from napari_graysam.batch.tiles import in_tiles, tiled_steps


def image_steps(
    paths: Sequence[Path],
    job: SegmentJob,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Generator[Report, None, list[Outcome]]:
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
    reasons = {path: in_tiles(path, job.recipe) for path in paths}
    whole = [path for path in paths if not reasons[path]]
    tiled = [path for path in paths if reasons[path]]
    total = len(paths)
    ended: dict[Path, Outcome] = {}
    for some, way in ((whole, batch_steps), (tiled, tiled_steps)):
        before = len(ended)
        if way is tiled_steps:
            for path in some:
                yield Report(before, total, path, note=f"{path}: in tiles, as {reasons[path]}")
        if not some:
            continue
        steps = way(some, job, overwrite=overwrite, workers=workers, scheduler=scheduler)
        try:
            while True:
                report = next(steps)
                yield replace(report, done=before + report.done, total=total)
        except StopIteration as stop:
            ended |= dict(zip(some, stop.value, strict=True))
        finally:
            steps.close()
    return [ended[path] for path in paths]
