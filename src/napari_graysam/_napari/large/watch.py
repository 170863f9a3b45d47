"""What a run of a whole image tells while tiles come, for a worker thread."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_graysam._napari.large.job import WholeJob, shapes_of

if TYPE_CHECKING:
    from napari_graysam._napari.results.combined import Shown
    from napari_graysam.batch.jobs import Report
    from napari_graysam.tiles.folder import TileFolder
    from napari_graysam.tiles.grid import Tile
    from napari_graysam.tiles.provisional import ProvisionalLabels

SEEN_AFTER = 0.5
"""Seconds between two looks at what tiles have found."""
TOLD_AFTER = 0.05
"""Seconds between two reports of one stage: tiles without points come by the hundred."""


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


class Watch:
    """Turns reports into events, and paints the tiles that are there.

    Parameters
    ----------
    job, arm
        The run.
    folder
        Where its tiles are kept.
    """

    def __init__(self, job: WholeJob, arm: Shown, folder: TileFolder) -> None:
        self._job, self._arm, self._folder = job, arm, folder
        self._labels: ProvisionalLabels | None = None
        self._waiting: dict[str, Tile] | None = None
        self._tiles = 0
        self._looked = self._told = 0.0
        self._stage = ""
        self._start: tuple[float, int] | None = None
        self._left: float | None = None

    def events(
        self, report: Report
    ) -> Generator[WholeProgress | TilesSeen | Noted | None, None, None]:
        """Yield what a report says, as often as can be seen."""
        if report.note:
            yield Noted(report.note.removeprefix(f"{report.path}: "))
        step = report.step
        if step is None:
            return
        (stage, done, total), now = step, time.monotonic()
        if stage == "tiles":
            self._job.begin(self._arm)
            self._job.left[self._arm] = total - done
            self._count(done, total)
        last = done == total
        if last or stage != self._stage or now - self._told > TOLD_AFTER:
            self._stage, self._told = stage, now
            yield WholeProgress(self._arm, stage, done, total, self._left)
        else:
            yield None
        whole = stage == "tiles"
        if (whole and last) or (stage.startswith("tiles") and now - self._looked > SEEN_AFTER):
            yield from self._paint()

    def _count(self, done: int, total: int) -> None:
        """Estimate the time that is left from the tiles of this run."""
        now = time.monotonic()
        if self._start is None:
            self._start = (now, done)
        began, first = self._start
        if done > first:
            self._left = (now - began) / (done - first) * (total - done)

    def _paint(self) -> Generator[TilesSeen | None, None, None]:
        from napari_graysam.tiles.folder import FOUND
        from napari_graysam.tiles.kept import planned_grid
        from napari_graysam.tiles.provisional import ProvisionalLabels

        if self._waiting is None:
            grid = planned_grid(self._folder)
            if grid is None:
                return
            self._waiting = {f"{tile.name}.npz": tile for tile in grid}
            self._tiles = len(grid)
        names: list[str] = []
        with suppress(FileNotFoundError):
            names = sorted(os.listdir(self._folder.path / FOUND))
        there = [name for name in names if name in self._waiting]
        self._labels = self._labels or ProvisionalLabels(shapes_of(self._job))
        pace = None
        for name in there:
            tile = self._waiting.pop(name)
            pieces = self._folder.load(tile)
            if len(pieces):
                self._labels.add(tile, pieces, self._job.recipe.labels.overlap)
            if pieces.about.get("asked") and pieces.about["points"]:
                pace = float(pieces.about["seconds"]) / int(pieces.about["points"])
            yield None
        self._looked = time.monotonic()
        if there:
            done = self._tiles - len(self._waiting)
            yield TilesSeen(self._arm, done, self._tiles, self._labels.levels, pace)
