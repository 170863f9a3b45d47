"""Segmenting a whole image in tiles, for a worker thread: nothing of the viewer goes in."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_graysam._napari.canvas.part import lazy
from napari_graysam._napari.large.job import WholeJob, shapes_of
from napari_graysam._napari.results.combined import of_arm
from napari_graysam._napari.threads import heavy_imports
from napari_graysam._napari.threads.collection import full_collections_put_off

if TYPE_CHECKING:
    import pandas as pd

    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.batch.jobs import Outcome, Report
    from napari_graysam.recipe import Recipe
    from napari_graysam.tiles.folder import TileFolder
    from napari_graysam.tiles.provisional import ProvisionalLabels

LARGEST_TABLE = 100_000
"""Objects up to which the layer gets their table."""
SEEN_AFTER = 0.5
"""Seconds between two looks at what tiles have found."""


class WholeProgress(NamedTuple):
    """Where a run is: ``done`` of ``total`` of a stage, and seconds that tiles still take."""

    arm: Shown
    stage: str
    done: int
    total: int
    left: float | None = None


class TilesSeen(NamedTuple):
    """More tiles are painted: ``done`` of ``total``, in the levels of provisional labels.

    ``pace`` is the number of seconds that a point took; None where no model was asked.
    """

    arm: Shown
    done: int
    total: int
    levels: list[Any]
    pace: float | None = None


class Noted(NamedTuple):
    """What the user should know."""

    text: str


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
    if arm in asked.earlier:
        folder.take_from(TileFolder(job.folder / f"{asked.earlier[arm]}.tiles"))
    steps = segment_tiled_steps(
        job.pyramid,
        of_arm(arm, recipe),
        job.folder,
        name=stem,
        overwrite=asked.overwrite[arm] or arm in asked.earlier,
        workers=asked.team.workers,
        scheduler=asked.team.scheduler,
    )
    watch = _Watch(job, arm, folder)
    try:
        while True:
            report = next(steps)
            yield from watch.events(report)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    finally:
        steps.close()


class _Watch:
    """Turns reports into events, and paints the tiles that are there."""

    def __init__(self, job: WholeJob, arm: Shown, folder: TileFolder) -> None:
        self._job, self._arm, self._folder = job, arm, folder
        self._labels: ProvisionalLabels | None = None
        self._painted: set[str] = set()
        self._looked, self._done = 0.0, -1
        self._start: tuple[float, int] | None = None
        self._left: float | None = None

    def events(self, report: Report) -> Generator[WholeEvent | None, None, None]:
        if report.note:
            yield Noted(report.note.removeprefix(f"{report.path}: "))
        step = report.step
        if step is None:
            return
        stage, done, total = step
        new = stage == "tiles" and done != self._done
        if new:
            self._done = done
            self._job.left[self._arm] = total - done
            self._count(done, total)
        yield WholeProgress(self._arm, stage, done, total, self._left)
        if stage.startswith("tiles") and (new or time.monotonic() - self._looked > SEEN_AFTER):
            yield from self._paint()

    def _count(self, done: int, total: int) -> None:
        """Estimate the time that is left from the tiles of this run."""
        now = time.monotonic()
        if self._start is None:
            self._start = (now, done)
        began, first = self._start
        if done > first:
            self._left = (now - began) / (done - first) * (total - done)

    def _paint(self) -> Generator[WholeEvent | None, None, None]:
        from napari_graysam.tiles.kept import planned_grid
        from napari_graysam.tiles.provisional import ProvisionalLabels

        grid = planned_grid(self._folder)
        if grid is None:
            return
        missing = {tile.name for tile in self._folder.missing(grid)}
        new = [tile for tile in grid if tile.name not in self._painted | missing]
        self._labels = self._labels or ProvisionalLabels(shapes_of(self._job))
        pace = None
        for tile in new:
            pieces = self._folder.load(tile)
            self._labels.add(tile, pieces, self._job.recipe.labels.overlap)
            if pieces.about.get("asked") and pieces.about["points"]:
                pace = float(pieces.about["seconds"]) / int(pieces.about["points"])
            self._painted.add(tile.name)
            yield None
        self._looked = time.monotonic()
        if new:
            yield TilesSeen(self._arm, len(self._painted), len(grid), self._labels.levels, pace)


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
