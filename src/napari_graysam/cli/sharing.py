"""Options of commands that work on many images: processes, a scheduler, candidates on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_graysam.errors import UsageError

if TYPE_CHECKING:
    from napari_graysam.recipe import Recipe

GB = 1_000_000_000

Workers = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Processes that share the images; each holds one model."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Dask scheduler to use instead, such as tcp://host:8786. Its workers must see "
        "the images and DIR under the same paths.",
        show_default=False,
    ),
]
CacheFolder = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Folder for the candidate masks of every image, down to half the thresholds: "
        "another run with other thresholds, higher or lower, then needs no model. Takes some "
        "3 MB for an image with 50 objects. Stacks and images in tiles have one of their own, "
        "NAME.planes/candidates and NAME.tiles/candidates.",
        show_default=False,
    ),
]
CacheSize = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="GB",
        help="Size of that folder; what was used longest ago is removed, and images in tiles keep "
        "no more. Of 0, stacks and images in tiles keep none.",
    ),
]


def check_sharing(workers: int, scheduler: str | None) -> None:
    """Refuse processes of our own and a scheduler at once.

    Raises
    ------
    UsageError
        If both were asked for.
    """
    if scheduler is not None and workers != 1:
        raise UsageError("--workers and --scheduler exclude each other: the scheduler decides")


def check_one_piece(recipe: Recipe, what: str) -> None:
    """Refuse tiles that were asked for where there are none.

    Raises
    ------
    UsageError
        If the recipe asks for tiles or for a coarser level.
    """
    if recipe.tiles.use == "always" or recipe.tiles.level > 0:
        raise UsageError(
            f"tiles.use is {recipe.tiles.use} and tiles.level {recipe.tiles.level}, but {what} in "
            "one piece only: leave both out, or work on single planes"
        )
