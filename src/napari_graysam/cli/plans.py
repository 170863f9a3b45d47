"""``graysam segment --plan``: what a run in tiles will cost, without running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_graysam.cli.terminal import Terminal, table
from napari_graysam.errors import ImageError

if TYPE_CHECKING:
    from napari_graysam.propose.cache import Cache
    from napari_graysam.recipe import Recipe
    from napari_graysam.tiles.estimate import Estimate

HOUR, MINUTE = 3600, 60


def show_plans(
    terminal: Terminal, paths: list[Path], recipe: Recipe, workers: int, cache_size: int
) -> None:
    """Print tiles, points, time, memory and disk of every image that is segmented in tiles."""
    from napari_graysam.batch import in_tiles
    from napari_graysam.batch.tile_work import Candidates
    from napari_graysam.progress import Progress, run
    from napari_graysam.source.pyramid import open_pyramid
    from napari_graysam.tiles.estimate import estimate
    from napari_graysam.tiles.plan import prepare

    def cache_of(folder: Path) -> Cache | None:
        # Without a limit: how large the candidates of the sample are is what is asked.
        return Candidates(folder, 2**62, False).open(recipe) if cache_size else None

    plans: list[dict[str, Any]] = []
    with terminal.bars() as bars:
        for path in paths:

            def show(step: Progress, path: Path = path) -> None:
                bars.step(step, f"{path.name}: ")

            reason = in_tiles(path, recipe)
            if not reason:
                open_pyramid(path, recipe.image.series)
                plans.append({"path": str(path), "tiles": 0})
                terminal.note(f"{path}: in one piece")
                continue
            try:
                prepared = run(prepare(open_pyramid(path, recipe.image.series), recipe), show)
                found = run(estimate(prepared, cache_of, cache_size), show)
            except ImageError as error:
                raise ImageError(f"{path}: {error}") from error
            for note in prepared.notes:
                terminal.note(f"{path}: note: {note}")
            if note := _candidates_note(found, cache_size):
                terminal.note(f"{path}: note: {note}")
            grid = prepared.grid
            plans.append(
                {
                    "path": str(path),
                    "reason": reason,
                    "shape": list(grid.shape),
                    "tiles": found.tiles,
                    "size": grid.size,
                    "halo": grid.halo,
                    "points": found.points,
                    "seconds": round(found.seconds / workers, 1),
                    "workers": workers,
                    "memory": found.memory * workers,
                    "disk": found.disk,
                    "candidates": found.candidates,
                    "candidates_kept": found.fit if cache_size else 0,
                    "sample": found.sample,
                }
            )
    shown = [plan for plan in plans if plan["tiles"]]
    columns = ("image", "tiles", "size", "halo", "points", "time", "memory", "disk")
    rows = [
        [
            Path(plan["path"]).name,
            f"{plan['tiles']:,}",
            str(plan["size"]),
            str(plan["halo"]),
            f"{plan['points']:,}",
            _duration(plan["seconds"]),
            _size(plan["memory"]),
            _size(plan["disk"]),
        ]
        for plan in shown
    ]
    renderable = [table(*columns, rows=rows, numbers=columns[1:])] if rows else []
    terminal.result({"plans": plans}, *renderable)


def _candidates_note(found: Estimate, cache_size: int) -> str:
    """Say how much of the disk candidates take, and whether those of all tiles are kept."""
    if not found.candidates:
        return ""
    size = _size(found.candidates)
    if found.candidates <= cache_size:
        return f"candidates of all {found.tiles:,} tiles are kept, about {size}"
    return (
        f"candidates of about {found.fit:,} of {found.tiles:,} tiles are kept: all would take "
        f"{size}, more than --cache-size, {_size(cache_size)}"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.3g} GB"


def _duration(seconds: float) -> str:
    if seconds >= HOUR:
        return f"{seconds / HOUR:.1f} h"
    return f"{seconds / MINUTE:.0f} min" if seconds >= MINUTE else f"{seconds:.0f} s"
