"""``graysam segment --plan``: what a run in tiles will cost, without running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_graysam.cli.terminal import Terminal, table
from napari_graysam.errors import ImageError

if TYPE_CHECKING:
    from napari_graysam.recipe import Recipe

HOUR, MINUTE = 3600, 60


def show_plans(terminal: Terminal, paths: list[Path], recipe: Recipe, workers: int) -> None:
    """Print tiles, points, time, memory and disk of every image that is segmented in tiles."""
    from napari_graysam.batch import in_tiles
    from napari_graysam.progress import Progress, run
    from napari_graysam.source.pyramid import open_pyramid
    from napari_graysam.tiles.plan import estimate, prepare

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
                found = run(estimate(prepared), show)
            except ImageError as error:
                raise ImageError(f"{path}: {error}") from error
            for note in prepared.notes:
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
            f"{plan['memory'] / 1e9:.1f} GB",
            f"{plan['disk'] / 1e9:.2f} GB",
        ]
        for plan in shown
    ]
    renderable = [table(*columns, rows=rows, numbers=columns[1:])] if rows else []
    terminal.result({"plans": plans}, *renderable)


def _duration(seconds: float) -> str:
    if seconds >= HOUR:
        return f"{seconds / HOUR:.1f} h"
    return f"{seconds / MINUTE:.0f} min" if seconds >= MINUTE else f"{seconds:.0f} s"
