"""Segmenting a whole image in tiles, for a worker thread: nothing of the viewer goes in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_graysam._napari.canvas.part import lazy
from napari_graysam._napari.large.job import WholeJob
from napari_graysam._napari.large.watch import Noted, TilesSeen, Watch, WholeProgress
from napari_graysam._napari.results.combined import of_arm
from napari_graysam._napari.threads import heavy_imports
from napari_graysam._napari.threads.collection import full_collections_put_off

if TYPE_CHECKING:
    import pandas as pd

    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.batch.jobs import Outcome
    from napari_graysam.recipe import Recipe

LARGEST_TABLE = 100_000
"""Objects up to which the layer gets their table."""


class WholeDone(NamedTuple):
    """The labels of an arm are written; ``table`` is None where there are too many objects."""

    arm: Shown
    recipe: Recipe
    outcome: Outcome
    path: str
    levels: list[Any]
    table: pd.DataFrame | None
    about: dict[str, Any]


WholeEvent = WholeProgress | TilesSeen | Noted | WholeDone


class Team(NamedTuple):
    """Processes on this computer, and the address of a Dask scheduler to use instead."""

    workers: int = 1
    scheduler: str | None = None


class Asked(NamedTuple):
    """What a run is asked for.

    Attributes
    ----------
    recipe
        As the user set it.
    arms
        Which, in this order; "combined" runs the recipe as it is, with both arms in every tile.
    overwrite
        By arm, whether labels that are there may be replaced.
    earlier
        How the names of an arm's files began whose tiles this run can use, under other names.
    team
        Who works.
    """

    recipe: Recipe
    arms: tuple[Shown, ...]
    overwrite: Mapping[Shown, bool]
    earlier: Mapping[Shown, str]
    team: Team


def segment_whole(job: WholeJob, asked: Asked) -> Generator[WholeEvent | None, None, None]:
    """Segment all tiles of one arm after the other; closing the generator keeps the finished ones.

    Parameters
    ----------
    job
        The image.
    asked
        What of it.
    """
    from napari_graysam.errors import OutputError

    yield WholeProgress(asked.arms[0], "load", 0, 1)
    heavy_imports.load()
    recipe = job.recipe
    job.inside = () if job.region is None else job.region.polygons()
    if job.inside:
        recipe = recipe.replace(image=recipe.image.replace(region=job.inside))
    for arm in asked.arms:
        with full_collections_put_off():
            outcome = yield from _run(job, recipe, arm, asked)
        if outcome.status == "failed":
            raise OutputError(outcome.error)
        yield _done(job, asked.recipe, arm, outcome)


def _run(
    job: WholeJob, recipe: Recipe, arm: Shown, asked: Asked
) -> Generator[WholeEvent | None, None, Outcome]:
    from napari_graysam.batch.tiles import segment_tiled_steps
    from napari_graysam.tiles.folder import TileFolder

    stem = job.stem(arm)
    folder = TileFolder(job.folder / f"{stem}.tiles")
    taken = arm in asked.earlier and not folder.plan()
    if arm in asked.earlier:
        folder.take_from(TileFolder(job.folder / f"{asked.earlier[arm]}.tiles"))
    plan = folder.plan()
    steps = segment_tiled_steps(
        job.pyramid,
        of_arm(arm, recipe),
        job.folder,
        name=stem,
        overwrite=asked.overwrite[arm] or arm in asked.earlier,
        workers=asked.team.workers,
        scheduler=asked.team.scheduler,
    )
    watch = Watch(job, arm, folder)
    try:
        while True:
            report = next(steps)
            yield from watch.events(report)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    finally:
        steps.close()
        if folder.plan() != plan:
            job.begin(arm)
        if taken and arm not in job.begun:
            shutil.rmtree(folder.path, ignore_errors=True)


def _done(job: WholeJob, asked: Recipe, arm: Shown, outcome: Outcome) -> WholeDone:
    import pandas as pd

    from napari_graysam.outputs.kinds import ENDINGS
    from napari_graysam.outputs.zarr import labels_place
    from napari_graysam.source.pyramid import open_pyramid

    stem = job.stem(arm)
    path = labels_place("zarr", job.folder, stem, {})
    about = json.loads((job.folder / f"{stem}.{ENDINGS['provenance']}").read_bytes())
    objects = int(about.get("objects", 0))
    table_path = job.folder / f"{stem}.{ENDINGS['objects']}"
    table = None
    if objects <= LARGEST_TABLE and table_path.exists():
        table = pd.read_csv(table_path)
    notes = outcome.notes or tuple(about.get("selection", {}).get("notes", ()))
    outcome = replace(outcome, objects=objects, notes=notes)
    levels = [lazy(level) for level in open_pyramid(path).levels]
    return WholeDone(arm, asked, outcome, str(path), levels, table, about)
